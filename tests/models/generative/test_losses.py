"""Adversarial terms against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.generative import losses

RANDOM = np.random.default_rng(0)


def scores(*shapes):
    return [RANDOM.normal(size=shape).astype("float32") for shape in shapes]


def test_least_squares_sum_over_scales_and_average_over_places():
    found = scores((2, 4, 4, 1), (2, 2, 2, 1))
    for target in (0.0, 1.0):
        expected = sum(np.square(s - target).mean((1, 2, 3)) for s in found)
        np.testing.assert_allclose(losses.least_squares(found, target), expected, rtol=1e-5)
    np.testing.assert_allclose(losses.least_squares(found[0], 1.0), np.square(found[0] - 1).mean((1, 2, 3)), rtol=1e-5)


def test_wasserstein_is_made_less_real():
    made, real = scores((3, 1), (3, 1))
    np.testing.assert_allclose(losses.wasserstein(made, real), (made - real)[:, 0], rtol=1e-5)


def test_features_are_matched_without_a_gradient_to_the_real():
    real, made = (scores((2, 4, 4, 3), (2, 5)) for _ in range(2))
    expected = sum(np.abs(r - m).mean(tuple(range(1, r.ndim))) for r, m in zip(real, made, strict=True))
    np.testing.assert_allclose(losses.feature_matching(real, made), expected, rtol=1e-5)
    given, other = tf.constant(real[0]), tf.constant(made[0])
    with tf.GradientTape() as tape:
        tape.watch([given, other])
        term = losses.feature_matching([given], [other])
    slopes = tape.gradient(term, [given, other])
    assert slopes[0] is None and np.any(slopes[1])


class Quadratic:
    """sum_i a_i x_i^2 / 2 over all of a picture, whose slope is a x."""

    def __init__(self, shape):
        self.a = tf.Variable(RANDOM.normal(size=shape).astype("float32"))

    def __call__(self, x):
        return tf.reduce_sum(self.a * tf.square(x), (1, 2, 3))[:, None] / 2


def penalty(a, at, per):
    slope = a * at
    if per == "image":
        return np.square(np.sqrt(np.square(slope).sum((1, 2, 3)) + 1e-12) - 1)
    return np.square(np.sqrt(np.square(slope).sum(3) + 1e-12) - 1).mean((1, 2))


@pytest.mark.parametrize("per", ["image", "position"])
def test_the_gradient_penalty_and_its_own_gradient(per):
    real, made = scores((3, 4, 5, 2), (3, 4, 5, 2))
    place = RANDOM.uniform(size=(3, 1, 1, 1)).astype("float32")
    critic, at = Quadratic((4, 5, 2)), place * real + (1 - place) * made
    with tf.GradientTape() as tape:
        found = losses.gradient_penalty(critic, real, made, place, per)
        total = tf.reduce_sum(found)
    a = critic.a.numpy().astype(np.float64)
    np.testing.assert_allclose(found, penalty(a, at, per), rtol=1e-4)
    slope, step = tape.gradient(total, critic.a).numpy(), 1e-5
    for place_of in ((0, 0, 0), (3, 4, 1), (1, 2, 0)):
        beside = a.copy()
        beside[place_of] += step
        numeric = (penalty(beside, at, per).sum() - penalty(a, at, per).sum()) / step
        np.testing.assert_allclose(slope[place_of], numeric, rtol=1e-3, atol=1e-4)


def test_the_penalty_of_a_critic_that_is_flat_has_a_finite_gradient():
    critic = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(1, 3, kernel_initializer="zeros")])
    x = np.ones((2, 4, 4, 2), "float32")
    with tf.GradientTape() as tape:
        found = tf.reduce_mean(losses.gradient_penalty(critic, x, 0 * x, np.full((2, 1, 1, 1), 0.5)))
    assert abs(float(found) - 1) < 1e-4
    assert np.isfinite(tape.gradient(found, critic.trainable_variables[0].value)).all()
    with pytest.raises(ValueError, match="per=pixel"):
        losses.gradient_penalty(critic, x, x, np.ones((2, 1, 1, 1)), "pixel")
