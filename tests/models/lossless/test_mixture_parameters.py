"""What a network's outputs mean: the same bits as real numbers and as integers, channel by channel."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.coder.bounded_coder import BoundedCoder
from models.entropy.densities.mixture_cdf import PRECISION
from models.lossless.mixture_parameters import OUTPUT_BITS, Parameters


def drawn(of: Parameters, count: int, scale: float):
    """Outputs [1, 1, N, D] as a network gives them, and values [1, 1, N, C] that are likely under them."""
    rng = np.random.default_rng(3)
    outputs = rng.normal(size=(1, 1, count, of.outputs)) * scale + np.array(of.first_biases())
    outputs = np.round(outputs * 2.0**OUTPUT_BITS) * 2.0**-OUTPUT_BITS
    values = np.clip(np.round(rng.normal(of.centre, of.size / 6, (1, 1, count, of.channels))), 0, of.size - 1)
    return outputs.astype(np.float32), values.astype(np.float32)


@pytest.mark.parametrize("of", [Parameters(256, 3, 5, True), Parameters(256, 3, 2, False), Parameters(25, 5, 3)])
@pytest.mark.parametrize("scale", [0.1, 0.4])
def test_integers_cost_what_real_numbers_say(of, scale):
    outputs, values = drawn(of, 3000, scale)
    expected = np.asarray(of.bits(values, outputs))[0, 0].sum(0)
    coder, columns = BoundedCoder(of.size, of.size == 256), [tf.constant(v, tf.int32) for v in values[0, 0].T]
    for channel in range(of.channels):
        mixtures = of.integers(tf.constant(outputs[0, 0]), channel, columns[:channel])
        assert all(part.dtype == tf.int64 and part.shape == (of.components, 3000) for part in mixtures)
        steps = coder.intervals(columns[channel], *mixtures)
        coded = sum((PRECISION - np.log2(frequencies)).sum() for frequencies, _ in steps)
        assert coded == pytest.approx(expected[channel], rel=0.005)


def test_subpixel_terms_follow_the_channels_before():
    of = Parameters(256, 3, 1, True)
    outputs = np.zeros((2, of.outputs), np.float32)
    outputs[:, 9:] = [2.0, -2.0, 0.4]  # factors 1, 0 and 0.6
    before = [tf.constant([128, 228]), tf.constant([100, 0])]
    red, green, blue = (of.integers(tf.constant(outputs), channel, before[:channel])[0][0] for channel in range(3))
    assert red.numpy().tolist() == [128 * 256] * 2 and green.numpy().tolist() == [128 * 256, 228 * 256]
    np.testing.assert_allclose(blue / 256, [128 - 0.6 * 28, 128 - 0.6 * 128], atol=0.01)


def test_means_start_apart():
    of = Parameters(256, 3, 5, True)
    means = of.integers(tf.constant([of.first_biases()]), 0, [])[0][:, 0] / 256
    assert means[0] < 118 and means[-1] > 138 and (np.diff(means) > 5).all()
