"""Packing a model to a released file and back."""

import numpy as np
import pytest

from models import registry, released
from tests.models.kinds import KINDS, photograph

RECIPE = registry.get("mean_scale_hyperprior")


@pytest.fixture(scope="module")
def model():
    return RECIPE.build(RECIPE.make_config("small", KINDS["codec"].tiny | {"rates": 2, "init": "some/folder"}))


@pytest.fixture
def packed(model, tmp_path):
    released.pack(RECIPE, model.config, model, tmp_path / "m.npz")
    return tmp_path / "m.npz"


def test_comes_back_rounded_to_half_precision(model, packed):
    recipe, config, again = released.unpack(packed)
    assert recipe.name == RECIPE.name and config.rates == 2 and config.init == ""
    for one, two in zip(model.trainable_variables, again.trainable_variables, strict=True):
        assert np.array_equal(np.float16(one.value), two.value) and two.dtype == "float32"
    x = photograph(64, 64)[None] / np.float32(255)
    close = np.abs(np.array(model(x, training=False)["x_hat"]) - np.array(again(x, training=False)["x_hat"]))
    assert close.mean() < 1e-2
    assert packed.stat().st_size < 2.2 * sum(v.size for v in map(np.array, model.trainable_variables)) + 40_000
    assert [p.name for p in packed.parent.iterdir()] == ["m.npz"]


def test_weights_that_half_precision_cannot_hold_are_refused(model, tmp_path):
    variable = model.trainable_variables[0]
    value = np.array(variable)
    variable.assign(np.full_like(value, 1e6))
    with pytest.raises(released.ReleaseError, match="half precision"):
        released.pack(RECIPE, model.config, model, tmp_path / "m.npz")
    variable.assign(value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "missing"])
def test_damaged_files_are_refused(packed, damage):
    content = packed.read_bytes()
    packed.unlink()
    if damage != "missing":
        packed.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "text": b"weights\n"}[damage])
    with pytest.raises(released.ReleaseError, match="no released weights of this version"):
        released.unpack(packed)


def test_unknown_names_are_told(monkeypatch, packed):
    monkeypatch.setattr(released, "FOLDER", packed.parent)
    assert released.names() == ["m"] and released.path_of("m") == packed
    with pytest.raises(released.ReleaseError, match="no released weights 'n'; there are: m"):
        released.path_of("n")
