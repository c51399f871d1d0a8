"""Crops of the codecs' input pipeline: sizes, places, reflection, seeds."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models.codecs import inputs as codec_inputs
from models.contract import registry
from models.records import pictures as picture_records
from tests.claims.damage import Memory
from tests.models.kinds import photograph, picture_record, write_records

CONFIG = registry.get("factorized").make_config("small", {"crop_size": 64, "batch_size": 3})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of five pictures, one of them tiny."""
    folder = tmp_path_factory.mktemp("inputs")
    pictures = [photograph(80, 100, 60 * n) for n in range(4)] + [photograph(3, 5)]
    records = [picture_record(p, str(n)) for n, p in enumerate(pictures)]
    return [write_records(folder / "a.gz", records[:3]), write_records(folder / "b.gz", records[3:])]


def batches(files, count: int, **options) -> np.ndarray:
    """The first training batches, [count, B, S, S, 3]."""
    config = dataclasses.replace(CONFIG, **options)
    tf.random.set_seed(1)  # which a test before may have set, and what is drawn follows both seeds
    return np.stack(list(codec_inputs.inputs(files, config, True).take(count).as_numpy_iterator()))


def test_training_batches_are_full_and_endless(files):
    x = batches(files, 6)
    assert x.shape == (6, 3, 64, 64, 3) and x.dtype == np.float32 and x.min() >= 0 and 0.5 < x.max() <= 1


def test_the_seed_decides_the_crops(files):
    first = batches(files, 4)
    assert np.array_equal(first, batches(files, 4))
    assert not np.array_equal(first, batches(files, 4, seed=2))
    assert len(np.unique(first.reshape(12, -1)[:, :300], axis=0)) == 12  # no crop comes twice


def test_a_cache_of_pictures_changes_no_crop(files, monkeypatch):
    kept, shown = batches(files, 6), list(codec_inputs.inputs(files, CONFIG, False).as_numpy_iterator())
    monkeypatch.setattr(picture_records, "KEPT", 4 * 3 * 80 * 100)  # a little less than the pictures take
    assert np.array_equal(batches(files, 6), kept)
    for a, b in zip(codec_inputs.inputs(files, CONFIG, False).as_numpy_iterator(), shown, strict=True):
        assert np.array_equal(a, b)


def test_what_is_shuffled_is_not_decoded(tmp_path, monkeypatch):
    """A hundred pictures of 9 MB when decoded, a few KB as they are."""
    file = write_records(tmp_path / "large.gz", 100 * [picture_record(np.full((1500, 2000, 3), 9, np.uint8))])
    monkeypatch.setattr(picture_records, "KEPT", 256 << 20)
    memory = Memory()
    memory.restart()
    before = memory.now()
    assert batches([file], 2).shape == (2, 3, 64, 64, 3)
    assert memory.peak() - before < 200 << 20


def test_validation_shows_the_centre_of_every_picture_once(files):
    x = list(codec_inputs.inputs(files, CONFIG, False).as_numpy_iterator())
    assert [b.shape for b in x] == [(3, 64, 64, 3), (2, 64, 64, 3)]
    assert np.allclose(x[0][1], photograph(80, 100, 60)[8:72, 18:82] / 255, atol=1e-6)
    assert np.array_equal(x[0], next(codec_inputs.inputs(files, CONFIG, False).as_numpy_iterator()))


@pytest.mark.parametrize("height, width", [(1, 1), (1, 9), (3, 5), (63, 200), (64, 64)])
def test_small_pictures_are_continued_by_reflection(height, width):
    picture = photograph(height, width)
    for place in ((0.0, 0.0), (0.999, 0.999)):
        found = codec_inputs.crop(tf.constant(picture), 64, tf.constant(place)).numpy()
        rows, columns = min(height, 64), min(width, 64)
        left = 0 if place[0] == 0 else width - columns
        assert found.shape == (64, 64, 3)
        assert np.array_equal(found[:rows, :columns], picture[:rows, left : left + columns])
        expected = np.pad(found[:rows, :columns], [(0, 64 - rows), (0, 64 - columns), (0, 0)], "symmetric")
        assert np.array_equal(found, expected)


def test_every_place_of_a_crop_can_be_drawn():
    picture = tf.constant(np.arange(66)[:, None, None] * np.ones((1, 64, 3), int), tf.uint8)
    draws = [codec_inputs.augment(picture, 64, tf.constant([7, n], tf.int64)).numpy()[0, 0, 0] for n in range(40)]
    assert set(draws) == {0, 1, 2}


def test_half_of_the_crops_are_mirrored():
    picture = tf.constant(np.arange(64)[None, :, None] * np.ones((64, 1, 3), int), tf.uint8)
    draws = [codec_inputs.augment(picture, 64, tf.constant([7, n], tf.int64)).numpy()[0, 0, 0] for n in range(40)]
    assert set(draws) == {0, 63} and 8 < draws.count(0) < 32


@pytest.mark.parametrize("training", [True, False])
def test_missing_files_are_named(training, tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.gz"):
        codec_inputs.inputs([str(tmp_path / "gone.gz")], CONFIG, training)
    with pytest.raises(FileNotFoundError, match="empty list"):
        codec_inputs.inputs([], CONFIG, training)
