"""Several strings in one: the lengths of all but the last as varints, then the strings."""

import tensorflow as tf

from models.entropy.coder import bit_fields
from models.entropy.coder.bit_fields import require
from models.entropy.coder.rans_stream import DAMAGED
from models.entropy.lanes import const


def join(strings: tf.Tensor) -> tf.Tensor:
    """One string, scalar, of strings [n], n at least 1."""
    lengths = tf.cast(tf.strings.length(strings[:-1]), tf.int64)
    head = bit_fields.bytes_to_string([bit_fields.write_varints(lengths)])
    return tf.strings.join([head, tf.strings.reduce_join(strings)])


def split(stream: tf.Tensor, count: tf.Tensor | int) -> tf.Tensor:
    """The strings [count] that `join` joined.

    Raises:
      tf.errors.InvalidArgumentError: they are not so many.
    """
    count = tf.cast(count, tf.int64)
    size = tf.cast(tf.strings.length(stream), tf.int64)
    start = tf.strings.substr(stream, 0, tf.cast(tf.minimum(size, 5 * count), tf.int32))
    lengths, begin, good = bit_fields.read_varints(bit_fields.string_to_bytes(start), const(0), count - 1)
    last = size - begin - tf.reduce_sum(lengths)
    with tf.control_dependencies([require(good & (last >= 0), DAMAGED + "its parts do not fit it")]):
        lengths = tf.concat([lengths, last[None]], 0)
    begins = begin + tf.cumsum(lengths, exclusive=True)
    whole = tf.fill(tf.shape(begins), stream)
    return tf.strings.substr(whole, tf.cast(begins, tf.int32), tf.cast(lengths, tf.int32))
