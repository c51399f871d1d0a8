"""Outputs of a model kept in the records of what it was shown: how they are named, written and read.

A record of any kind, a tf.Example, gets one feature an output: a serialised tensor, so that every type and shape is
kept exactly, also one that differs from record to record. What a reader must know before stands once beside the splits.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from models.records import pictures as picture_records

FILE = "kept_outputs.json"


@dataclasses.dataclass(frozen=True)
class Output:
    """What all records have in common of an output: its type, a name of TensorFlow's, and its shape.

    `shape` is that of one record; None stands for a side that differs.
    """

    dtype: str
    shape: tuple[int | None, ...]

    @classmethod
    def of(cls, value: np.ndarray) -> "Output":
        """That of one record's value."""
        return cls(tf.as_dtype(np.asarray(value).dtype).name, np.shape(value))

    def common(self, other: "Output") -> "Output":
        """What two records have in common.

        Raises:
          ValueError: they differ in type or in the number of sides.
        """
        if self.dtype != other.dtype or len(self.shape) != len(other.shape):
            raise ValueError(f"{self.dtype} {list(self.shape)} and {other.dtype} {list(other.shape)}")
        sides = zip(self.shape, other.shape, strict=True)
        return Output(self.dtype, tuple(a if a == b else None for a, b in sides))


def annotated(record: bytes, values: Mapping[str, np.ndarray]) -> bytes:
    """A serialised record with arrays of any type and shape (strings: `bytes`) beside what it holds, by name."""
    example = tf.train.Example.FromString(record)
    for name, value in values.items():
        serialised = tf.io.serialize_tensor(tf.constant(value)).numpy()
        example.features.feature[name].CopyFrom(tf.train.Feature(bytes_list=tf.train.BytesList(value=[serialised])))
    return example.SerializeToString()


def parse(record: tf.Tensor, outputs: Mapping[str, Output]) -> dict[str, tf.Tensor]:
    """The kept outputs of one serialised record (a scalar string), by feature name.

    Raises:
      tf.errors.InvalidArgumentError: when it runs: the record does not hold one of them, or another type or shape.
    """
    found = tf.io.parse_single_example(record, {name: tf.io.FixedLenFeature([], tf.string) for name in outputs})
    return {
        name: tf.ensure_shape(tf.io.parse_tensor(found[name], tf.as_dtype(output.dtype)), output.shape)
        for name, output in outputs.items()
    }


def of_signature(loaded, name: str) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """A loaded SavedModel's signature as a function of serialised records, string [B].

    Its one argument, string [B], gets what its name says: the encoded pictures (`image_bytes`) or else the records.

    Raises:
      ValueError: no such signature, or other arguments.
    """
    if name not in loaded.signatures:
        raise ValueError(f"no signature '{name}'; there are {', '.join(loaded.signatures) or 'none'}")
    signature = loaded.signatures[name]
    taken = signature.structured_input_signature[1]
    if [(spec.dtype, spec.shape.rank) for spec in taken.values()] != [(tf.string, 1)]:
        raise ValueError(f"the signature '{name}' takes {list(taken.values())}; wanted is one batch of strings, [B]")
    (argument,) = taken

    def say(records):
        pictures = argument == "image_bytes"
        given = picture_records.parse(records)[picture_records.ENCODED] if pictures else records
        # By way of the model: a signature does not keep it alive.
        return loaded.signatures[name](**{argument: given})

    return say


def dumps(outputs: Mapping[str, Output]) -> str:
    """As JSON, {feature name: {"dtype", "shape"}}; of none the empty text."""
    return json.dumps({name: dataclasses.asdict(output) for name, output in outputs.items()}) if outputs else ""


def loads(text: str) -> dict[str, Output]:
    """The inverse of `dumps`."""
    return {n: Output(o["dtype"], tuple(o["shape"])) for n, o in json.loads(text or "{}").items()}


def beside(files: Sequence[str]) -> dict[str, Output]:
    """The outputs kept in record files, as FILE beside their split's folder says; {} without one."""
    found = [place for place in {pathlib.Path(f).parent.parent / FILE for f in files} if place.is_file()]
    return loads(found[0].read_text(encoding="utf-8")) if found else {}
