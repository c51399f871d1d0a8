"""What the image codecs share: the second stage of training, on rounded latents."""

import numpy as np
import pytest
import tensorflow as tf

from models import registry
from tests.models.kinds import KINDS, photograph


@pytest.mark.parametrize("name", ["edic", "mean_scale_hyperprior", "factorized"])
def test_rounded_training_sees_what_is_served_and_leaves_the_encoder(name):
    recipe = registry.get(name)
    model = recipe.build(recipe.make_config("small", KINDS["codec"].tiny | {"quantisation": "rounded"}))
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


def test_training_sees_noise_by_default():
    recipe = registry.get("edic")
    model = recipe.build(recipe.make_config("small", KINDS["codec"].tiny))
    x = tf.constant(photograph(64, 64)[None] / 255, tf.float32)
    assert np.abs(model(x, training=True)["x_hat"] - model(x, training=True)["x_hat"]).max() > 0
