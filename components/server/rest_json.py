"""The JSON of TensorFlow Serving's REST interface: rows or columns to arrays, and arrays to rows or columns."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from components.server.errors import RequestError, invalid
from components.server.version import Version


class Question(NamedTuple):
    """A request for a prediction: the signature, its inputs, and whether the answer is to be in rows."""

    signature: str
    inputs: dict[str, np.ndarray]
    in_rows: bool


def signature_of(body: Any) -> str:
    """The signature that a parsed request names. Raises RequestError."""
    if not isinstance(body, dict):
        raise invalid("the request is not a JSON object")
    name = body.get("signature_name") or "serving_default"
    if not isinstance(name, str):
        raise invalid("'signature_name' is not text")
    return name


def parse(content: bytes) -> Any:
    """What JSON holds. Raises RequestError."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the request is not JSON: {error}") from error


def question(body: Any, version: Version) -> Question:
    """What a parsed request asks of a model. Raises RequestError."""
    name = signature_of(body)
    wanted = version.signature(name).inputs
    if ("instances" in body) == ("inputs" in body):
        raise invalid("the request wants either 'instances' (rows) or 'inputs' (columns)")
    if in_rows := "instances" in body:
        columns = _columns(body["instances"], wanted)
    else:
        given = body["inputs"]
        columns = given if isinstance(given, dict) and set(given) != {"b64"} else {_only(wanted): given}
    return Question(name, {key: _array(key, value) for key, value in columns.items()}, in_rows)


def _columns(rows: Any, wanted: Mapping) -> dict[str, list]:
    if not isinstance(rows, list) or not rows:
        raise invalid("'instances' is not a list with something in it")
    named = [row if isinstance(row, dict) and set(row) != {"b64"} else {_only(wanted): row} for row in rows]
    for number, row in enumerate(named):
        if missing := sorted(set(wanted) - set(row)):
            raise invalid(f"instance {number} has no {', '.join(missing)}")
        if set(row) != set(named[0]):
            raise invalid(f"instance {number} has other inputs than the first")
    return {key: [row[key] for row in named] for key in named[0]}


def _only(wanted: Mapping) -> str:
    if len(wanted) != 1:
        raise invalid(f"the inputs want their names: {', '.join(sorted(wanted))}")
    return next(iter(wanted))


def _array(name: str, value: Any) -> np.ndarray:
    """An array of numbers, of truth values, or of bytes (as objects). Raises RequestError."""
    try:
        plain = _decoded(value)
        # NumPy's own texts lose zero bytes at their end.
        array = np.array(plain, dtype=object if isinstance(_first(plain), bytes) else None)
        if (
            array.dtype.kind not in "biufO"
            or array.dtype.kind == "O"
            and not all(isinstance(v, bytes) for v in array.ravel())
        ):
            raise ValueError("values of different kinds, or lists of different lengths")
        return array
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise invalid(f"input '{name}': {error}") from error


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(v) for v in value] if not value or isinstance(value[0], list | dict | str) else value
    if isinstance(value, dict):
        if set(value) != {"b64"} or not isinstance(value["b64"], str):
            raise ValueError('an object that is not {"b64": "..."}')
        return base64.b64decode(value["b64"], validate=True)
    if value is None:
        raise ValueError("null")
    return value.encode() if isinstance(value, str) else value


def _first(value: Any) -> Any:
    while isinstance(value, list) and value:
        value = value[0]
    return value


def answer(outputs: Mapping[str, np.ndarray], in_rows: bool) -> bytes:
    """The JSON of an answer. Raises RequestError: outputs that cannot be written."""
    if not in_rows:
        written = {name: _written(name, value) for name, value in outputs.items()}
        return _json({"outputs": written if len(written) > 1 else next(iter(written.values()))})
    sizes = {value.shape[:1] for value in outputs.values()}
    if len(sizes) != 1 or sizes == {()}:
        raise invalid("the outputs have no common number of elements; ask in columns ('inputs')")
    columns = {name: _written(name, value) for name, value in outputs.items()}
    if len(columns) == 1:
        return _json({"predictions": next(iter(columns.values()))})
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return _json({"predictions": rows})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _written(name: str, value: np.ndarray) -> Any:
    """An output whose name ends in `_bytes` is base64; other strings are text."""
    if value.dtype.kind != "O":
        return value.tolist()
    if name.endswith("_bytes"):
        return _mapped(value.tolist(), lambda b: {"b64": base64.b64encode(b).decode("ascii")})
    try:
        return _mapped(value.tolist(), bytes.decode)
    except UnicodeDecodeError as error:
        raise RequestError("INTERNAL", f"output '{name}' is not UTF-8, and its name does not end in _bytes") from error


def _mapped(value: Any, function) -> Any:
    return [_mapped(v, function) for v in value] if isinstance(value, list) else function(value)
