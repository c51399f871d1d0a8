"""Symbols under frequencies of their own, step by step: exact, near the ideal, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.coder import frequency_coder
from models.entropy.densities.softmax_cdf import PRECISION

TOTAL = 1 << PRECISION


def drawn(counts, symbols: int, seed: int = 0):
    """Frequencies [n, L] of each step, and symbols [n] drawn from them."""
    rng = np.random.default_rng(seed)
    frequencies = [1 + rng.multinomial(TOTAL - symbols, rng.dirichlet([0.3] * symbols), size=n) for n in counts]
    found = [np.array([rng.choice(symbols, p=row / TOTAL) for row in step], int) for step in frequencies]
    return frequencies, found


def encoded(frequencies, symbols) -> bytes:
    """The string of `drawn`, whose steps are filled up."""
    most = max(len(step) for step in symbols)
    rows, starts = np.full((len(symbols), most), TOTAL), np.zeros((len(symbols), most), int)
    for place, (step, chosen) in enumerate(zip(frequencies, symbols, strict=True)):
        lane = np.arange(len(chosen))
        rows[place, : len(chosen)] = step[lane, chosen]
        starts[place, : len(chosen)] = (np.cumsum(step, 1) - step)[lane, chosen]
    return frequency_coder.encode(tf.constant(rows, tf.int64), tf.constant(starts, tf.int64)).numpy()


def decoded(stream: bytes, frequencies) -> list[np.ndarray]:
    state = frequency_coder.begin(tf.constant(stream), tf.constant(len(frequencies)))
    found = []
    for step in frequencies:
        assert frequency_coder.is_sound(state)
        state, symbols = frequency_coder.pull(state, tf.constant(step, tf.int64))
        found.append(symbols.numpy())
    frequency_coder.finish(state)
    return found


@pytest.mark.parametrize("symbols", [2, 6, 40])
@pytest.mark.parametrize("counts", [(1,), (0, 3), (5, 0, 0, 2), (40, 70, 55, 1)])
def test_round_trip(counts, symbols):
    frequencies, expected = drawn(counts, symbols)
    for one, other in zip(decoded(encoded(frequencies, expected), frequencies), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_stream_is_hardly_longer_than_its_symbols_are_worth():
    frequencies, symbols = drawn([300] * 40, 6)
    ideal = sum(
        float((PRECISION - np.log2(step[np.arange(len(chosen)), chosen])).sum())
        for step, chosen in zip(frequencies, symbols, strict=True)
    )
    assert 0 < 8 * len(encoded(frequencies, symbols)) / ideal - 1 < 0.01


def test_what_is_no_distribution_is_refused():
    for frequency, start in ((0, 5), (5, -1), (5, TOTAL - 4)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="no interval of its distribution"):
            frequency_coder.encode(tf.constant([[frequency]], tf.int64), tf.constant([[start]], tf.int64))


def test_another_number_of_steps_is_refused():
    frequencies, symbols = drawn((4, 6, 5), 6)
    stream = tf.constant(encoded(frequencies, symbols))
    with pytest.raises(tf.errors.InvalidArgumentError, match="its number of steps is another"):
        frequency_coder.begin(stream, tf.constant(4))
    state = frequency_coder.begin(stream, tf.constant(3))
    with pytest.raises(tf.errors.InvalidArgumentError, match="damaged stream"):
        frequency_coder.finish(state)
