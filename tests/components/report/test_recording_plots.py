"""The drawings of recordings."""

import numpy as np

from components.report import recording_plots
from models.ecg.spectrogram import LogSpectrogram
from tests.components import ecg_records


def test_the_drawn_spectrogram_is_the_models():
    samples = ecg_records.signal("A", 3, 900)
    found = recording_plots.log_spectrogram(samples, 300)
    layer = LogSpectrogram(300, 1.0)
    theirs = np.array(layer(samples[None].astype("float32"), np.array([900], "int32")))[0, ..., 0]
    assert found.shape == theirs.shape[::-1] == (33, 27)
    # The layer's values are shifted and scaled alike in all places.
    slope, shift = np.polyfit(theirs.T.ravel(), found.ravel(), 1)
    np.testing.assert_allclose(slope * theirs.T + shift, found, atol=5e-3)


def test_a_line_of_many_samples_keeps_its_extremes():
    samples = np.zeros(18_000)
    samples[[7001, 15_000]] = 3.0, -2.0
    time, volts = recording_plots._extremes(samples, 300)
    assert len(time) == len(volts) < 3000 and volts.max() == 3 and volts.min() == -2
    assert abs(time[volts.argmax()] - 7001 / 300) < 0.1
