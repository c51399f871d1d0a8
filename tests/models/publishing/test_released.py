"""Packing a model to a released file and back."""

import numpy as np
import pytest
import tensorflow as tf

from models.codecs.serving import latents
from models.contract import registry
from models.publishing import pushed, released
from tests.models.kinds import KINDS, photograph

RECIPE = registry.get("mean_scale_hyperprior")


@pytest.fixture(scope="module")
def model():
    return RECIPE.build(RECIPE.make_config("small", KINDS["codec"].tiny | {"rates": 2, "init": "some/folder"}))


@pytest.fixture(scope="module")
def content(model, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("packed") / "m.npz"
    released.pack(RECIPE, model.config, model, path, ["0000ABCD"])
    assert [p.name for p in path.parent.iterdir()] == ["m.npz"]
    return path.read_bytes()


@pytest.fixture
def packed(content, tmp_path):
    (tmp_path / "m.npz").write_bytes(content)
    return tmp_path / "m.npz"


@pytest.fixture
def underived(monkeypatch):
    """Makes every way to derive a coder's tables fail."""

    def fail(*args):
        raise AssertionError("tables were derived")

    for name in ("factorized_tables", "gaussian_tables", "integer_tables"):
        monkeypatch.setattr(latents, name, fail)


def test_comes_back_rounded_to_half_precision(model, packed):
    recipe, config, again = released.unpack(packed)
    assert recipe.name == RECIPE.name and config.rates == 2 and config.init == ""
    for one, two in zip(model.trainable_variables, again.trainable_variables, strict=True):
        assert np.array_equal(np.float16(one.value), two.value) and two.dtype == "float32"
    x = photograph(64, 64)[None] / np.float32(255)
    close = np.abs(np.array(model(x, training=False)["x_hat"]) - np.array(again(x, training=False)["x_hat"]))
    assert close.mean() < 1e-2
    assert packed.stat().st_size < 2.2 * sum(v.size for v in map(np.array, model.trainable_variables)) + 40_000


def test_the_coder_is_made_of_the_tables_in_the_file(packed, underived):
    """Of these very integers: with another one the coder has that, and is another."""
    recipe, config, model = released.unpack(packed)
    server = recipe.signatures(model, config)
    assert server.reads == (0xABCD,) and {"prior.cdfs", "levels.cdfs"} <= set(server.tables)
    y = 20 * tf.random.stateless_normal([1, 4, 4, config.latents], [1, 2])
    sections, y_hat = server.payload.latents.encode(y)
    assert np.array_equal(server.payload.latents.decode(sections, 4, 4), y_hat)
    tables = {name: values.copy() for name, values in model.tables.items()}
    tables["levels.cdfs"][30, -tables["levels.offsets"][30]] += 1  # where the most likely symbol begins
    pushed.carry(model, tables, ())
    other = recipe.signatures(model, config)
    assert other.fingerprint != server.fingerprint and other.reads == ()
    assert (other.payload.latents.coder._cdf.numpy() != server.payload.latents.coder._cdf.numpy()).sum() == 1


def test_a_file_packed_again_is_the_same(packed, underived):
    recipe, config, model = released.unpack(packed)
    content = packed.read_bytes()
    released.pack(recipe, config, model, packed)
    assert packed.read_bytes() == content


def test_other_weights_are_packed_with_tables_of_their_own(packed):
    recipe, config, model = released.unpack(packed)
    tables = model.tables
    model.prior.biases[0].assign(model.prior.biases[0] + 1 / 3)
    released.pack(recipe, config, model, packed)
    _, _, again = released.unpack(packed)
    assert again.reads == () and not np.array_equal(again.tables["prior.cdfs"], tables["prior.cdfs"])


def test_tables_of_another_version_are_refused(packed):
    recipe, config, model = released.unpack(packed)
    tables = dict(model.tables)
    for name, values in (
        ("prior.cdfs", None), ("prior.sizes", tables["prior.sizes"][:-1]), ("levels.cdfs", tables["levels.cdfs"] * 1.0),
        ("levels.offsets", tables["levels.offsets"][1:]), ("levels.cdfs", tables["levels.cdfs"][:, ::-1]),
    ):  # fmt: skip
        pushed.carry(model, {k: v for k, v in (tables | {name: values}).items() if v is not None}, ())
        with pytest.raises(ValueError, match="^(the coder's tables|every table|tables of shapes)"):
            recipe.signatures(model, config)


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
