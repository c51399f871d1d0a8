"""Classifiers with a budget of multiplications: what is replaced, phases, counts, the packed file."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.classifiers import products, ternary_file
from models.contract import registry
from models.contract.recipe import ConfigError
from models.layers import cost
from models.layers.strassen import StrassenConv2D, StrassenDense, SumProduct
from models.layers.ternary import TernaryMatrix
from models.publishing.export import export
from models.training import loop
from tests.models.kinds import Classifier

TINY = {"classes": 3, "image_size": 16, "batch_size": 4, "steps": 3, "steps_per_epoch": 2, "budget": 0.5}
SMALLEST = {"small_cnn": {"width": 4}, "densenet": {"depth": 10, "growth": 4}, "resnet": {"depth": 8, "width": 4},
            "mobilenet_v2": {"width_percent": 10, "depth": 1, "last": 16},
            "wide_resnet": {"depth": 10, "width": 4}}  # fmt: skip


def made(name, **options):
    recipe = registry.get(name)
    config = recipe.make_config("small", TINY | SMALLEST.get(name, {}) | options)
    return recipe, config, recipe.build(config)


@pytest.mark.parametrize("name", sorted(SMALLEST))
def test_any_classifier_takes_a_budget(name):
    _, _, plain = made(name, budget=0.0)
    _, _, model = made(name, patch=2, groups=2)
    assert model.feature_names == plain.feature_names
    assert len(model.network.layers) == len(plain.network.layers)
    for layer, old in zip(model.network.layers, plain.network.layers, strict=True):
        assert isinstance(layer, SumProduct) == (type(old) is keras.layers.Conv2D)
        if isinstance(layer, SumProduct):
            assert layer.output.shape == old.output.shape and layer.form == "folded"
            assert layer.products >= round(0.5 * old.filters) and layer.groups in (1, 2)
    assert cost.multiply_adds(model.network) < 0.5 * cost.multiply_adds(plain.network)


def test_the_members_of_an_ensemble_take_it():
    members = '[["small_cnn", {"width": 4}], ["small_cnn", {"width": 4}]]'
    _, _, model = made("ensemble", members=members)
    assert sum(isinstance(layer, SumProduct) for layer in model.network._flatten_layers()) == 12


def test_inner_dense_layers_are_replaced_and_others_stay():
    x = keras.Input((4, 4, 3))
    y = keras.layers.Conv2D(4, 3, padding="valid")(x)
    y = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(y)
    y = keras.layers.Conv2D(4, 3, padding="same", use_bias=True)(y)
    y = keras.layers.Dense(2, name="logits")(keras.layers.Dense(6)(keras.layers.Flatten()(y)))
    network = products.replaced(keras.Model(x, y), made("small_cnn")[1])
    kinds = [type(layer) for layer in network.layers[1:]]
    layers = keras.layers
    assert kinds == [layers.Conv2D, layers.Conv2D, StrassenConv2D, layers.Flatten, StrassenDense, layers.Dense]
    assert network.layers[3].use_bias


@pytest.mark.slow
def test_it_is_trained_in_phases_and_ends_ternary(records, tmp_path):
    recipe, config, _ = made("small_cnn", image_size=16)
    seen = []

    def watched(config, files):
        phases, model = products.phases(config, files), None
        for _ in range(3):
            phase = phases.send(model)
            model = yield phase
            kernels = [np.array(layer.kernel) for layer in model._flatten_layers() if isinstance(layer, TernaryMatrix)]
            seen.append((phase.name, kernels, model))

    files = records("classifier")
    tf.config.run_functions_eagerly(True)  # tracing takes longer than the steps
    try:
        model = loop.train(dataclasses.replace(recipe, phases=watched), config, [files["train"]], [files["validation"]],
                           work_dir=str(tmp_path / "work"), log_dir=str(tmp_path / "logs"), progress=False)  # fmt: skip
    finally:
        tf.config.run_functions_eagerly(False)
    assert [name for name, _, _ in seen] == ["full", "ternary", "folded"] and model is seen[-1][2]
    assert all(set(np.unique(k)) <= {-1, 0, 1} for k in seen[2][1])
    assert not any(set(np.unique(k)) <= {-1, 0, 1} for k in seen[1][1])
    folded = recipe.build(config)
    products.hand_on(folded.network, seen[1][2].network)
    x = np.random.default_rng(1).random((4, 16, 16, 3), np.float32)
    np.testing.assert_allclose(folded(x), seen[1][2](x, training=False), atol=1e-5)
    with pytest.raises(ConfigError, match="steps=2: a budget takes three phases"):
        list(products.phases(dataclasses.replace(config, steps=2), files))
    with pytest.raises(ConfigError, match="nothing is left for the last phase"):
        dataclasses.replace(config, full_share=0.9)


@pytest.mark.slow
def test_the_export_holds_a_packed_file_of_equal_predictions(records, tmp_path):
    recipe, config, model = made("resnet", patch=2)
    export(recipe, config, model, str(tmp_path / "1"), examples=[Classifier.write(tmp_path)["train"]])
    path = tmp_path / "1" / "assets.extra" / ternary_file.FILE
    again = ternary_file.read(path, recipe, config)
    x = np.random.default_rng(1).random((4, 16, 16, 3), np.float32)
    assert np.array_equal(again(x), model(x))
    sizes = ternary_file.size_bytes(model.network)
    assert sizes["ternary"] < 0.3 * sizes["float32"]
    with np.load(path) as file:
        assert sum(file[name].nbytes for name in file.files if name[0] in "tw") == sizes["ternary"]
    with pytest.raises(ConfigError, match="no ternary weights of this network"):
        ternary_file.read(path, recipe, dataclasses.replace(config, budget=1.0))


def test_packing_is_exact():
    values = np.random.default_rng(1).integers(-1, 2, (3, 7))
    packed = ternary_file.pack(values)
    assert packed.nbytes == 6 and np.array_equal(ternary_file.unpack(packed, (3, 7)), values)
    with pytest.raises(ValueError, match="alone"):
        ternary_file.pack(np.array([0.5]))
    with pytest.raises(ValueError, match="do not hold 40 ternary values"):
        ternary_file.unpack(packed, (5, 8))
    with pytest.raises(ValueError, match="do not hold"):
        ternary_file.unpack(np.array([3], np.uint8), (4,))


class Counted:
    """A number that counts what is done with it."""

    counts = {"multiplications": 0, "additions": 0}

    def __init__(self, value):
        self.value = value

    def __add__(self, other):
        self.counts["additions"] += 1
        return Counted(self.value + other.value)

    def __mul__(self, other):
        self.counts["multiplications"] += 1
        return Counted(self.value * other.value)

    def __neg__(self):
        return Counted(-self.value)


def summed(terms):
    """The sum of counted numbers; None of none."""
    total = None
    for term in terms:
        total = term if total is None else total + term
    return total


def signed(values, row):
    """The sum of what a row of -1, 0 and 1 picks."""
    return summed(-value if sign < 0 else value for value, sign in zip(values, row, strict=True) if sign)


def test_counted_operations_are_those_that_are_done():
    """A folded layer is computed number by number, and what it takes is counted."""
    keras.utils.set_random_seed(1)
    x = keras.Input((3, 3, 2))
    layer = StrassenConv2D(2, 2, 6, patch=2, form="folded", use_bias=True)
    network = keras.Model(x, layer(x))
    pixels = np.random.default_rng(1).normal(size=(1, 3, 3, 2)).astype("float32")
    padded = np.array(layer._padded(pixels))[0]
    w_b, w_c = np.array(layer.w_b.kernel).reshape(-1, 6), np.array(layer.w_c.kernel).reshape(6, 2, 2, 2)
    scale, shift, bias = ([Counted(v) for v in np.array(a)] for a in (np.exp(layer.log_scale), layer.shift, layer.bias))
    Counted.counts.update(multiplications=0, additions=0)
    found = np.zeros((4, 4, 2))
    for i, j in np.ndindex(2, 2):
        seen = [Counted(v) for v in padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].reshape(-1)]
        sums = [signed(seen, column) for column in w_b.T]
        done = [s * a + t for s, a, t in zip(sums, scale, shift, strict=True)]
        for p, q, c in np.ndindex(2, 2, 2):
            place = 2 * i + p, 2 * j + q, c
            output = signed(done, w_c[:, p, q, c])
            is_cropped = max(place[:2]) > 2
            found[place] = (output if is_cropped else output + bias[c]).value
    np.testing.assert_allclose(found[:3, :3], network(pixels)[0], atol=1e-5)
    (row,) = cost.operations(network)
    assert row.multiplications == Counted.counts["multiplications"] == 6 * 4
    assert row.additions == Counted.counts["additions"]
    assert row.plain == 3 * 3 * 2 * 2 * 2 * 2
    assert cost.parameters(network) == 3 * 3 * 2 * 6 + 6 * 8 + 6 + 6 + 2


def test_operations_of_plain_layers():
    _, _, model = made("small_cnn", budget=0.0)
    rows = cost.operations(model.network)
    counted = [row for row in rows if row.kind != "normalisation"]
    assert sum(row.multiplications for row in counted) == cost.multiply_adds(model.network)
    first = rows[0]
    assert first == ("conv2d" + first.name[6:], "convolution", 16**2 * 27 * 4, 16**2 * 26 * 4, 16**2 * 27 * 4, None)
    assert rows[-1].kind == "dense" and rows[-1].additions == rows[-1].multiplications  # a bias each
