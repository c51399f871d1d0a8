"""GDN against its formula in plain NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers.gdn import GDN

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 4, 6)).astype("float32")
BETA, GAMMA = RNG.uniform(0.5, 2, 6), RNG.uniform(0, 0.3, (6, 6))


def layer_with(beta, gamma, **options) -> GDN:
    """A layer whose used parameters are the given ones; gamma[j, i] weighs x_j in the norm of y_i."""
    layer = GDN(**options)
    layer.build((None, None, None, len(beta)))
    layer.beta.assign(np.sqrt(beta))
    layer.gamma.assign(np.sqrt(gamma))
    return layer


@pytest.mark.parametrize("inverse", [False, True])
def test_formula(inverse):
    norm = np.sqrt(BETA + np.square(X) @ GAMMA)
    expected = X * norm if inverse else X / norm
    assert np.allclose(layer_with(BETA, GAMMA, inverse=inverse)(X), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inverse", [False, True])
def test_simplified_formula(inverse):
    norm = BETA + np.abs(X) @ GAMMA
    expected = X * norm if inverse else X / norm
    layer = layer_with(BETA, GAMMA, inverse=inverse, simplified=True)
    assert np.allclose(layer(X), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("simplified", [False, True])
def test_the_inverse_undoes_it_where_the_norm_is_constant_and_nearly_so_for_small_values(simplified):
    pair = [layer_with(BETA, 0 * GAMMA, inverse=inverse, simplified=simplified) for inverse in (False, True)]
    assert np.allclose(pair[1](pair[0](X)), X, rtol=1e-5, atol=1e-6)
    fresh = GDN(simplified=simplified), GDN(inverse=True, simplified=simplified)
    assert np.allclose(fresh[1](fresh[0](0.05 * X)), 0.05 * X, atol=2e-3)


def test_starts_as_divisive_normalisation_of_each_channel_by_itself():
    assert np.allclose(GDN()(X), X / np.sqrt(1 + 0.1 * np.square(X)), rtol=1e-4)


def test_gradient_reaches_both_parameters_and_the_input():
    layer, x = layer_with(BETA, GAMMA), tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x) * tf.constant(RNG.normal(size=X.shape), tf.float32))
    for g in tape.gradient(loss, [layer.beta, layer.gamma, x]):
        assert np.isfinite(g).all() and np.abs(g).max() > 0


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_float32_parameters(policy):
    layer = GDN(dtype=policy)
    y = layer(X * 300)  # squares leave float16's range
    assert y.dtype == policy.removeprefix("mixed_")
    assert {v.dtype for v in layer.variables} == {"float32"}
    assert np.allclose(y, 300 * X / np.sqrt(1 + 0.1 * np.square(300 * X)), rtol=0.02, atol=0.02)


def test_configuration_round_trips():
    layer = GDN(inverse=True, simplified=True, name="g")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, GDN) and again.get_config() == layer.get_config()
