"""Gain units against the formula, at the points and between them."""

import numpy as np
import pytest

from models.layers.gain import GainUnits


@pytest.fixture
def units():
    layer = GainUnits(4, 5, dtype="float32")
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(0, 0.3, (4, 5)), rng.normal(0, 0.3, (4, 5))])
    return layer


def test_first_gains_are_inverse_to_each_other_and_one_at_the_last_point():
    gains, inverses = (np.array(values) for values in GainUnits(3, 2).gains(np.array([0.0, 1.0, 1.5, 2.0], "float32")))
    assert gains.shape == (4, 1, 1, 2)
    assert np.allclose(gains[:, 0, 0, 0], [0.5, 2**-0.5, 2**-0.25, 1.0])
    assert np.allclose(gains * inverses, 1.0)


def test_points_have_their_own_gains_and_lie_apart_in_ratios(units):
    at = [np.array(values)[:, 0, 0] for values in units.gains(np.array([1.0, 2.0, 1.25], "float32"))]
    for k, values in enumerate(at):
        logs = np.array(units.weights[k])
        falls = np.log(2) / 2 * (np.arange(4) - 3) * (1 if k == 0 else -1)
        assert np.allclose(values[:2], np.exp(logs + falls[:, None])[1:3], rtol=1e-5)
        assert np.allclose(values[2], values[0] ** 0.75 * values[1] ** 0.25, rtol=1e-5)
