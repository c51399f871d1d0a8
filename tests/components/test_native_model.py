"""SavedModels through the C library: what servers' loader sees, and what a part of a model needs."""

import gzip
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from components import native_model
from components.native_model import (
    Argument,
    LibraryMissing,
    NativeError,
    NativeModel,
    load_part,
    signatures_at,
)
from components.serving import loaded_model
from components.serving.loaded_model import LoadedModel
from models.publishing import parts
from tests import alone


class Mixed(tf.Module):
    """Takes and gives what signatures may: text, integers and floats, of several shapes, and a variable's value."""

    def __init__(self):
        super().__init__()
        self.weight, self.unused = tf.Variable([[2.0], [3.0]]), tf.Variable(7)

        @tf.function(autograph=False)
        def inner(x):
            return tf.matmul(x, self.weight)

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x"), tf.TensorSpec([], tf.int32, "n")])
        def numbers(x, n):
            return {"product": inner(x) * tf.cast(n, tf.float32), "shape": tf.shape(x), "long": tf.cast(n, tf.int64),
                    "wide": tf.cast(x, tf.float64), "flags": x > 0, "bytes": tf.cast(x, tf.uint8)}  # fmt: skip

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, "words")])
        def text(words):
            check = tf.debugging.Assert(tf.strings.length(words[0, 0]) > 0, ["no word"])
            with tf.control_dependencies([check]):
                return {"joined": tf.strings.join([words, words]), "whole": tf.strings.reduce_join(words)}

        self.served = {"numbers": numbers, "text": text}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed") / "model"
    module = Mixed()
    tf.saved_model.save(module, str(folder), signatures=module.served)
    parts.write(folder)
    return folder


@pytest.fixture(scope="module")
def model(directory):
    with NativeModel(directory) as opened:
        yield opened


def check_numbers(answer):
    """Of x = [[1, 2], [-3, 4], [5, 6]] and n = 10."""
    np.testing.assert_array_equal(answer["product"], [[80], [60], [280]])
    assert answer["product"].dtype == np.float32 and answer["shape"].tolist() == [3, 2]
    assert answer["long"].shape == () and answer["long"] == 10 and answer["long"].dtype == np.int64
    assert answer["wide"].dtype == np.float64 and answer["wide"][1, 0] == -3
    assert answer["flags"].tolist() == [[True, True], [False, True], [True, True]]
    assert answer["bytes"].dtype == np.uint8 and answer["bytes"][2].tolist() == [5, 6]


NUMBERS = {"x": [[1.0, 2.0], [-3.0, 4.0], [5.0, 6.0]], "n": 10}
WORDS = [[b"", b"a"], [b"\0b\xff", b"long " * 100]]


def test_numbers_of_every_kind_and_shape(model):
    check_numbers(model("numbers", **NUMBERS))
    assert model("numbers", x=np.zeros((0, 2)), n=1)["product"].shape == (0, 1)
    transposed = np.array([[1, -3, 5], [2, 4, 6]], np.float32).T  # not contiguous
    check_numbers(model("numbers", x=transposed, n=np.int64(10)))


def test_text_of_any_bytes(model):
    with pytest.raises(NativeError, match="no word"):
        model("text", words=WORDS)
    answer = model("text", words=WORDS[::-1])
    assert answer["joined"].tolist() == [[word * 2 for word in row] for row in WORDS[::-1]]
    assert answer["whole"].shape == () and answer["whole"].item() == b"\0b\xff" + b"long " * 100 + b"a"


def test_says_what_it_takes(model, directory):
    assert model.signatures == signatures_at(directory)
    assert sorted(model.signatures) == ["numbers", "text"]
    taken = model.signatures["numbers"]
    assert {name: spec.dtype for name, spec in taken.inputs.items()} == {"n": "int32", "x": "float32"}
    assert {"product": "float32", "long": "int64", "flags": "bool"}.items() <= {
        name: spec.dtype for name, spec in taken.outputs.items()
    }.items()
    assert isinstance(taken.inputs["x"], Argument) and taken.inputs["x"].tensor.endswith(":0")
    with pytest.raises(KeyError, match="other"):
        model("other")
    with pytest.raises(TypeError, match="numbers takes n, x, not x"):
        model("numbers", x=[[1.0, 2.0]])


def test_what_is_no_model_is_told(tmp_path, directory):
    with pytest.raises(NativeError, match="Could not find"):
        NativeModel(tmp_path)
    with pytest.raises(NativeError, match="no model at"):
        signatures_at(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\x12\xff\x01 no model")
    with pytest.raises(NativeError, match="damaged, or no SavedModel"):
        signatures_at(tmp_path)
    shutil.copytree(directory, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "variables")
    with NativeModel(tmp_path / "bare") as bare, pytest.raises(NativeError, match="(?s)variable.*uninitialized"):
        bare("numbers", **NUMBERS)


def test_a_part_holds_what_its_signature_needs(directory):
    saved = parts.read(directory)
    assert parts.signatures(saved) == ["numbers", "text"]
    text = parts.cut(saved, ["text"])
    assert parts.signatures(text) == ["text"]
    functions = [f.signature.name for f in text.meta_graphs[0].graph_def.library.function]
    assert any("text" in name for name in functions) and not any("numbers" in name for name in functions)
    assert text.ByteSize() < saved.ByteSize()
    with pytest.raises(KeyError, match="no signature predict"):
        parts.cut(saved, ["predict"])


def test_a_part_answers_in_every_loader(directory, tmp_path):
    part = load_part(directory, "numbers")
    assert list(part.signatures) == ["numbers"]
    check_numbers(part("numbers", **NUMBERS))
    shutil.copytree(directory / "variables", tmp_path / "variables")
    packed = (directory / "assets.extra" / "parts" / "numbers.pb.gz").read_bytes()
    (tmp_path / "saved_model.pb").write_bytes(gzip.decompress(packed))
    signature = tf.saved_model.load(str(tmp_path)).signatures["numbers"]
    answer = signature(x=tf.constant(NUMBERS["x"]), n=tf.constant(10))
    check_numbers({name: value.numpy() for name, value in answer.items()})


def test_functions_of_a_part_are_in_their_places(directory):
    whole = parts.cut(parts.read(directory), ["numbers"]).meta_graphs[0].graph_def
    part = parts.inlined(parts.cut(parts.read(directory), ["numbers"])).meta_graphs[0].graph_def
    assert "MatMul" not in {node.op for node in whole.node} and "MatMul" in {node.op for node in part.node}
    assert len(part.library.function) < len(whole.library.function)


def test_a_damaged_part_is_told(directory, tmp_path):
    shutil.copytree(directory, tmp_path / "model")
    part = tmp_path / "model" / "assets.extra" / "parts" / "text.pb.gz"
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(NativeError, match="text.pb.gz: damaged"):
        load_part(tmp_path / "model", "text")


def test_without_a_part_the_whole_model_answers(directory, tmp_path):
    shutil.copytree(directory, tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "assets.extra")
    assert sorted(load_part(tmp_path / "model", "numbers").signatures) == ["numbers", "text"]


def test_where_the_library_is_missing_python_answers_alike(directory, monkeypatch):
    def missing(*_):
        raise LibraryMissing("not here")

    monkeypatch.setattr(loaded_model, "load_part", missing)
    model = LoadedModel(directory)
    check_numbers(model("numbers", **NUMBERS))
    assert model("text", words=WORDS[::-1])["joined"].tolist() == [[word * 2 for word in row] for row in WORDS[::-1]]
    with pytest.raises(NativeError, match="no word"):
        model("text", words=WORDS)


def test_the_library_is_looked_for_in_the_wheel(monkeypatch):
    monkeypatch.setattr(native_model, "_opened", [])
    monkeypatch.setattr(native_model.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(LibraryMissing, match="C library cannot be used"):
        native_model.library()


ALONE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("native_model", sys.argv[1])
native_model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(native_model)
with native_model.NativeModel(sys.argv[2]) as model:
    print(model("numbers", x=[[1.0, 2.0]], n=3)["product"].tolist())
assert "tensorflow" not in sys.modules and "components" not in sys.modules
"""


def test_needs_nothing_of_tensorflows_python(directory):
    command = alone.command(ALONE, native_model.__file__, directory)
    done = subprocess.run(command, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[[24.0]]\n"


BEFORE = """
import sys
from components.native_model import NativeModel

model = NativeModel(sys.argv[1])
import tensorflow as tf

assert tf.reduce_sum(tf.ones([3])).numpy() == 3
print(tf.saved_model.load(sys.argv[1]).signatures.keys() == model.signatures.keys())
"""


def test_tensorflows_python_can_be_imported_behind_it(directory):
    command = [sys.executable, "-c", BEFORE, str(directory)]
    done = subprocess.run(command, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("True")


def test_a_model_is_split_by_what_its_signatures_do(directory, tmp_path):
    folders = parts.split(directory, tmp_path / "split")
    assert [str(f.relative_to(tmp_path)) for f in folders] == ["split/numbers/1", "split/text/1"]
    for folder in folders:
        assert sorted(p.name for p in folder.parent.iterdir()) == ["1"]
    with NativeModel(folders[0]) as numbers:
        assert list(numbers.signatures) == ["numbers"]
        check_numbers(numbers("numbers", **NUMBERS))
    shutil.rmtree(folders[0])
    with pytest.raises(FileExistsError, match="text/1 exists"):
        parts.split(directory, tmp_path / "split")
    assert not folders[0].exists()


def test_variants_stay_with_what_they_are_variants_of():
    saved = parts.saved_model_pb2.SavedModel()
    definitions = saved.meta_graphs.add().signature_def
    for name in ("decompress", "compress_at", "serving_default", "compress", "predict_bytes", "__saved_model_init_op"):
        definitions[name].method_name = "x"
    assert parts.groups(saved) == {
        "compress": ["compress", "compress_at"], "decompress": ["decompress"], "predict": ["predict_bytes"],
        "evaluate": ["serving_default"],
    }  # fmt: skip
