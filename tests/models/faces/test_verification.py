"""The numbers of verification, against direct definitions and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from models.faces import verification


@pytest.fixture
def faces():
    """Unit vectors [60, 6] and persons [60], people of one to seven pictures, with equal vectors among them."""
    random = np.random.default_rng(1)
    persons = np.sort(random.integers(0, 15, 60))
    vectors = random.normal(size=(15, 6))[persons] + random.normal(scale=1.2, size=(60, 6))
    vectors[7] = vectors[40]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), persons


@pytest.fixture
def scored(faces):
    pairs = verification.all_pairs(*faces)
    scores = np.round(pairs.scores, 2)  # with many ties
    return scores, pairs.same


def test_all_pairs_are_those_above_the_diagonal(faces, monkeypatch):
    vectors, persons = faces
    monkeypatch.setattr(verification, "ROWS", 7)
    pairs = verification.all_pairs(vectors, persons)
    rows, columns = np.triu_indices(60, 1)
    np.testing.assert_allclose(pairs.scores, (vectors[rows] * vectors[columns]).sum(1), atol=1e-12)
    assert np.array_equal(pairs.same, persons[rows] == persons[columns])
    assert np.array_equal(pairs.first, persons[rows]) and np.array_equal(pairs.second, persons[columns])
    few = verification.all_pairs(vectors, persons, 100)
    impostors = pairs.scores[~pairs.same]
    step = -(-len(impostors) // 100)
    assert np.array_equal(few.scores[few.same], pairs.scores[pairs.same])
    assert np.array_equal(few.scores[~few.same], impostors[::step])


def test_no_face_is_no_pair():
    assert [len(part) for part in verification.all_pairs(np.zeros((0, 3)), np.zeros(0, int))] == [0, 0, 0, 0]
    assert len(verification.all_pairs(np.eye(3)[:1], np.zeros(1, int)).scores) == 0


def test_the_curve_is_that_of_scikit_learn(scored):
    found = verification.curve(*scored)
    far, tar, thresholds = metrics.roc_curve(scored[1], scored[0], drop_intermediate=False)
    np.testing.assert_allclose(found.far, far)
    np.testing.assert_allclose(found.tar, tar)
    np.testing.assert_allclose(found.thresholds[1:], thresholds[1:])


def test_weights_count_as_copies_do(scored):
    scores, same = scored
    counts = np.random.default_rng(2).integers(0, 3, len(scores))
    copied = verification.curve(np.repeat(scores, counts), np.repeat(same, counts))
    weighed = verification.curve(scores, same, counts)
    for far in (0.01, 0.1):
        assert verification.tar_at(weighed, far) == pytest.approx(verification.tar_at(copied, far))
    assert verification.equal_error_rate(weighed) == pytest.approx(verification.equal_error_rate(copied))


def test_equal_error_rate():
    one = verification.curve(np.array([0.9, 0.8, 0.3, 0.2]), np.array([True, True, False, False]))
    assert verification.equal_error_rate(one) == 0
    worst = verification.curve(np.array([0.9, 0.8, 0.3, 0.2]), np.array([False, False, True, True]))
    assert verification.equal_error_rate(worst) == 1
    mixed = verification.curve(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]))
    assert verification.equal_error_rate(mixed) == pytest.approx(0.5)
    for same in (np.ones(3, bool), np.zeros(3, bool)):
        found = verification.curve(np.arange(3.0), same)
        assert np.isnan(verification.equal_error_rate(found)) and np.isnan(verification.tar_at(found, 0.1))


def test_tar_at_a_far_is_never_of_a_higher_one(scored):
    scores, same = scored
    found = verification.curve(scores, same)
    for far in (0.0, 0.001, 0.02, 0.3, 1.0):
        allowed = [t for t in [np.inf, *scores] if (scores[~same] >= t).mean() <= far]
        assert verification.tar_at(found, far) == max((scores[same] >= t).mean() for t in allowed)
        threshold, reached = verification.threshold_at(found, far)
        assert reached == (scores[~same] >= threshold).mean() <= far
        assert (scores[same] >= threshold).mean() == verification.tar_at(found, far)
        assert not np.isclose(scores, threshold, atol=1e-9).any()  # rounding moves no pair across it


def test_a_threshold_without_impostors_accepts_nobody_that_is_not_sure():
    found = verification.curve(np.array([0.5, 0.25]), np.array([True, True]))
    assert verification.threshold_at(found, 0.1) == (0.75, 0.0)


def test_accuracy_by_folds_is_that_of_every_threshold_tried():
    random = np.random.default_rng(3)
    same = random.random(200) < 0.5
    scores = np.round(random.normal(same * 0.8), 1)
    folds = np.arange(200) % 5
    found = verification.accuracy_by_folds(scores, same, folds)
    values = np.unique(scores)
    tried = [values[-1] + 1, *((values[1:] + values[:-1]) / 2)[::-1], values[0] - 1]
    for fold, accuracy in enumerate(found):
        here = folds == fold
        best = max(tried, key=lambda t: ((scores[~here] >= t) == same[~here]).mean())
        assert accuracy == pytest.approx(((scores[here] >= best) == same[here]).mean())
    assert np.array_equal(verification.accuracy_by_folds(scores, same, folds, np.full(200, 3.0)), found)


def test_search_finds_the_nearest_first_picture(faces):
    vectors, persons = faces
    hits, of = verification.first_ranks(vectors, persons)
    first = {p: int(np.argmax(persons == p)) for p in np.unique(persons)}
    probes = [n for n in range(60) if n not in first.values()]
    nearest = [max(first, key=lambda p: vectors[first[p]] @ vectors[n]) for n in probes]
    assert np.array_equal(of, persons[probes]) and np.array_equal(hits, np.array(nearest) == persons[probes])
    assert len(verification.first_ranks(vectors[:0], persons[:0])[0]) == 0


def test_draws_are_of_persons_and_weigh_their_pairs():
    persons = np.array([3, 3, 5, 5, 9])
    pairs = verification.all_pairs(np.eye(5), persons)
    drawn = list(verification.draws(persons, 50))
    assert all(d.sum() == 3 and set(np.flatnonzero(d)) <= {3, 5, 9} for d in drawn)
    d = np.bincount([3, 3, 5], minlength=10)
    weights = verification.pair_weights(pairs, d)
    by_pair = {(a, b): w for a, b, w in zip(pairs.first, pairs.second, weights, strict=True)}
    assert by_pair[3, 3] == 2 and by_pair[5, 5] == 1 and by_pair[3, 5] == 2 and by_pair[3, 9] == by_pair[5, 9] == 0


def test_few_pairs_carry_no_rate():
    assert verification.carries(1e-2, 1000) and not verification.carries(1e-3, 9_999)
