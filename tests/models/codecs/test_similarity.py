"""MS-SSIM as an objective is TensorFlow's, as far as its scales go, and has a gradient everywhere."""

import numpy as np
import pytest
import tensorflow as tf

from models.codecs.similarity import WEIGHTS, ms_ssim, scales_of
from tests.models.kinds import photograph


@pytest.mark.parametrize("height, width", [(16, 30), (44, 90), (97, 131), (176, 200)])
def test_equals_tensorflows(height, width):
    x = np.stack([photograph(height, width, n) for n in (0, 60)]).astype("float32") / 255
    y = np.clip(x + np.random.default_rng(0).normal(0, 0.08, x.shape), 0, 1).astype("float32")
    weights = np.array(WEIGHTS[: scales_of(min(height, width))])
    expected = tf.image.ssim_multiscale(x, y, 1.0, (weights * sum(WEIGHTS) / weights.sum()).tolist())
    np.testing.assert_allclose(ms_ssim(x, y), expected, atol=2e-5)
    assert (np.array(expected) < 0.99).all() and np.allclose(ms_ssim(x, x), 1, atol=1e-5)


def test_scales():
    assert [scales_of(side) for side in (11, 21, 22, 43, 44, 88, 175, 176, 5000)] == [1, 1, 2, 2, 3, 4, 4, 5, 5]
    with pytest.raises(ValueError, match="side 10 are smaller than the window"):
        ms_ssim(np.zeros((1, 10, 40, 3), "float32"), np.zeros((1, 10, 40, 3), "float32"))


def test_a_picture_that_is_nothing_like_the_other_still_has_a_finite_gradient():
    x = tf.constant(photograph(48, 48)[None] / 255, tf.float32)
    for y in (1 - x, tf.zeros_like(x)):
        with tf.GradientTape() as tape:
            tape.watch(y)
            value = tf.reduce_sum(ms_ssim(x, y))
        assert np.isfinite(tape.gradient(value, y)).all()
