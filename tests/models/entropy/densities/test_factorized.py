"""The factorised prior: a density in float32 for training, the same one in float64 for the coder's tables."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.entropy.densities import factorized
from models.entropy.densities.factorized import LIKELIHOOD_FLOOR, FactorizedPrior

CHANNELS = 5


def prior_of(seed: int | None, channels: int = CHANNELS) -> FactorizedPrior:
    """A built prior, with random parameters (as after training) if a seed is given."""
    prior = FactorizedPrior(name="prior")
    prior.build((None, None, None, channels))
    rng = np.random.default_rng(seed)
    for variable in prior.variables if seed is not None else ():
        variable.assign_add(rng.normal(size=variable.shape) * 0.7)
    return prior


def at(prior, symbols) -> np.ndarray:
    """Likelihood of each symbol in each channel: [C, N]."""
    z = np.broadcast_to(np.float32(symbols)[:, None], (len(symbols), prior.matrices[0].shape[0]))
    return np.array(prior.likelihood(z[None, None]))[0, 0].T


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_sums_to_one_but_for_the_floor(seed, monkeypatch):
    mass = at(prior_of(seed), np.arange(-3000, 3001)).astype("float64")
    assert (mass >= LIKELIHOOD_FLOOR * 0.999).all() and (mass <= 1).all()
    monkeypatch.setattr(factorized, "LIKELIHOOD_FLOOR", 1e-9)
    mass = at(prior_of(seed), np.arange(-3000, 3001)).astype("float64")
    assert np.allclose(mass.sum(1), 1, atol=1e-4)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_cumulative_rises(seed):
    x = np.broadcast_to(np.linspace(-300, 300, 5000), (CHANNELS, 5000))
    assert (np.diff(prior_of(seed)._cumulative(x)) > 0).all()


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_tables_hold_the_likelihood(seed):
    prior = prior_of(seed)
    tables, first = prior.pmf()
    assert len(tables) == CHANNELS and first.dtype == np.int32
    for c, (table, start) in enumerate(zip(tables, first, strict=True)):
        likelihood = at(prior, start + np.arange(len(table)))[c]
        assert np.allclose(np.maximum(table, LIKELIHOOD_FLOOR), likelihood, rtol=1e-3, atol=2e-7)
        assert 1 - 2.0**-17 < table.sum() <= 1 + 1e-12  # what is left out is coded by escape


def test_a_density_beyond_the_widest_table_still_gives_tables():
    prior = prior_of(None)
    prior.biases[-1].assign(prior.biases[-1] - 1e4)
    tables, _ = prior.pmf(widest=64)
    assert all(len(t) <= 129 and np.isfinite(t).all() and t.sum() < 1e-6 for t in tables)


def test_bits_are_those_of_the_likelihood():
    prior = prior_of(1)
    z = np.random.default_rng(0).integers(-4, 5, (3, 2, 4, CHANNELS)).astype("float32")
    bits = np.array(prior(z))
    expected = -np.log2(np.array(prior.likelihood(z), "float64")).sum((1, 2, 3))
    assert bits.shape == (3,) and np.allclose(bits, expected, rtol=1e-5)


def test_the_start_spreads_over_about_ten_steps():
    tables, _ = prior_of(None).pmf()
    for table in tables:
        order = np.arange(len(table))
        mean = (table * order).sum()
        assert 5 < np.sqrt((table * (order - mean) ** 2).sum()) < 40


def test_floored_latents_still_pull_the_density():
    prior = prior_of(None)
    z = tf.constant(np.full((1, 1, 1, CHANNELS), 500.0), tf.float32)
    assert np.allclose(prior.likelihood(z), LIKELIHOOD_FLOOR)
    with tf.GradientTape() as tape:
        bits = tf.reduce_sum(prior(z))
    biases = tape.gradient(bits, [b.value for b in prior.biases])
    assert all(np.isfinite(g).all() for g in biases) and np.abs(biases[-1]).max() > 0


def test_a_few_steps_fit_the_density_to_its_data():
    prior = prior_of(None, 1)
    symbols = np.random.default_rng(0).normal(20, 1, (4, 16, 16, 1)).round().astype("float32")
    optimizer = keras.optimizers.Adam(0.03)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(prior(symbols)) / 256
        optimizer.apply(tape.gradient(loss, [v.value for v in prior.trainable_variables]), prior.trainable_variables)
        return loss

    optimizer.build(prior.trainable_variables)
    losses = [float(step()) for _ in range(300)]
    entropy = 0.5 * np.log2(2 * np.pi * np.e * (1 + 1 / 12))
    assert losses[0] > 4 and losses[-1] < entropy + 0.3


def test_configuration_round_trips_and_parameters_stay_float32():
    prior = FactorizedPrior((2, 2), init_scale=4.0, dtype="mixed_float16", name="p")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(prior))
    assert isinstance(again, FactorizedPrior) and again.get_config() == prior.get_config()
    prior.build((None, None, None, 3))
    assert {v.dtype for v in prior.variables} == {"float32"} and len(prior.variables) == 8
