"""The order of positions: each once, behind all that it depends on, in strips of bounded size."""

import numpy as np
import pytest
import tensorflow as tf

from models.lossless import wavefront
from models.lossless.causal_features import TAPS


@pytest.mark.parametrize("sides", [(1, 1), (3, 5), (128, 2), (129, 7), (300, 11)])
def test_skew_puts_each_position_at_its_step(sides):
    strip = wavefront.strip_of(*map(tf.constant, sides))
    lanes = int(strip.lanes)
    assert sides[0] <= lanes < sides[0] + int(strip.bands)
    values = np.arange(lanes * sides[1] * 2).reshape(lanes, sides[1], 2)
    skewed = strip.skew(tf.constant(values), -1).numpy()
    for step in range(int(strip.steps)):
        column = strip.column(tf.constant(step)).numpy()
        for lane in range(lanes):
            inside = 0 <= step - 3 * (lane % int(strip.rows)) < sides[1]
            assert (skewed[step, lane] == (values[lane, step - 3 * (lane % int(strip.rows))] if inside else -1)).all()
            assert column[lane] == step - 3 * (lane % int(strip.rows)) if lane < sides[0] else column[lane] == -1
    assert np.array_equal(strip.unskew(tf.constant(skewed)), values)


def test_all_that_a_position_depends_on_was_decoded_before():
    assert all(column + wavefront.REACH * row < 0 for row, column in TAPS)


@pytest.mark.slow
def test_ended_lanes_have_no_position_any_more():
    strip = wavefront.strip_of(tf.constant(130), tf.constant(9))
    for step in range(int(strip.steps)):
        later = [strip.column(tf.constant(s)).numpy() for s in range(step, int(strip.steps))]
        busy = np.any([(c >= 0) & (c < 9) for c in later], 0)
        assert not (strip.ended(tf.constant(step)).numpy() & busy).any()


def test_strips_are_bounded():
    for width in (1, 100, 4096, 65535):
        rows = int(wavefront.strip_rows(tf.constant(width)))
        assert rows % wavefront.BAND == 0 and rows * width <= max(wavefront.STRIP_PIXELS, wavefront.BAND * width)
