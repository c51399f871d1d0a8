"""Labelled pictures on their way to training: labels, sizes, noise, augmentation, samplers, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from models.classifiers import classifier
from models.classifiers.inputs import adapt, inputs, noisy, prepare
from models.contract.recipe import ConfigError
from models.records import kept
from models.records import pictures as picture_records
from tests.claims.damage import Memory
from tests.models.kinds import photograph, picture_record, png, tinted, write_records

BASE = classifier.ClassifierConfig(classes=3, image_size=16, batch_size=6)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return [write_records(tmp_path_factory.mktemp("tinted") / "r.gz", [tinted(n, f"{n}") for n in range(14)])]


def batches(files, count=1, **options):
    dataset = inputs(files, dataclasses.replace(BASE, **options), True)
    return [(x.numpy(), y.numpy()) for x, y in dataset.take(count)]


def tints(x):
    """The class that each picture shows."""
    return x.mean((1, 2)).argmax(1)


def test_batches_hold_pixels_and_their_labels(files):
    ((x, y),) = batches(files)
    assert x.shape == (6, 16, 16, 3) and x.dtype == np.float32 and 0 <= x.min() < x.max() <= 1
    assert y.shape == (6, 3) and np.array_equal(y.argmax(1), tints(x)) and (y.sum(1) == 1).all()


def test_validation_sees_every_picture_once_as_it_is(files):
    found = list(inputs(files, dataclasses.replace(BASE, crop=4, mixup=0.4, label_noise=0.9), False))
    assert [len(x) for x, _ in found] == [6, 6, 2]
    x, y = (np.concatenate(parts) for parts in zip(*((a.numpy(), b.numpy()) for a, b in found), strict=True))
    assert np.array_equal(y.argmax(1), [n % 3 for n in range(14)]) and np.array_equal(tints(x), y.argmax(1))


@pytest.mark.parametrize("options", [{"crop": 3}, {"flip": True}, {"cutout": 0.3}, {"mixup": 1.0}])
def test_augmentation_changes_pictures_and_follows_the_seed(files, options):
    plain, first, again, other = (
        batches(files, 2, **o) for o in ({}, options, options, options | {"seed": 2})
    )  # fmt: skip
    for (a, b), (c, d) in zip(first, again, strict=True):
        assert np.array_equal(a, c) and np.array_equal(b, d)
    assert any((a != b).any() for (a, _), (b, _) in zip(first, other, strict=True))
    assert all(0 <= x.min() and x.max() <= 1 and np.allclose(y.sum(1), 1, atol=1e-5) for x, y in first)
    changed = [(a != b).any((1, 2, 3)).mean() for (a, _), (b, _) in zip(first, plain, strict=True)]
    assert np.mean(changed) > 0.2
    mixed = any(((0.01 < y) & (y < 0.99)).any() for _, y in first)
    assert mixed == ("mixup" in options)


def test_a_shift_moves_each_picture_by_itself(files):
    (x, _), (plain, _) = batches(files, crop=3)[0], batches(files)[0]
    for moved, original in zip(x, plain, strict=True):
        padded = np.pad(original, ((3, 3), (3, 3), (0, 0)))
        places = [(r, c) for r in range(7) for c in range(7) if np.allclose(moved, padded[r : r + 16, c : c + 16])]
        assert places


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
def test_wrong_labels_are_the_wanted_share_and_stay(kind):
    config = dataclasses.replace(BASE, classes=5, label_noise=0.3, noise_kind=kind)
    keys, labels = tf.constant([f"picture {n}" for n in range(4000)]), tf.constant(np.arange(4000) % 5)

    def all_of(config):
        return noisy(labels, keys, config).numpy()

    found = all_of(config)
    wrong = found != labels.numpy()
    assert wrong.mean() == pytest.approx(0.3, abs=0.03)
    steps = np.unique((found - labels.numpy())[wrong] % 5)
    assert list(steps) == ([1] if kind == "pair" else [1, 2, 3, 4])
    assert np.array_equal(found[:7], all_of(config)[:7])
    assert (all_of(dataclasses.replace(config, noise_seed=2)) != found).any()


def test_noise_does_not_depend_on_the_order(files):
    def seen(seed):
        wrong = {}
        for x, y in batches(files, 6, label_noise=0.5, seed=seed):
            wrong |= {picture.tobytes(): int(label) for picture, label in zip(x, y.argmax(1), strict=True)}
        return wrong

    one, other = seen(1), seen(2)
    assert set(one) & set(other) and all(one[p] == other[p] for p in set(one) & set(other))
    assert len({t == c for t, c in zip(tints(np.array([np.frombuffer(p, "f4").reshape(16, 16, 3) for p in one])),
                                       one.values(), strict=True)}) == 2  # fmt: skip


def test_samplers_draw_few_classes(files):
    for x, y in batches(files, 4, sampler="class_uniform", per_class=3):
        assert sorted(np.bincount(y.argmax(1), minlength=3)) == [0, 3, 3] and np.array_equal(tints(x), y.argmax(1))
    for _, y in batches(files, 4, sampler="superclass_uniform", per_class=3, superclasses="[0, 1, 0]"):
        assert set(y.argmax(1)) in ({0, 2}, {1})
    with pytest.raises(ConfigError, match="sampler=class_uniform, per_class=4: a batch of 6 cannot hold 4"):
        batches(files, sampler="class_uniform")
    with pytest.raises(ConfigError, match="superclasses: wanted is a JSON list of 3 whole numbers"):
        batches(files, sampler="superclass_uniform", per_class=3, superclasses="[0, 1]")


def test_what_stands_beside_the_picture_comes_with_the_labels(tmp_path):
    records = []
    for n in range(6):
        records.append(kept.annotated(tinted(n, f"{n}"), {"teacher/logits": np.float32([n, n + 1, n + 2])}))
    file = write_records(tmp_path / "r.gz", records)
    x, y = next(iter(inputs([file], BASE, True, {"teacher/logits": kept.Output("float32", (3,))})))
    assert set(y) == {"labels", "teacher/logits"} and y["teacher/logits"].shape == (6, 3)
    assert np.array_equal(y["teacher/logits"][:, 0].numpy() % 3, y["labels"].numpy().argmax(1))


def test_a_cache_of_pictures_changes_no_batch(files, monkeypatch):
    drawn = batches(files, 5, label_noise=0.3)
    monkeypatch.setattr(picture_records, "KEPT", 13 * 3 * 16**2)  # a little less than the pictures take
    for (a, b), (c, d) in zip(drawn, batches(files, 5, label_noise=0.3), strict=True):
        assert np.array_equal(a, c) and np.array_equal(b, d)


def test_large_pictures_are_not_kept(tmp_path, monkeypatch):
    pixels = np.full((1000, 1000, 3), 9, np.uint8)
    file = write_records(tmp_path / "large.gz", 100 * [picture_record(pixels, label=0, label_name="a")])
    monkeypatch.setattr(picture_records, "KEPT", 128 << 20)  # less than half of the pixels
    memory = Memory()
    memory.restart()
    before = memory.now()
    assert batches([file], 2, image_size=1000, batch_size=2)[1][0].shape == (2, 1000, 1000, 3)
    assert memory.peak() - before < 200 << 20


def test_pictures_of_any_shape_become_squares():
    assert np.array_equal(prepare(tf.constant(png(photograph(16, 16))), 16), photograph(16, 16))
    wide = prepare(tf.constant(png(photograph(20, 60))), 10).numpy()
    assert wide.shape == (10, 10, 3)
    means = photograph(20, 60)[:, 20:40].reshape(10, 2, 10, 2, 3).mean((1, 3))
    assert np.abs(wide - means).mean() < 6


def test_the_configuration_learns_from_the_data(files, tmp_path):
    found = adapt(classifier.ClassifierConfig(), files)
    assert (found.classes, found.image_size) == (3, 16)
    assert json.loads(found.class_names) == ["tint 0", "tint 1", "tint 2"]
    assert adapt(classifier.ClassifierConfig(classes=7, image_size=8), files).classes == 7
    with pytest.raises(ConfigError, match="classes=2: the training pictures have at least 3"):
        adapt(classifier.ClassifierConfig(classes=2), files)
    bare = write_records(tmp_path / "bare.gz", [picture_record(photograph(16, 16))])
    with pytest.raises(ConfigError, match="the pictures have no labels"):
        adapt(classifier.ClassifierConfig(), [bare])
    with pytest.raises(tf.errors.InvalidArgumentError, match="wanted is 0 to 1"):
        next(iter(inputs(files, dataclasses.replace(BASE, classes=2), False)))


def test_options_that_make_no_sense_are_refused():
    for options, message in (({"classes": 1}, "classes=1"), ({"image_size": 4}, "image_size=4"),
                             ({"class_names": "a, b"}, "not a JSON list"),
                             ({"class_names": '["a"]', "classes": 3}, "1 names for 3")):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            classifier.ClassifierConfig(**options)
