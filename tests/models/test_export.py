"""Exported models: complete or absent, self-describing, of stock ops alone."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from models import registry
from models.export import export, foreign_ops, used_ops
from models.pushed import describe
from tests.models import line
from tests.models.kinds import photograph, picture_record

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


def test_what_a_killed_export_left_is_no_obstacle(model, tmp_path):
    (tmp_path / "m.partial").mkdir()
    (tmp_path / "m.partial" / "half").write_text("x")
    export(RECIPE, CONFIG, model, str(tmp_path / "m"))
    assert [p.name for p in tmp_path.iterdir()] == ["m"] and not (tmp_path / "m" / "half").exists()


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
    monkeypatch.setattr("models.export.dir", lambda _: stock, raising=False)
    with pytest.raises(ValueError, match="^line uses ops that no plain TensorFlow serves: MatMul"):
        export(RECIPE, CONFIG, model, str(tmp_path / "m"))
    assert not list(tmp_path.iterdir())


def test_folders_that_hold_no_model_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no pushed model at .* \(kompakt.json is missing\)"):
        describe(str(tmp_path))
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "kompakt.json").write_text(json.dumps({"recipe": "line"}))
    assert describe(str(tmp_path)) == {"recipe": "line"}
