"""What the image codecs share: the second stage of training, on rounded latents."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from tests.models.kinds import photograph, tiny


@pytest.mark.parametrize("name", ["edic", "mean_scale_hyperprior", "factorized", "lapped_hyperprior"])
def test_rounded_training_sees_what_is_served_and_leaves_the_encoder(name):
    recipe = registry.get(name)
    keras.utils.set_random_seed(1)  # with few units, some other seeds leave attention without a gradient
    model = recipe.build(recipe.make_config("small", tiny(recipe) | {"quantisation": "rounded"}))
    x = tf.constant(photograph(64, 64)[None] / 255, tf.float32)
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        loss = model.compute_loss(x=x, y_pred=outputs)
    served = model(x, training=False)
    for key in ("x_hat", "bits"):
        np.testing.assert_allclose(outputs[key], served[key], rtol=1e-5, atol=1e-5)
    gradients = zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True)
    encoder = {id(v) for n in ("analysis", "hyper_analysis") if hasattr(model, n) for v in getattr(model, n).variables}
    assert encoder and all((g is None) == (id(v) in encoder) for v, g in gradients)


@pytest.mark.parametrize("name", ["edic", "mean_scale_hyperprior", "factorized", "autoregressive"])
@pytest.mark.parametrize("quantisation", ["noise", "mixed"])
def test_training_counts_noisy_latents_and_draws_noisy_or_rounded_ones(name, quantisation):
    recipe = registry.get(name)
    keras.utils.set_random_seed(1)  # with few units, some other seeds leave attention without a gradient
    model = recipe.build(recipe.make_config("small", tiny(recipe) | {"quantisation": quantisation}))
    x = tf.constant(photograph(64, 64)[None] / 255, tf.float32)
    with tf.GradientTape() as tape:
        first = model(x, training=True)
        error = tf.reduce_mean(tf.square(first["x_hat"] - x))
    second, served = model(x, training=True), model(x, training=False)
    assert abs(float(first["bits"][0] - second["bits"][0])) > 0
    # Means that depend on noisy hyper-latents move what is rounded.
    if quantisation == "mixed" and name in ("edic", "factorized"):
        np.testing.assert_allclose(first["x_hat"], served["x_hat"], atol=1e-5)
    elif quantisation == "noise":
        assert np.abs(first["x_hat"] - second["x_hat"]).max() > 1e-3
    gradients = tape.gradient(error, model.analysis.trainable_variables)
    assert all(np.abs(g).max() > 0 for g in gradients if g is not None) and gradients[0] is not None


def test_rounded_latents_are_about_their_means():
    recipe = registry.get("mean_scale_hyperprior")
    model = recipe.build(recipe.make_config("small", tiny(recipe) | {"quantisation": "mixed"}))
    y, mean = tf.constant([0.2, 1.4, -3.3]), tf.constant([0.4, 0.0, 0.5])
    assert np.allclose(model.drawn(y, y + 7, True, mean), [0.4, 1.0, -3.5])
    assert np.allclose(model.drawn(y, y + 7, False, mean), y + 7)
