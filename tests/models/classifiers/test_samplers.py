"""Batches of few classes: what they hold, that every example comes, and the groups of classes that look alike."""

import itertools

import numpy as np
import pytest

from models.classifiers.samplers import class_uniform, superclass_uniform, superclasses_of

LABELS = np.repeat(np.arange(6), [50, 50, 50, 50, 50, 3])


def batches(sampler, count=60):
    return list(itertools.islice(sampler, count))


def test_a_batch_holds_as_many_of_each_of_its_classes():
    drawn = batches(class_uniform(LABELS, 12, 4, seed=1))
    for batch in drawn:
        found, counts = np.unique(LABELS[batch], return_counts=True)
        assert len(found) == 3 and set(counts) == {4}
    same = np.mean([(LABELS[b][:, None] == LABELS[b])[~np.eye(12, dtype=bool)].mean() for b in drawn])
    assert same == pytest.approx(3 / 11)  # (k - 1) / (n - 1)
    chosen = np.bincount(np.concatenate([np.unique(LABELS[b]) for b in drawn]), minlength=6)
    assert chosen.min() > 15  # of 30, however small the class
    assert set(np.concatenate(drawn)) == set(range(len(LABELS)))


def test_the_seed_decides_the_batches():
    one, same, other = (batches(class_uniform(LABELS, 12, 4, seed=s)) for s in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_superclasses_stay_among_themselves():
    superclasses = np.array([0, 0, 1, 1, 2, 2])
    drawn = batches(superclass_uniform(LABELS, superclasses, 8, 4, seed=1))
    groups = [set(superclasses[LABELS[b]]) for b in drawn]
    assert all(len(g) == 1 for g in groups) and set().union(*groups) == {0, 1, 2}
    assert {len(b) for b in drawn} == {8}
    (four,) = batches(superclass_uniform(LABELS, superclasses, 16, 4, seed=1), 1)
    assert len(np.unique(LABELS[four])) == 2  # fewer classes than the batch asks for


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="a batch of 10 cannot hold 4 examples"):
        next(class_uniform(LABELS, 10, 4, 1))
    with pytest.raises(ValueError, match="wants 8 classes, there are 6"):
        next(class_uniform(LABELS, 16, 2, 1))


def test_superclasses_are_found_by_the_features():
    random = np.random.default_rng(0)
    centres = np.array([[9, 0, 0], [8, 1, 0], [0, 9, 0], [1, 8, 0], [0, 0, 9], [0, 1, 8]], float)
    features = centres[LABELS] + random.normal(scale=0.2, size=(len(LABELS), 3))
    found = superclasses_of(features, LABELS, 7, count=3)
    assert found[0] == found[1] != found[2] == found[3] and found[4] == found[5] and len(set(found[:6])) == 3
    assert len(found) == 7 and np.array_equal(found, superclasses_of(features, LABELS, 7, count=3))
