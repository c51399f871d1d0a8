"""rANS with a state a lane: what is written comes back, close to the ideal, and damage is seen."""

import numpy as np
import pytest
import tensorflow as tf

from models.lossless import lane_coder
from models.lossless.lane_coder import WHOLE


def drawn(rows, lanes, seed=0):
    """Intervals of random widths, a third of them without a symbol."""
    rng = np.random.default_rng(seed)
    frequencies = np.exp(rng.uniform(0, np.log(WHOLE - 1), (rows, lanes))).astype(np.int64)
    starts = rng.integers(0, WHOLE - frequencies + 1)
    none = rng.random((rows, lanes)) < 0.3
    return np.where(none, WHOLE, frequencies).astype(np.int32), np.where(none, 0, starts).astype(np.int32)


def read(stream, frequencies, starts, ended, tail):
    """Takes the known intervals out again; the reader behind the last row."""
    rows, lanes = frequencies.shape
    opened = lane_coder.open_stream(stream, tf.constant(rows), tf.constant(lanes))
    assert int(opened.tail) == tail
    reader = lane_coder.begin(opened)
    for row, (frequency, start) in enumerate(zip(frequencies.astype(np.int64), starts, strict=True)):
        if row == rows - tail:
            reader = lane_coder.hand_over(reader, opened, ended)
        numbers = reader.states.numpy() % WHOLE
        assert ((numbers >= start) & (numbers < start + frequency)).all()
        states = frequency * (reader.states.numpy() // WHOLE) + numbers - start
        reader = lane_coder.advance(reader, tf.constant(states))
    return lane_coder.hand_over(reader, opened, ended) if not tail else reader


@pytest.mark.parametrize(("rows", "lanes", "tail"), [(1, 1, 1), (40, 1, 5), (60, 17, 20), (300, 40, 90)])
def test_round_trip(rows, lanes, tail):
    frequencies, starts = drawn(rows, lanes, rows)
    ended = np.arange(lanes) % 2 == 0
    frequencies[-tail:, ended], starts[-tail:, ended] = WHOLE, 0
    stream = lane_coder.encode(frequencies, starts, tf.constant(ended), tf.constant(tail))
    lane_coder.check_end(read(stream, frequencies, starts, tf.constant(ended), tail))
    ideal = (24 - np.log2(frequencies)).sum()
    assert 8 * len(stream.numpy()) < ideal + 37 * lanes + 8 * 8


def test_words_handed_over_make_it_shorter():
    frequencies, starts = drawn(400, 64, 5)
    ended = np.arange(64) < 56
    frequencies[-100:, ended], starts[-100:, ended] = WHOLE, 0
    with_tail = lane_coder.encode(frequencies, starts, tf.constant(ended), tf.constant(100))
    without = lane_coder.encode(frequencies, starts, tf.zeros([64], tf.bool), tf.constant(100))
    assert len(without.numpy()) - len(with_tail.numpy()) > 56 * 3


def test_damage_is_refused():
    frequencies, starts = drawn(30, 5, 7)
    stream = lane_coder.encode(frequencies, starts, tf.zeros([5], tf.bool), tf.constant(30)).numpy()
    shape = tf.constant(30), tf.constant(5)
    for bad in (b"", stream[:3], stream[:-1], b"\xff" * 12 + stream, stream[:1] + b"\x7f" + stream[2:]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="damaged stream"):
            opened = lane_coder.open_stream(tf.constant(bad), *shape)
            reader = lane_coder.hand_over(lane_coder.begin(opened), opened, tf.zeros([5], tf.bool))
            lane_coder.check_end(reader)
