"""Bounds: their values, and gradients that still lead back inside."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers.bounds import RootParametrization, lower_bound, upper_bound


def gradient(function, values, upstream):
    """Gradient of sum(function(values) * upstream) at values, float32 [N]."""
    variable = tf.Variable(values, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(function(variable) * tf.constant(upstream, tf.float32))
    return tape.gradient(loss, variable).numpy()


def test_values_are_bounded():
    x = np.float32([-3, 0.5, 1, 2])
    assert np.array_equal(lower_bound(x, 1.0), [1, 1, 1, 2])
    assert np.array_equal(upper_bound(x, 1.0), [-3, 0.5, 1, 1])


def test_below_a_lower_bound_only_gradients_that_raise_the_value_pass():
    x = [0.0, 0.0, 1.0, 2.0, 2.0]
    upstream = [3.0, -3.0, 3.0, 3.0, -3.0]  # descent goes against it: negative raises
    assert np.array_equal(gradient(lambda v: lower_bound(v, 1.0), x, upstream), [0, -3, 3, 3, -3])


def test_above_an_upper_bound_only_gradients_that_lower_the_value_pass():
    x = [2.0, 2.0, 1.0, 0.0, 0.0]
    upstream = [3.0, -3.0, -3.0, 3.0, -3.0]
    assert np.array_equal(gradient(lambda v: upper_bound(v, 1.0), x, upstream), [3, 0, -3, 3, -3])


@pytest.mark.parametrize("start, bounded", [(-5.0, lower_bound), (5.0, upper_bound)])
def test_descent_brings_a_value_back_inside(start, bounded):
    variable = tf.Variable(start)
    for _ in range(100):
        with tf.GradientTape() as tape:
            loss = tf.square(bounded(variable, 0.0 if start < 0 else 1.0) - 0.5)
        variable.assign_sub(0.2 * tape.gradient(loss, variable))
    assert abs(variable.numpy() - 0.5) < 1e-3


def test_gradients_pass_inside_a_traced_function():
    function = tf.function(lambda v: tf.gradients(lower_bound(v, 1.0), v, tf.constant([-1.0, 1.0]))[0])
    assert np.array_equal(function(tf.constant([0.0, 0.0])), [-1, 0])


def test_root_parametrisation_round_trips_and_holds_its_minimum():
    root = RootParametrization(1e-6)
    values = np.float32([1e-6, 1e-3, 0.1, 1, 30])
    assert np.allclose(root.use(root.store(values)), values, rtol=1e-5, atol=1e-9)
    assert np.allclose(keras.ops.convert_to_numpy(root.use(np.float32([0, -2]))), 1e-6, rtol=1e-3)
    assert (keras.ops.convert_to_numpy(RootParametrization().use(np.float32([0, -2, 0.5]))) >= 0).all()
