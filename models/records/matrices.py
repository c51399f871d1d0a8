"""The record of a pair of matrices that can be multiplied: its feature names, how it is written, how it is read."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

LEFT = "matrices/left"
RIGHT = "matrices/right"
ID = "matrices/id"
FORMAT = "matrices/format"
ROWS = "matrices/rows"
INNER = "matrices/inner"
COLUMNS = "matrices/columns"
BYTES = "matrices/bytes"
INTEGERS = (ROWS, INNER, COLUMNS, BYTES)

FEATURES: Mapping[str, tf.io.FixedLenFeature] = {
    **{name: tf.io.FixedLenFeature([], tf.string) for name in (LEFT, RIGHT, ID, FORMAT)},
    **{name: tf.io.FixedLenFeature([], tf.int64) for name in INTEGERS},
}


def pair_example(left: np.ndarray, right: np.ndarray, *, key: str, format_name: str) -> tf.train.Example:
    """Builds the record of a pair, kept as little-endian float32, row by row.

    Args:
      left, right: [m, k] and [k, n]. key: stable identity of the pair. format_name: where it is from.

    Raises:
      ValueError: the two cannot be multiplied.
    """
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ValueError(f"{left.shape} and {right.shape} cannot be multiplied")
    values = [matrix.astype("<f4").tobytes() for matrix in (left, right)]
    texts = {LEFT: values[0], RIGHT: values[1], ID: key.encode(), FORMAT: format_name.encode()}
    numbers = {ROWS: left.shape[0], INNER: left.shape[1], COLUMNS: right.shape[1], BYTES: sum(map(len, values))}
    feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for name, v in texts.items()}
    feature |= {name: tf.train.Feature(int64_list=tf.train.Int64List(value=[n])) for name, n in numbers.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature))


def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A serialised record (scalar string) -> its matrices, float32 [m, k] and [k, n]."""
    features = tf.io.parse_single_example(serialized, FEATURES)
    left, right = (tf.io.decode_raw(features[name], tf.float32) for name in (LEFT, RIGHT))
    rows, inner, columns = (features[name] for name in (ROWS, INNER, COLUMNS))
    return tf.reshape(left, [rows, inner]), tf.reshape(right, [inner, columns])
