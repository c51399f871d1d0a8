"""Scale mixtures: a distribution, the one that the coder's tables hold, with tails that are learned."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.densities import gaussian
from models.entropy.densities.scale_mixture import LIKELIHOOD_FLOOR, ScaleMixture
from models.entropy.densities.tables import tables_from_pmfs


@pytest.fixture
def tails() -> ScaleMixture:
    layer = ScaleMixture()
    layer.build()
    return layer


@pytest.mark.parametrize("scale", [0.11, 0.5, 3.0, 40.0])
def test_masses_are_those_of_logistics_and_sum_to_one(tails, scale):
    q = np.arange(-4000, 4001)
    masses = np.array(tails.likelihood(q, tf.fill(q.shape, scale)), np.float64)
    weights = np.exp(np.array(tails.logits, np.float64))
    units = scale * np.exp(np.array(tails.log_ratios, np.float64))

    def below(x):
        return (weights / weights.sum() / (1 + np.exp(-np.clip(x[:, None] / units, -700, 700)))).sum(-1)

    expected = below(q + 0.5) - below(q - 0.5)
    assert abs(expected.sum() - 1) < 1e-9
    assert np.allclose(masses, np.maximum(expected, LIKELIHOOD_FLOOR), rtol=1e-3, atol=1e-7)


def test_the_tables_hold_what_training_charges(tails):
    scales = gaussian.level_scales()
    tables = tables_from_pmfs(*tails.pmf(scales))
    rng = np.random.default_rng(1)
    levels = rng.integers(0, gaussian.LEVELS, 50_000)
    units = np.exp(np.array(tails.log_ratios))[rng.choice(3, 50_000, p=np.array(tf.nn.softmax(tails.logits)))]
    symbols = np.rint(rng.logistic(size=50_000) * units * scales[levels]).astype(int)
    estimated = float(tf.reduce_sum(tails.bits_each(symbols, tf.constant(scales[levels], tf.float32))))
    assert tables.bits(symbols, levels) == pytest.approx(estimated, rel=0.02)
    assert (tables.sizes < 2**14 / 3).all() and (np.diff(tables.sizes) >= 0).all()  # slots have 2^-14 at least


def test_a_scale_that_is_known_badly_teaches_heavier_tails(tails):
    """Latents of a third or six times the scale that is told: by gradient the mixture spreads, and they cost less."""
    rng = np.random.default_rng(2)
    y = np.rint(rng.normal(size=4000) * rng.choice([0.3, 6.0], 4000, p=[0.8, 0.2])).astype("float32")
    scales, costs = tf.ones_like(y), []
    ratios = np.array(tails.log_ratios)
    for _ in range(150):
        with tf.GradientTape() as tape:
            cost = tf.reduce_mean(tails.bits_each(y, scales))
        costs.append(float(cost))
        for variable, gradient in zip(tails.weights, tape.gradient(cost, tails.weights), strict=True):
            variable.assign_sub(0.3 * gradient)
    assert costs[-1] < 0.95 * costs[0] and np.ptp(tails.log_ratios) > np.ptp(ratios)


def test_bits_of_examples_are_sums(tails):
    offsets = np.random.default_rng(3).normal(size=(2, 3, 4, 5)).astype("float32")
    bits = tails(offsets, tf.ones_like(offsets))
    assert bits.shape == (2,) and np.allclose(bits, np.array(tails.bits_each(offsets, 1.0)).sum((1, 2, 3)), rtol=1e-5)
