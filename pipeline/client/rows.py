"""A batch as TensorFlow Serving's JSON has it, row by row, and back."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any


def instances(inputs: Mapping[str, Sequence]) -> list[dict[str, Any]]:
    """Columns (a list over the batch each, of bytes, numbers or lists) -> a row for each element."""
    columns = {name: [_written(value) for value in values] for name, values in inputs.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def columns(predictions: Any, count: int) -> dict[str, list]:
    """Rows of an answer -> a list over the batch for each output; that of a model with one output has no name ("").

    Raises:
      ValueError: not `count` rows of the same outputs, or no base64.
    """
    if not isinstance(predictions, list) or len(predictions) != count:
        raise ValueError(f"not {count} predictions")
    # A single output that is bytes looks like a row with one output of that name.
    named = [row if isinstance(row, dict) and set(row) != {"b64"} else {"": row} for row in predictions]
    if any(set(row) != set(named[0]) for row in named):
        raise ValueError("predictions of different outputs")
    return {name: [_read(row[name]) for row in named] for name in (named[0] if named else ())}


def _written(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    return value.item() if hasattr(value, "item") and not getattr(value, "shape", ()) else value


def _read(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"b64"}:
        return base64.b64decode(value["b64"], validate=True)
    return value
