"""Records of clips: written and read back, cut in time and space, mirrored, equal by their seed."""

import types

import numpy as np
import pytest
import tensorflow as tf

from models.records import clips
from tests.models.examples import clip_record, moving, write_records


@pytest.fixture(scope="module", name="files")
def _files(tmp_path_factory):
    runs = [moving(5, 24, 40, 0), moving(3, 30, 20, 60), moving(6, 24, 40, 120)]
    records = [clip_record(run, f"clip {n}", 8 * n) for n, run in enumerate(runs)]
    return runs, [write_records(tmp_path_factory.mktemp("clips") / "train.gz", records)]


def test_round_trip():
    run = moving(3, 9, 13)
    parsed = clips.parse(tf.constant(clip_record(run, "kéy", 16)))
    assert set(parsed) == set(clips.FEATURES) and parsed[clips.NAME].numpy().decode() == "kéy"
    assert [int(parsed[name]) for name in clips.INTEGERS[:4]] == [16, 3, 9, 13] and parsed[clips.FRAME_RATE] == 25
    assert np.array_equal(clips.decode(parsed[clips.FRAMES]), run)


def test_whole_runs_in_order(files):
    runs, paths = files
    found = list(clips.frames(paths).as_numpy_iterator())
    assert len(found) == 3 and all(np.array_equal(a, b) for a, b in zip(found, runs, strict=True))


def test_validation_takes_the_first_frames_and_their_centre_and_leaves_short_runs_out(files):
    runs, paths = files
    found = list(clips.frames(paths, 4, 16).as_numpy_iterator())
    assert np.array_equal(found, [run[:4, 4:20, 12:28] for run in (runs[0], runs[2])])


def test_training_cuts_one_place_out_of_all_frames_again_by_its_seed(files):
    runs, paths = files
    dataset = clips.frames(paths, 3, 16, training=True, seed=5)
    found = list(dataset.take(24).as_numpy_iterator())
    assert np.array_equal(found, list(clips.frames(paths, 3, 16, training=True, seed=5).take(24).as_numpy_iterator()))
    windows = {
        cut.tobytes()
        for run in runs
        for t in range(len(run) - 2)
        for y in range(run.shape[1] - 15)
        for x in range(run.shape[2] - 15)
        for cut in (run[t : t + 3, y : y + 16, x : x + 16], run[t : t + 3, y : y + 16, x : x + 16][:, :, ::-1])
    }
    assert all(run.tobytes() in windows for run in found)
    assert len({run.tobytes() for run in found}) > 18
    straight = clips.frames(paths, 3, 16, training=True, seed=5, mirror=False).take(24).as_numpy_iterator()
    assert 4 < sum(np.array_equal(a, b[:, :, ::-1]) for a, b in zip(found, straight, strict=True)) < 20


def test_a_smaller_frame_is_continued_by_reflection(files):
    runs, paths = files
    found = list(clips.frames(paths, 3, 32).as_numpy_iterator())[1]
    assert np.array_equal(found[:, :30, :20], runs[1]) and np.array_equal(found[:, 30], found[:, 29])
    assert np.array_equal(found[:, :, 20:], found[:, :, 8:20][:, :, ::-1])


def test_batches(files):
    config = types.SimpleNamespace(clip_length=2, crop_size=16, batch_size=2, seed=1)
    assert [batch.shape for batch in clips.batches(files[1], config, training=False)] == [
        (2, 2, 16, 16, 3),
        (1, 2, 16, 16, 3),
    ]
    batch = next(iter(clips.batches(files[1], config, training=True)))
    assert batch.shape == (2, 2, 16, 16, 3) and batch.dtype == tf.uint8


def test_a_damaged_frame_is_an_error(tmp_path):
    record = bytearray(clip_record(moving(2, 9, 13)))
    record[record.index(b"IDAT") + 8] ^= 255
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(clips.frames([write_records(tmp_path / "broken.gz", [bytes(record)])]))


def test_no_files():
    with pytest.raises(FileNotFoundError):
        clips.frames(["nowhere.gz"])
