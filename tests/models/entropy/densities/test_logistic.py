"""Logistic mixtures: their mass is that of the definition, sums to one, and has a gradient however far off."""

import keras
import numpy as np
import pytest
from keras import ops

from models.entropy.densities import gaussian, logistic
from tests.models.entropy.logistic_mixtures import draw, mass, scales


def bits(parameters, symbols, size):
    means, levels, logits = (np.asarray(p, np.float32) for p in parameters)
    scale = logistic.scale_of(levels / 4)
    return np.asarray(logistic.bits_each(symbols, means / 256, scale, logits / 256, 0.0, size - 1.0))


@pytest.mark.parametrize("size", [2, 25, 256])
def test_bits_are_those_of_the_definition(size):
    parameters = draw(500, 4, size)
    for symbols in (np.zeros(500), np.full(500, size - 1), np.random.default_rng(1).integers(0, size, 500)):
        true = mass(parameters, symbols, size)
        seen = true > 1e-9  # farther out the definition has no digits left
        assert seen.sum() > 50
        np.testing.assert_allclose(bits(parameters, symbols, size)[seen], -np.log2(true[seen]), rtol=1e-3, atol=1e-4)


def test_the_whole_alphabet_has_mass_one():
    parameters = draw(60, 3, 25)
    total = sum(2.0 ** -bits(parameters, np.full(60, v), 25) for v in range(25))
    np.testing.assert_allclose(total, 1, atol=2e-5)


def test_levels_and_scales():
    levels = np.arange(0, 4 * (gaussian.LEVELS - 1) + 1)
    np.testing.assert_allclose(logistic.scale_of(ops.convert_to_tensor(levels / 4.0, "float32")), scales(levels), 1e-5)
    assert logistic.level_of(logistic.scale_of(np.float32(17.25))) == pytest.approx(17.25, abs=1e-4)


def test_far_off_narrow_mixtures_keep_a_gradient():
    """At 200 steps of a scale of 0.04 the mass is below any float, its logarithm is not."""
    mean = keras.Variable(np.full((1, 1), 230.0, np.float32))
    far = -logistic.log_mass(np.full((1, 1), 30.0), mean, np.float32(logistic.MIN_SCALE), 0.0, 255.0)
    nearer = -logistic.log_mass(np.full((1, 1), 30.0), mean - 1.0, np.float32(logistic.MIN_SCALE), 0.0, 255.0)
    assert np.isfinite(far).all() and float(np.sum(far - nearer)) == pytest.approx(1 / logistic.MIN_SCALE, rel=1e-3)
