"""The encoder's choice of integers: never dearer than rounding, and what it costs is what the model says."""

import numpy as np
import pytest
import tensorflow as tf

from models.codecs.serving import latents as latents_serving
from models.contract import registry
from models.entropy.densities import gaussian
from tests.models.kinds import KINDS

VALUES = tf.constant(np.random.default_rng(1).normal(0, 2, 4000).astype("float32"))


def test_free_bits_mean_rounding_and_dear_ones_the_cheaper_neighbour():
    assert np.array_equal(latents_serving.quantise(VALUES, tf.zeros_like), np.rint(VALUES))
    dear = np.array(latents_serving.quantise(VALUES, lambda q: 1000.0 * tf.abs(q)))
    floor = np.trunc(VALUES)
    assert np.array_equal(dear, np.where(np.abs(VALUES) < 1, 0, floor))


@pytest.mark.parametrize("scale", [0.11, 0.3, 1.0, 8.0])
def test_least_cost_of_the_two_neighbours(scale, monkeypatch):
    monkeypatch.setattr(latents_serving, "ERROR_BITS", 18.0)  # so little that choices differ at every scale

    def cost(q):
        bits = -np.log2(np.array(gaussian.likelihood(q.astype("float32"), np.float32(scale))))
        return bits + latents_serving.ERROR_BITS * (np.array(VALUES) - q) ** 2

    chosen = np.array(latents_serving.quantise(VALUES, lambda q: gaussian.bits_each(q, tf.constant(scale))))
    best = np.minimum(cost(np.floor(VALUES)), cost(np.ceil(VALUES)))
    assert np.allclose(cost(chosen), best, rtol=1e-5) and (cost(chosen) < cost(np.rint(VALUES)) - 1e-3).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hyperprior", "mean_scale_hyperprior", "edic"])
def test_streams_are_shorter_at_a_lower_cost(name):
    recipe = registry.get(name)
    model = recipe.build(config := recipe.make_config("small", KINDS["codec"].tiny))
    latents = recipe.signatures(model, config).payload.latents
    y = 2 * tf.random.stateless_normal([1, 24, 24, config.latents], [1, 2])

    def coded(*choose):
        sections, y_hat = latents.encode(y, *choose)
        assert np.array_equal(latents.decode(sections, tf.constant(24), tf.constant(24)), y_hat)
        return 8 * sum(len(s.numpy()) for s in sections), float(np.square(y_hat - y).sum())

    bits, error = coded()
    plain_bits, plain_error = coded(lambda values, bits: tf.round(values))
    assert bits < plain_bits and error > plain_error
    assert bits + latents_serving.ERROR_BITS * error < plain_bits + latents_serving.ERROR_BITS * plain_error
