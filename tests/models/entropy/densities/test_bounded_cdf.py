"""Mixtures over alphabets with ends: rising strictly from 0 to the whole, close to the real ones, rightly searched."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.densities.bounded_cdf import BoundedCdf
from models.entropy.densities.mixture_cdf import LOGISTIC, NORMAL, PRECISION, MixtureCdf
from tests.models.entropy.logistic_mixtures import draw, mass, sample

KINDS = [(2, False), (25, False), (256, False), (16, True), (256, True), (1024, True)]
EXTREMES = ([[-(1 << 24)], [1 << 24], [0]], [[0], [252], [9999]], [[0], [1 << 24], [-(1 << 24)]])


def made(size, split, distribution=LOGISTIC) -> BoundedCdf:
    return BoundedCdf(MixtureCdf(distribution=distribution), size, split)


def tensors(parameters):
    return [tf.constant(p, tf.int64) for p in parameters]


@pytest.mark.parametrize("distribution", [NORMAL, LOGISTIC])
@pytest.mark.parametrize(("size", "split"), KINDS)
def test_symbols_share_the_whole_without_a_gap(size, split, distribution):
    cdf = made(size, split, distribution)
    for parameters in (draw(20, 3, size), draw(20, 1, size, level=0), EXTREMES):
        count = np.shape(parameters[0])[1]
        symbols = np.repeat(np.arange(size), count)
        steps = cdf.intervals(tf.constant(symbols, tf.int64), *tensors([np.tile(p, size) for p in parameters]))
        part = cdf.sizes[1] if split else 1
        shape = size // part, part, count
        (frequencies, starts), *second = (tuple(np.reshape(v, shape) for v in step) for step in steps)
        assert_rows(frequencies[:, 0], starts[:, 0])
        assert (np.diff(starts, axis=1) == 0).all()  # all symbols of a part have the same first step
        for frequencies, starts in second:
            for one in range(size // part):
                assert_rows(frequencies[one], starts[one])


def assert_rows(frequencies, starts):
    """[S, N] each: symbol after symbol without a gap, from 0 to the whole."""
    assert frequencies.min() >= 1 and (starts[0] == 0).all()
    assert (starts[1:] == (starts + frequencies)[:-1]).all() and ((starts + frequencies)[-1] == 1 << PRECISION).all()


@pytest.mark.parametrize(("size", "split"), [(25, False), (256, True)])
def test_bits_are_close_to_the_real_ones(size, split):
    parameters = draw(400, 5, size)
    for symbols in (np.zeros(400, np.int64), sample(parameters, size)):
        steps = made(size, split).intervals(tf.constant(symbols, tf.int64), *tensors(parameters))
        bits = sum(PRECISION - np.log2(frequencies) for frequencies, _ in steps)
        true = mass(parameters, symbols, size)
        seen = true > 2.0**-6
        assert seen.sum() > 10 and np.abs(bits + np.log2(np.maximum(true, 1e-300)))[seen].max() < 0.05


@pytest.mark.parametrize(("size", "split"), KINDS)
def test_the_search_finds_every_number(size, split):
    cdf = made(size, split)
    fields = cdf.first(*tensors(draw(50, 3, size, level=60)))
    for number in (0, 1, 77, 20_000, (1 << PRECISION) - 2, (1 << PRECISION) - 1):
        states = tf.fill([50], tf.constant((5 << PRECISION) + number, tf.int64))
        after, symbols = cdf.look_up(0)(states, fields)
        frequencies, starts = cdf._interval(symbols, fields, cdf.sizes[0])
        assert ((starts <= number) & (number < starts + frequencies)).numpy().all()
        assert np.array_equal(after, frequencies * 5 + number - starts)


def test_a_place_without_a_symbol_leaves_the_state():
    after, symbols = made(25, False).look_up(0)(tf.constant([123456789], tf.int64), tf.zeros([9, 1], tf.int64))
    assert after.numpy().tolist() == [123456789] and symbols.numpy().tolist() == [0]


@pytest.mark.parametrize(("size", "split"), [(1, False), (4096, False), (32, True), (25, True), (1, True)])
def test_other_sizes_are_refused(size, split):
    with pytest.raises(ValueError, match="^an alphabet of"):
        made(size, split)
