"""The log spectrogram against SciPy's."""

import numpy as np
import pytest
import scipy.signal

from models.ecg import spectrogram
from models.ecg.spectrogram import LogSpectrogram, frames_of
from tests.models.kinds import heartbeat

RATE = 300


@pytest.mark.parametrize("samples", [64, 95, 96, 1000, 2714])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_density_is_scipys(samples, offset):
    x = (heartbeat(10)[:samples] + offset).astype("float32")
    # All but the size of the frames is as SciPy has it by default.
    _, _, expected = scipy.signal.spectrogram(x.astype("float64"), RATE, nperseg=64, noverlap=32)
    found = np.array(LogSpectrogram(RATE).density(x[None]))[0].T
    assert found.shape == expected.shape == (33, (samples - 32) // 32)
    # The mean of a frame is taken off, and what float32 leaves of it lies in the lowest two frequencies.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9 * (1 + offset))


def test_window_is_scipys():
    np.testing.assert_allclose(spectrogram.tukey(64), scipy.signal.get_window(("tukey", 0.25), 64), atol=1e-12)


def test_logarithms_are_of_the_signal_over_its_amplitude_and_do_not_depend_on_its_sign():
    x = heartbeat(5)[None]
    length = np.array([x.shape[1]], "int32")
    found = np.array(LogSpectrogram(RATE, 0.5)(x, length))
    assert np.array_equal(found, LogSpectrogram(RATE, 0.5)(-x, length))
    assert np.array_equal(found, LogSpectrogram(RATE)(2 * x, length))
    assert abs(found.mean()) < 2 and 0.3 < found.std() < 2
    density = np.array(LogSpectrogram(RATE, 0.5).density(x / 0.5))
    np.testing.assert_allclose(4 * found[..., 0] - 14, np.log(density + 1e-9), atol=1e-4)


def test_frames_beyond_the_length_are_zero_and_others_do_not_see_what_stands_there():
    x = np.stack([heartbeat(3)] * 4)
    length = np.array([64, 500, 863, 900], "int32")
    full = np.array(LogSpectrogram(RATE)(x, np.full(4, 900, "int32")))
    x[np.arange(900) >= length[:, None]] = 7.0
    found = np.array(LogSpectrogram(RATE)(x, length))
    frames = np.array(frames_of(length))
    assert frames.tolist() == [1, 14, 25, 27] and found.shape == (4, 27, 33, 1)
    for one, whole, count in zip(found, full, frames, strict=True):
        assert np.array_equal(one[:count], whole[:count]) and not one[count:].any()


def test_a_flat_line_is_a_number():
    found = np.array(LogSpectrogram(RATE, 0.2)(np.zeros((1, 300), "float32"), np.array([300])))
    assert np.isfinite(found).all() and found.max() == found.min() < -1.5


@pytest.mark.parametrize(("hop", "overlap"), [(11, 6), (16, 4), (9, 3)])
def test_other_resolutions_are_scipys_up_to_a_frequency(hop, overlap):
    x, size = heartbeat(4).astype("float32"), hop * overlap
    rates, _, expected = scipy.signal.spectrogram(x.astype("float64"), RATE, nperseg=size, noverlap=size - hop)
    layer = LogSpectrogram(RATE, 1.0, hop, overlap, 50.0)
    found = np.array(layer.density(x[None]))[0].T
    assert layer.bins == (rates < 50.01).sum() and found.shape[1] == np.array(frames_of(len(x), hop, overlap))
    np.testing.assert_allclose(found, expected[rates < 50.01, : found.shape[1]], rtol=1e-4, atol=1e-9)
    assert LogSpectrogram.from_config(layer.get_config()).matrix.shape == (size, 2 * layer.bins)
