"""Maps of small numbers as strings, without loss: what changes from row to row, as lengths of runs.

    map --where a row differs from the one above: 1 + number, else 0--> raster --runs--> (value, length), ...

A region with an upright edge costs nothing but its first row. Values and lengths are varints of nibbles.
"""

import tensorflow as tf

from models.entropy.coder import bit_fields
from models.entropy.coder.bit_fields import require

_PAYLOAD = 3  # bits a nibble
_DOUBLINGS = 16  # of the rows that a number holds for: sides are below 2^16
_DAMAGED = "damaged stream: a map of it "


def write(numbers: tf.Tensor) -> tf.Tensor:
    """String scalar of a map, int32 [H, W] of 0 to 255, not empty."""
    above = tf.concat([tf.zeros_like(numbers[:1]), numbers[:-1]], 0)
    values = tf.reshape(tf.where(tf.equal(numbers, above), 0, numbers + 1), [-1])
    begins = tf.where(tf.concat([[True], tf.not_equal(values[1:], values[:-1])], 0))[:, 0]
    lengths = tf.concat([begins[1:], [tf.size(values, tf.int64)]], 0) - begins
    runs = tf.stack([tf.cast(tf.gather(values, begins), tf.int64), lengths], 1)
    count = tf.size(begins, tf.int64)[None]
    return bit_fields.bytes_to_string([
        bit_fields.write_varints(count),
        bit_fields.pack_nibbles(bit_fields.write_varints(tf.reshape(runs, [-1]), _PAYLOAD)),
    ])  # fmt: skip


def read(string: tf.Tensor, height: tf.Tensor, width: tf.Tensor, numbers: int) -> tf.Tensor:
    """The map int32 [height, width] (int32 scalars) of a string of `write`, of so many numbers.

    Raises:
      tf.errors.InvalidArgumentError: it is damaged; before memory is taken for what it promises.
    """
    data = bit_fields.string_to_bytes(string)
    count, place, good = bit_fields.read_varints(data, tf.constant(0, tf.int64), tf.constant(1, tf.int64))
    good &= (count[0] > 0) & (count[0] <= tf.size(data, tf.int64))  # a run takes two nibbles at least
    with tf.control_dependencies([require(good, _DAMAGED + "says no number of runs")]):
        nibbles, twice = bit_fields.unpack_nibbles(data[place:]), 2 * count[0]
    runs, end, good = bit_fields.read_varints(nibbles, tf.constant(0, tf.int64), twice, _PAYLOAD)
    values, lengths = tf.unstack(tf.reshape(runs, [-1, 2]), axis=1)
    area = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    good &= tf.reduce_all(values <= numbers) & tf.reduce_all(lengths > 0) & tf.equal(tf.reduce_sum(lengths), area)
    good &= tf.size(nibbles, tf.int64) - end < 2
    with tf.control_dependencies([require(good, _DAMAGED + "is not of the picture's size, or has other numbers")]):
        changes = tf.reshape(tf.repeat(tf.cast(values, tf.int32), lengths), [height, width])
    return _filled(changes)


def _filled(changes: tf.Tensor) -> tf.Tensor:
    """Numbers of a map from 1 + number where they change and 0 elsewhere, int32 [H, W]; those above it are 0."""
    for doubling in range(_DOUBLINGS):
        rows = tf.minimum(1 << doubling, tf.shape(changes)[0])
        above = tf.concat([tf.zeros_like(changes[:rows]), changes[: tf.shape(changes)[0] - rows]], 0)
        changes = tf.where(tf.equal(changes, 0), above, changes)
    return tf.maximum(changes - 1, 0)
