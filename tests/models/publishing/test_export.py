"""Exported models: complete or absent, self-describing, of stock ops alone, told apart by what they compute."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from models.contract import registry
from models.publishing import pushed
from models.publishing.export import export, fingerprint_of, foreign_ops, used_ops
from models.publishing.pushed import describe
from tests.models import line
from tests.models.kinds import photograph, picture_record, tiny

RECIPE = line.RECIPE_OF_TESTS
CONFIG = RECIPE.make_config("small", {"seed": 3})


@pytest.fixture
def model():
    return RECIPE.build(CONFIG)


def test_what_is_pushed(model, tmp_path):
    target = tmp_path / "deep" / "1"
    export(RECIPE, CONFIG, model, str(target))
    assert [p.name for p in target.parent.iterdir()] == ["1"]  # no temporary folder is left
    assert describe(str(target)) == {"recipe": "line", "config": dataclasses.asdict(CONFIG), "fingerprint": "00000007"}
    assert RECIPE.config(**describe(str(target))["config"]) == CONFIG
    other = RECIPE.build(CONFIG)
    other.load_weights(target / "assets.extra" / "model.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(other.get_weights(), model.get_weights(), strict=True))


@pytest.mark.slow
def test_it_answers_as_the_model_does(model, tmp_path):
    export(RECIPE, CONFIG, model, str(tmp_path / "m"))
    signature = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]
    examples = tf.constant([picture_record(photograph(50, 5)), picture_record(photograph(30, 5))])
    expected = model(np.float32([[0.5, 0.5], [0.3, 0.3]]))
    assert np.allclose(signature(examples=examples)["y"], expected, atol=1e-6)


def test_what_was_trained_in_half_precision_is_served_in_full(tmp_path):
    """Half precision takes a processor a hundred times as long; servers often have no accelerator."""
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", {"precision": "mixed_float16", "classes": 3, "image_size": 16, "width": 4})
    model = recipe.build(config)
    assert {layer.compute_dtype for layer in model._flatten_layers()} >= {"float16"}
    export(recipe, config, model, str(tmp_path / "m"))
    graph = saved_model_pb2.SavedModel.FromString((tmp_path / "m" / "saved_model.pb").read_bytes()).meta_graphs[0]
    nodes = [*graph.graph_def.node, *(n for f in graph.graph_def.library.function for n in f.node_def)]
    types = {value.type for node in nodes for value in node.attr.values() if value.HasField("type")}
    assert types_pb2.DT_FLOAT in types and not types & {types_pb2.DT_HALF, types_pb2.DT_BFLOAT16}
    assert describe(str(tmp_path / "m"))["config"]["precision"] == "mixed_float16"  # as another training would start


def test_an_empty_folder_is_filled_and_a_full_one_refused_untouched(model, tmp_path):
    export(RECIPE, CONFIG, model, str(tmp_path))
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(FileExistsError, match="is not empty"):
        export(RECIPE, CONFIG, model, str(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == before and "saved_model.pb" in before


def test_a_failed_export_leaves_nothing(model, tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Unprintable(line.LineConfig):
        width: object = 2

        def __post_init__(self):
            object.__setattr__(self, "width", 2j)  # no JSON

    def build(config):
        return line.build(CONFIG)

    with pytest.raises(TypeError, match="complex"):
        export(dataclasses.replace(RECIPE, build=build), Unprintable(), model, str(tmp_path / "m"))
    assert not list(tmp_path.iterdir())


def saved_with(nodes, function_nodes, folder) -> str:
    """A SavedModel file whose graph and whose one function hold such ops."""
    saved = saved_model_pb2.SavedModel()
    graph = saved.meta_graphs.add().graph_def
    for i, op in enumerate(nodes):
        graph.node.add(name=f"n{i}", op=op)
    function = graph.library.function.add()
    function.signature.name = "own_function"
    for i, op in enumerate(function_nodes):
        function.node_def.add(name=f"f{i}", op=op)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    return str(folder)


def test_the_audit_finds_foreign_ops_in_graphs_and_functions(tmp_path):
    directory = saved_with(["Const", "own_function", "MadeUpOp"], ["MatMul", "OtherMadeUpOp"], tmp_path)
    assert used_ops(directory) == {"Const", "MatMul", "MadeUpOp", "OtherMadeUpOp"}
    assert foreign_ops(directory) == {"MadeUpOp", "OtherMadeUpOp"}


def test_foreign_ops_are_not_exported(model, tmp_path, monkeypatch):
    stock = [name for name in dir(tf.raw_ops) if name != "MatMul"]
    monkeypatch.setattr("models.publishing.export.dir", lambda _: stock, raising=False)
    with pytest.raises(ValueError, match="^line uses ops that no plain TensorFlow serves: MatMul"):
        export(RECIPE, CONFIG, model, str(tmp_path / "m"))
    assert not list(tmp_path.iterdir())


def test_folders_that_hold_no_model_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no pushed model at .* \(kompakt.json is missing\)"):
        describe(str(tmp_path))
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "kompakt.json").write_text(json.dumps({"recipe": "line"}))
    assert describe(str(tmp_path)) == {"recipe": "line"}


def built(name: str, **options):
    """An untrained model of a recipe and its configuration, with weights that the recipe's options do not change."""
    recipe = registry.get(name)
    config = recipe.make_config("small", tiny(recipe) | options)
    model = recipe.build(config)
    for variable in model.weights:
        variable.assign(np.full(variable.shape, 0.5))
    return model, config


@pytest.mark.parametrize(
    ("name", "options"),
    [("factorized", {"activation": "simplified_gdn"}), ("autoregressive", {"order": "raster"}),
     ("small_cnn", {"image_size": 24}), ("small_cnn", {"class_names": '["a", "b", "c"]'}),
     ("ecg_cnn", {"class_names": '["a", "b", "c", "d"]'})],
)  # fmt: skip
def test_options_that_change_the_answers_change_the_fingerprint(name, options):
    assert fingerprint_of("", *built(name)) != fingerprint_of("", *built(name, **options))


def test_options_of_training_do_not_change_the_fingerprint():
    model, config = built("factorized")
    other = {"learning_rate": 0.5, "steps": 77, "seed": 9, "batch_size": 3, "init": "elsewhere", "optimizer": "sgd"}
    changed = dataclasses.replace(config, **other)
    assert fingerprint_of("", model, config) == fingerprint_of("", model, changed)
    model.analysis.trainable = False
    assert fingerprint_of("", model, config) == fingerprint_of("", model, config)
    assert fingerprint_of("a", model, config) != fingerprint_of("b", model, config)


@pytest.mark.parametrize("name", ["factorized", "resnet", "ecg_crnn"])
def test_every_weight_changes_the_fingerprint(name):
    """Those that are not trained, running means or a frozen network's, like all others."""
    model, config = built(name)
    if name == "factorized":
        model.synthesis.trainable = False
    seen = {fingerprint_of("", model, config)}
    assert model.non_trainable_variables
    for variable in model.weights:
        value = np.array(variable)
        variable.assign(np.where(np.arange(value.size).reshape(value.shape) == value.size - 1, 0.25, value))
        seen.add(fingerprint_of("", model, config))
        variable.assign(value)
    assert len(seen) == len(model.weights) + 1


def test_every_table_changes_the_fingerprint():
    model, config = built("factorized")
    tables = {"a": np.arange(6, dtype=np.int32), "b": np.arange(6, dtype=np.int32)}
    changed = [
        {}, {"a": tables["a"]}, tables | {"b": tables["b"].reshape(2, 3)}, tables | {"b": tables["b"] + np.eye(6)[3]},
        tables | {"b": tables["b"].astype(np.int64)}, {"a": tables["a"], "c": tables["b"]},
    ]  # fmt: skip
    turned = dict(reversed(tables.items()))
    assert fingerprint_of("", model, config, turned) == fingerprint_of("", model, config, tables)
    assert len({fingerprint_of("", model, config, t) for t in [tables, *changed]}) == 7


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mean_scale_hyperprior", "ecg_crnn"])
def test_a_pushed_model_built_again_is_the_same(trained, name):
    """Whatever state its training had; and a codec's tables come with it."""
    directory = trained(name).directory
    recipe, config, model = pushed.load(str(directory))
    server = recipe.signatures(model, config)
    assert f"{server.fingerprint:08x}" == describe(str(directory))["fingerprint"]
    assert (directory / "assets.extra" / "tables.npz").is_file() == (recipe.shape == "codec")
    if recipe.shape == "codec":
        assert model.tables and server.tables == model.tables
