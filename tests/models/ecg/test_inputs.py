"""Recordings on their way to training: what is left out, how pieces are cut and changed, what is learnt of the data."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from models.contract.recipe import ConfigError
from models.ecg import inputs as ecg_inputs
from models.records import recordings as ecg_records
from tests.models.kinds import heartbeat, recording_record, tiny, write_records

RECIPE = registry.get("ecg_cnn")
CONFIG = RECIPE.make_config("small", tiny(RECIPE))
PLAIN = dataclasses.replace(CONFIG, bursts=False, stretch=False, resample=False, crop_seconds=60.0)


def records(folder, seconds, labels) -> list[str]:
    """A file of recordings of these lengths and labels; each has a peak height of its own."""
    made = [recording_record(heartbeat(s, seed=n), str(n), label)
            for n, (s, label) in enumerate(zip(seconds, labels, strict=True))]  # fmt: skip
    return [write_records(folder / "r.gz", made)]


def test_validation_is_every_labelled_recording_once_and_whole(tmp_path):
    seconds, labels = [1.0, 40, 2.5, 3, 70, 2, 41, 1.5], [0, 1, 2, 3, 0, -1, 2, 1]
    files = records(tmp_path, seconds, labels)
    seen = []
    for x, y in ecg_inputs.inputs(files, CONFIG, False):
        assert x["samples"].dtype == y.dtype == tf.float32 and x["length"].dtype == tf.int32
        assert y.shape == (len(x["length"]), 4) and x["samples"].shape[1] == -(-max(x["length"]) // 1500) * 1500
        if max(x["length"]) > 31 * 300:
            assert min(x["length"]) > 31 * 300 and len(y) <= 2  # of long recordings fewer at a time, without short ones
        for samples, length, one in zip(x["samples"].numpy(), x["length"].numpy(), y.numpy(), strict=True):
            n = seconds.index(length / 300)
            assert one.argmax() == labels[n] and not samples[length:].any()
            np.testing.assert_allclose(samples[:length], heartbeat(seconds[n], seed=n), atol=1e-6)
            seen.append(n)
    assert sorted(seen) == [n for n, label in enumerate(labels) if label >= 0]


def test_training_is_endless_and_pieces_are_of_the_recordings(tmp_path):
    files = records(tmp_path, [5, 1.5, 9], [0, 1, -1])
    config = dataclasses.replace(PLAIN, crop_seconds=2.0, batch_size=2)
    long, starts = heartbeat(5, seed=0), set()
    for x, y in ecg_inputs.inputs(files, config, True).take(20):
        assert y.shape == (2, 4) and not np.any(y[:, 2:])
        for samples, length, label in zip(x["samples"].numpy(), x["length"].numpy(), y.numpy().argmax(1), strict=True):
            if label == 1:
                assert length == 450
                np.testing.assert_allclose(samples[:length], heartbeat(1.5, seed=1), atol=1e-6)
            else:
                assert length == 600
                windows = np.lib.stride_tricks.sliding_window_view(long, 600)
                starts.add(int(np.abs(windows - samples[:600]).max(1).argmin()))
                assert np.abs(windows - samples[:600]).max(1).min() < 1e-6
    assert len(starts) > 5


def test_the_seed_decides_what_is_drawn_and_every_draw_is_another(tmp_path):
    files = records(tmp_path, [3, 3, 3, 3], [0, 1, 2, 3])

    def drawn(seed):
        batches = ecg_inputs.inputs(files, dataclasses.replace(CONFIG, seed=seed), True).take(6)
        return [x["samples"].numpy() for x, _ in batches]

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert len({a.tobytes() for a in first}) == len(first)


def test_bursts_take_about_22_percent_in_holes_of_11_samples_and_more():
    x = np.ones((40, 9000), "float32")
    y = ecg_inputs.zero_bursts(x, (1, 2)).numpy()
    assert abs((y == 0).mean() - 0.224) < 0.01  # 1 - 0.97725^11
    for row in y[:5]:
        edges = np.flatnonzero(np.diff(np.concatenate([[1], row, [1]])))
        inner = [b - a for a, b in zip(edges[::2], edges[1::2], strict=True) if a > 0 and b < 9000]
        assert min(inner) == 11 and max(inner) < 100
    assert not np.array_equal(y, ecg_inputs.zero_bursts(x, (1, 3)))


def test_stretching_gives_any_length_of_the_range_by_linear_interpolation():
    lengths = np.full(500, 300, "int32")
    ramp = np.tile(np.arange(300, dtype="float32"), (500, 1))
    config = dataclasses.replace(PLAIN, stretch=True)
    y, new = (t.numpy() for t in ecg_inputs.augment(ramp, lengths, config, 9000, (1, 1)))
    assert new.min() >= 200 and new.max() <= 400 and new.min() < 205 and new.max() > 395
    assert abs(new.mean() - 300) < 10 and y.shape == (500, new.max())
    for row, n in zip(y[:50], new, strict=False):
        np.testing.assert_allclose(np.diff(row[: n - 2]), 300 / n, rtol=0.02)  # a ramp stays one
        assert row[0] == 0 and 297 < row[n - 1] <= 299 and not row[n:].any()


def test_what_is_too_long_after_stretching_is_cut_anywhere():
    ramp = np.tile(np.arange(600, dtype="float32"), (300, 1))
    y, new = ecg_inputs.resampled(ramp, np.full(300, 600, "int32"), np.full(300, 1.0, "float32"), 200, (1, 1))
    starts = y.numpy()[:, 0]
    assert y.shape == (300, 200) and set(new.numpy()) == {200} and starts.min() < 20 and starts.max() > 380
    assert np.array_equal(y.numpy() - starts[:, None], np.tile(np.arange(200), (300, 1)))


def test_rare_classes_are_drawn_more_often(tmp_path):
    assert ecg_inputs.repetitions(np.array([0.5952, 0.0889, 0.2832, 0.0327]), 0.2).tolist() == [1, 3, 1, 7]
    assert ecg_inputs.repetitions(np.array([1.0, 0.0]), 0.2).tolist() == [1, 1]
    labels = [0] * 18 + [1] * 2
    files = records(tmp_path, [1] * 20, labels)
    shares = json.dumps([0.9, 0.1, 0.0, 0.0])
    for resample, expected in ((True, 6 / 24), (False, 0.1)):
        config = dataclasses.replace(PLAIN, resample=resample, class_shares=shares, batch_size=24 if resample else 20)
        batches = ecg_inputs.inputs(files, config, True).take(5)  # an epoch each
        drawn = np.concatenate([y.numpy().argmax(1) for _, y in batches])
        assert abs((drawn == 1).mean() - expected) < 1e-6


def test_the_data_fill_in_what_the_configuration_leaves_open(tmp_path):
    files = records(tmp_path, [1] * 6, [0, 0, 1, 3, -1, 0])
    open_config = RECIPE.make_config("small")
    config = RECIPE.adapt(open_config, files)
    assert config.classes == 4 and json.loads(config.class_names) == ["N", "O", "2", "~"]
    assert json.loads(config.class_shares) == [0.6, 0.2, 0.0, 0.2] and abs(config.amplitude - 0.25) < 1e-6
    assert RECIPE.adapt(config, files) == config
    own = dataclasses.replace(open_config, amplitude=1.0, class_names='["a", "b", "c", "d", "e"]', classes=5)
    kept = RECIPE.adapt(own, files)
    assert (kept.amplitude, kept.class_names, kept.classes) == (1.0, own.class_names, 5)


def test_records_that_cannot_be_trained_on_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="the recordings have no labels"):
        RECIPE.adapt(CONFIG, records(tmp_path, [1, 1], [-1, -1]))
    with pytest.raises(ConfigError, match="classes=2: the training recordings have at least 4"):
        RECIPE.adapt(RECIPE.make_config("small", {"classes": 2}), records(tmp_path, [1], [3]))
    two = dataclasses.replace(PLAIN, classes=2, class_names="")
    with pytest.raises(tf.errors.InvalidArgumentError, match="the label of"):
        list(ecg_inputs.inputs(records(tmp_path, [1], [3]), two, False))
    example = ecg_records.recording_example(
        heartbeat(1),
        key="raw",
        format_name="mat",
        original_rate=300,
        size_bytes=600,
        noise_class="clean",
        label_name="N",
    )
    raw = write_records(tmp_path / "raw.gz", [example.SerializeToString()])
    with pytest.raises(ConfigError, match="the recordings have no amplitude"):
        RECIPE.adapt(CONFIG, [raw])
