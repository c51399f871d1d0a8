"""Resampling in the graph against SciPy's."""

import math

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from models.ecg.resample import resample


@pytest.fixture(scope="module")
def to_300():
    spec = [tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.float32)]
    return tf.function(lambda x, rate: resample(x, rate, 300.0), spec, autograph=False)


@pytest.mark.parametrize("rate", [128, 250, 257, 360, 500, 1000])
def test_agrees_with_scipy(to_300, rate):
    """In the band and above it (what would alias), also at the ends, and in the number of samples."""
    t = np.arange(7 * rate + 3) / rate
    x = np.sin(2 * np.pi * 7 * t) + 0.5 * np.sin(2 * np.pi * 0.45 * min(rate, 300) * t)
    x += np.sin(2 * np.pi * 0.48 * rate * t)
    divisor = math.gcd(rate, 300)
    expected = scipy.signal.resample_poly(x, 300 // divisor, rate // divisor)
    got = to_300(x.astype(np.float32), float(rate)).numpy()
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-5


def test_the_same_rate_changes_no_bit(to_300):
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert np.array_equal(to_300(x, 300.0), x)


def test_places_stay_exact_over_half_an_hour(to_300):
    """Float32 could not number the samples: a slow sine would be late at the end."""
    rate, seconds = 1000, 1800
    t = np.arange(rate * seconds) / rate
    got = to_300(np.sin(2 * np.pi * 10 * t).astype(np.float32), float(rate)).numpy()
    expected = np.sin(2 * np.pi * 10 * np.arange(300 * seconds) / 300)
    assert len(got) == len(expected) and np.abs(got - expected)[30:-30].max() < 1e-2


def test_rates_need_no_small_ratio(to_300):
    rate = np.float32(299.7)
    t = np.arange(3000) / float(rate)
    got = to_300(np.sin(2 * np.pi * 10 * t).astype(np.float32), rate).numpy()
    expected = np.sin(2 * np.pi * 10 * np.arange(len(got)) / 300)
    assert len(got) == 3004 and np.abs(got - expected)[30:-30].max() < 1e-2
