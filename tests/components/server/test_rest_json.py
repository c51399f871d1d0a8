"""Rows and columns of JSON, and what is no request."""

import base64
import json
import types

import numpy as np
import pytest
from tensorflow.core.protobuf import meta_graph_pb2

from components.server import rest_json
from components.server.errors import RequestError
from components.server.version import Version


def version(**inputs):
    """What is read of a version: the signature `f`, with inputs of these dtypes (DT_...)."""
    signature = meta_graph_pb2.SignatureDef()
    for name, dtype in inputs.items():
        signature.inputs[name].dtype = dtype
    made = types.SimpleNamespace(signatures={"f": signature})
    made.signature = lambda name: Version.signature(made, name)
    return made


def b64(value):
    return {"b64": base64.b64encode(value).decode()}


def test_rows_and_columns_are_the_same_question():
    model = version(image_bytes=7, quality=3)
    pictures = [b"\x00\xff\x00", b"text\x00"]
    rows = [{"image_bytes": b64(p), "quality": q} for p, q in zip(pictures, (3, 90), strict=True)]
    columns = {"image_bytes": [b64(p) for p in pictures], "quality": [3, 90]}
    for body, in_rows in (({"instances": rows}, True), ({"inputs": columns}, False)):
        asked = rest_json.question(body | {"signature_name": "f"}, model)
        assert (asked.signature, asked.in_rows) == ("f", in_rows)
        assert list(asked.inputs["image_bytes"]) == pictures and asked.inputs["image_bytes"].dtype == object
        assert asked.inputs["quality"].tolist() == [3, 90]


def test_a_single_input_needs_no_name():
    model = version(x=7)
    for instances in ([b64(b"a"), b64(b"b")], ["a", "b"], [{"x": "a"}, {"x": b64(b"b")}]):
        assert list(rest_json.question({"signature_name": "f", "instances": instances}, model).inputs["x"]) == [
            b"a",
            b"b",
        ]
    asked = rest_json.question({"signature_name": "f", "inputs": ["a", "b"]}, model)
    assert list(asked.inputs["x"]) == [b"a", b"b"]


def test_numbers_keep_their_shape():
    asked = rest_json.question({"signature_name": "f", "instances": [[[1, 2.5]], [[3, 4]]]}, version(x=1))
    assert asked.inputs["x"].shape == (2, 1, 2) and asked.inputs["x"].dtype == np.float64


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "not a JSON object"),
        ({"signature_name": 3}, "'signature_name' is not text"),
        ({"signature_name": "g"}, "no signature 'g'; there are: f"),
        ({}, "no signature 'serving_default'"),
        ({"signature_name": "f"}, "either 'instances'"),
        ({"signature_name": "f", "instances": [1], "inputs": [1]}, "either 'instances'"),
        ({"signature_name": "f", "instances": []}, "not a list with something in it"),
        ({"signature_name": "f", "instances": {"x": 1}}, "not a list with something in it"),
        ({"signature_name": "f", "instances": [1]}, "the inputs want their names: x, y"),
        ({"signature_name": "f", "instances": [{"x": 1, "y": 1}, {"x": 1}]}, "instance 1 has no y"),
        ({"signature_name": "f", "instances": [{"x": {"b64": "a"}, "y": 1}]}, "input 'x': "),
        ({"signature_name": "f", "instances": [{"x": {"b64": "YQ==!"}, "y": 1}]}, "input 'x': "),
        ({"signature_name": "f", "instances": [{"x": {"b65": "a"}, "y": 1}]}, "input 'x': an object that is not"),
        ({"signature_name": "f", "instances": [{"x": None, "y": 1}]}, "input 'x': values of different kinds"),
        ({"signature_name": "f", "instances": [{"x": [1, [2]], "y": 1}]}, "input 'x': "),
        ({"signature_name": "f", "instances": [{"x": [1, "a"], "y": 1}]}, "input 'x': values of different kinds"),
        ({"signature_name": "f", "instances": [{"x": ["a", 1], "y": 1}]}, "input 'x': "),
    ],
)
def test_what_is_no_question_is_said(body, said):
    with pytest.raises(RequestError, match=said.replace("[", r"\[")) as error:
        rest_json.question(body, version(x=7, y=3))
    assert error.value.http == 400


def test_answers_are_written_as_the_server_does():
    streams = np.array([b"\xff", b"a"], dtype=object)
    assert json.loads(rest_json.answer({"s_bytes": streams}, True)) == {"predictions": [b64(b"\xff"), b64(b"a")]}
    p, names = np.array([[0.5, 0.25], [1, 0]], np.float32), np.array([b"N", "ö".encode()], dtype=object)
    rows = [{"p": [0.5, 0.25], "name": "N"}, {"p": [1.0, 0.0], "name": "ö"}]
    assert json.loads(rest_json.answer({"p": p, "name": names}, True)) == {"predictions": rows}
    assert json.loads(rest_json.answer({"p": p, "name": names}, False)) == {
        "outputs": {"p": p.tolist(), "name": ["N", "ö"]}
    }
    assert json.loads(rest_json.answer({"p": p}, False)) == {"outputs": p.tolist()}
    with pytest.raises(RequestError, match="'s' is not UTF-8"):
        rest_json.answer({"s": streams}, True)
    with pytest.raises(RequestError, match="ask in columns"):
        rest_json.answer({"p": p, "q": np.zeros(3)}, True)
    with pytest.raises(RequestError, match="not JSON"):
        rest_json.parse(b"{")
