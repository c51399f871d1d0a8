"""Mixtures over levels in integers: whole, searched for as they are coded, and those of the floats."""

import numpy as np
import tensorflow as tf

from models.entropy.densities import mixture_cdf
from models.lossless import causal_network, level_cdf
from models.lossless.lane_coder import PRECISION, WHOLE

MIXTURES = mixture_cdf.MixtureCdf(distribution=mixture_cdf.LOGISTIC)


def drawn(count, seed=0):
    """Fields, and the means, logarithms of scales (octaves) and logits that they are of."""
    rng = np.random.default_rng(seed)
    means, octaves = rng.uniform(-30, 290, (5, count)), rng.uniform(-4.6, 7, (5, count))
    logits = rng.uniform(-4, 0, (5, count))
    levels = np.round((octaves - np.log2(0.04)) * 252 / np.log2(3200)).astype(np.int64)
    numbers = np.round(means * 256).astype(np.int64), levels, np.round(logits * 256).astype(np.int64)
    return level_cdf.fields(MIXTURES, *map(tf.constant, numbers)), (means, octaves, logits)


def test_intervals_of_all_levels_fill_the_whole():
    of, _ = drawn(50)
    end = np.zeros(50, np.int64)
    for level in range(256):
        frequency, start = (t.numpy() for t in level_cdf.intervals(MIXTURES, of, tf.fill([50], np.int64(level))))
        assert np.array_equal(start, end) and (frequency >= 1).all()
        end = start + frequency
    assert (end == WHOLE).all()


def test_search_undoes_intervals():
    of, _ = drawn(400, 1)
    rng = np.random.default_rng(2)
    levels, above = rng.integers(0, 256, 400), rng.integers(1 << 7, 1 << 38, 400)
    frequency, start = (t.numpy() for t in level_cdf.intervals(MIXTURES, of, tf.constant(levels)))
    inside = rng.integers(0, frequency)
    states = (above << PRECISION) + start + inside
    found, left = level_cdf.search(MIXTURES, of, tf.constant(states))
    assert np.array_equal(found, levels) and np.array_equal(left, frequency * above + inside)


def test_bits_are_those_of_the_floats():
    of, (means, octaves, logits) = drawn(3000, 3)
    centre = means[0] + np.random.default_rng(4).normal(0, 2 ** octaves[0])
    levels = np.clip(np.round(centre), 0, 255).astype(np.int64)
    frequency, _ = level_cdf.intervals(MIXTURES, of, tf.constant(levels))
    outputs = np.concatenate([means, octaves, logits]).T.astype(np.float32)
    zeros, ones = tf.zeros(3000), tf.ones(3000)
    expected = np.array(causal_network.bits(tf.constant(levels, tf.float32), outputs, zeros, ones, zeros))
    usual = expected < 16
    off = (PRECISION - np.log2(frequency.numpy()) - expected)[usual]
    assert usual.sum() > 2500 and abs(off.mean()) < 3e-3 and abs(off).max() < 0.3
