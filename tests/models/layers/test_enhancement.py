"""The enhancement: starts as the identity, reaches as far as it says, keeps its weights when saved."""

import keras
import numpy as np
import pytest

from models.layers.conv import depth_to_space, space_to_depth
from models.layers.enhancement import Enhancement


@pytest.mark.parametrize("factor", [1, 2])
def test_starts_close_to_the_identity(factor):
    x = np.random.default_rng(0).random((2, 16, 24, 3)).astype("float32")
    out = np.array(Enhancement(8, factor)(x))
    assert out.shape == x.shape and 0 < np.abs(out - x).max() < 1e-2


@pytest.mark.parametrize("factor", [1, 2])
def test_reaches_as_far_as_it_says(factor):
    x = np.zeros((1, 64, 64, 3), "float32")
    layer = Enhancement(4, factor, blocks=2)
    layer(x)
    for variable in layer.weights:
        variable.assign(np.ones(variable.shape) * 0.1)
    dot = x.copy()
    dot[0, 32, 32] = 1
    changed = np.nonzero(np.any(np.array(layer(dot)) != np.array(layer(x)), axis=(0, 2, 3)))[0]
    reach = 2 * 3 * factor
    assert 32 - reach - 1 <= changed.min() < 32 < changed.max() <= 32 + reach + 1


def test_all_weights_are_saved(tmp_path):
    model = keras.Sequential([keras.Input((None, None, 3)), Enhancement(4)])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert len(model.weights) == 16
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_space_to_depth_is_the_inverse(factor):
    x = np.arange(2 * 6 * 12 * 5, dtype="float32").reshape(2, 6, 12, 5)
    folded = space_to_depth(x, factor)
    assert folded.shape == (2, 6 // factor, 12 // factor, 5 * factor**2)
    assert np.array_equal(depth_to_space(folded, factor), x)
