"""Ternary values and their gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers import ternary


def test_values_and_scale_are_those_of_ternary_weight_networks():
    values, scale = ternary.ternary(np.array([1.0, -0.9, 0.1, -0.2, 0.05, 2.0], "float32"))
    # The mean magnitude is 0.708, the threshold 0.496.
    assert np.array_equal(values, [1, -1, 0, 0, 0, 1]) and np.isclose(float(scale), 3.9 / 3)


def test_small_weights_are_not_all_zero_but_with_a_fixed_threshold():
    weights = np.random.default_rng(1).normal(0, 0.05, 999).astype("float32")
    assert np.abs(ternary.ternary(weights)[0]).mean() > 0.5 and not np.any(ternary.fixed_ternary(weights))


def test_the_gradient_goes_straight_through():
    matrix = ternary.TernaryMatrix((5, 4), "ternary")
    with tf.GradientTape() as tape:
        used = matrix.matrix()
        total = tf.reduce_sum(used * np.arange(20, dtype="float32").reshape(5, 4))
    assert np.array_equal(tape.gradient(total, matrix.kernel.value), np.arange(20).reshape(5, 4))
    values, scale = matrix.folded()
    assert np.allclose(used, scale * values, atol=1e-6) and set(np.unique(values)) == {-1, 0, 1}


def test_folded_values_do_not_learn_and_full_ones_cannot_be_folded():
    folded = ternary.TernaryMatrix((30, 40), "folded")
    assert not folded.trainable_variables and 0.6 < np.abs(folded.kernel).mean() < 0.72
    assert set(np.unique(folded.kernel)) == {-1, 0, 1}
    with pytest.raises(ValueError, match="full precision"):
        ternary.TernaryMatrix((2, 2)).folded()
    with pytest.raises(ValueError, match="form='half'"):
        ternary.TernaryMatrix((2, 2), "half")
    again = keras.layers.deserialize(keras.layers.serialize(folded))
    assert again.form == "folded" and again.shape == (30, 40)
