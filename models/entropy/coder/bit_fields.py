"""Strings, bytes, varints and bit fields in stock TensorFlow ops, whole vectors at a time.

Bytes travel as int64 vectors of values 0 to 255: every shift and sum below is exact there.
"""

import tensorflow as tf

MAX_VARINT_BITS = 35  # more than any count or escape value needs


def require(condition: tf.Tensor, message: str, *details: tf.Tensor) -> tf.Operation:
    """Raises tf.errors.InvalidArgumentError with message unless condition (bool scalar) holds: a control input."""
    return tf.debugging.Assert(condition, [message, *details], summarize=8)


def string_to_bytes(text: tf.Tensor) -> tf.Tensor:
    """Bytes of a scalar string, int64 [length]."""
    return tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int64)


def bytes_to_string(parts: list[tf.Tensor]) -> tf.Tensor:
    """One scalar string out of uint8 vectors.

    No stock op turns bytes into a string. A serialised TensorProto, however, ends in the raw content of its tensor.
    """
    joined = tf.concat(parts, 0)
    size = tf.size(joined)
    serialised = tf.io.serialize_tensor(joined)
    return tf.strings.substr(serialised, tf.strings.length(serialised) - size, size)


def words_to_bytes(words: tf.Tensor) -> tf.Tensor:
    """Little-endian bytes, uint8 [4 N], of int64 [N] words below 2**32."""
    return tf.reshape(tf.bitcast(words, tf.uint8)[:, :4], [-1])


def bytes_to_words(data: tf.Tensor) -> tf.Tensor:
    """Words below 2**32, int64 [N], of little-endian bytes int64 [4 N]."""
    return tf.reduce_sum(tf.bitwise.left_shift(tf.reshape(data, [-1, 4]), tf.constant([0, 8, 16, 24], tf.int64)), 1)


def write_varints(values: tf.Tensor, payload: int = 7) -> tf.Tensor:
    """Varints of int64 [N] values in [0, 2**35): groups of `payload` bits, low ones first, a bit above says "more".

    Returns:
        uint8, a group each: bytes with 7 bits of payload; with 3, numbers below 16 for `pack_nibbles`.
    """
    groups = tf.bitwise.right_shift(values[:, None], tf.range(0, MAX_VARINT_BITS, payload, tf.int64))
    high = 1 << payload
    written = tf.concat([tf.ones_like(groups[:, :1], tf.bool), groups[:, 1:] > 0], 1)
    more = tf.cast(groups >= high, tf.int64) * high
    return tf.cast(tf.boolean_mask(tf.bitwise.bitwise_and(groups, high - 1) + more, written), tf.uint8)


def read_varints(
    data: tf.Tensor, start: tf.Tensor, count: tf.Tensor, payload: int = 7
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Reads what `write_varints` wrote.

    Args:
        data: int64 [B], groups (bytes, or nibbles with a payload of 3 bits).
        start: int64 scalar, where the first one begins.
        count: int64 scalar, how many to read.
        payload: bits.

    Returns:
        values: int64 [count], zero from where the groups end or a varint is too long.
        end: int64 scalar, the group after the last one.
        good: bool scalar, false if the groups end early or a varint is too long.
    """
    longest, high = -(-MAX_VARINT_BITS // payload), 1 << payload
    room = tf.size(data, tf.int64) - start
    room = tf.maximum(tf.minimum(room, count * longest), 0)
    part = data[tf.minimum(start, tf.size(data, tf.int64)) :][:room]
    last = tf.cast(part < high, tf.int64)
    owner = tf.cumsum(last, exclusive=True)
    ends = tf.where(part < high)[:, 0][:count]
    begins = tf.concat([tf.zeros([1], tf.int64), ends + 1], 0)
    place = tf.range(room) - tf.gather(begins, tf.minimum(owner, tf.size(begins, tf.int64) - 1))
    wanted = tf.logical_and(owner < count, place < longest)
    shifted = tf.bitwise.left_shift(tf.bitwise.bitwise_and(part, high - 1), payload * tf.minimum(place, longest - 1))
    values = tf.math.unsorted_segment_sum(
        tf.where(wanted, shifted, 0), tf.where(wanted, owner, -1), tf.cast(count, tf.int64)
    )
    too_long = tf.reduce_any(tf.logical_and(owner < count, place >= longest))
    good = tf.logical_and(tf.equal(tf.size(ends, tf.int64), count), tf.logical_not(too_long))
    return values, start + begins[-1], good


def pack_nibbles(nibbles: tf.Tensor) -> tf.Tensor:
    """Two numbers below 16 a byte, the low half first: uint8 [N] -> uint8 [ceil(N / 2)]."""
    pairs = tf.reshape(tf.pad(nibbles, [[0, tf.size(nibbles) % 2]]), [-1, 2])
    return pairs[:, 0] + 16 * pairs[:, 1]


def unpack_nibbles(data: tf.Tensor) -> tf.Tensor:
    """Bytes int64 [B] -> int64 [2 B], the inverse of `pack_nibbles` (but for its padding)."""
    return tf.reshape(tf.stack([tf.bitwise.bitwise_and(data, 15), tf.bitwise.right_shift(data, 4)], 1), [-1])


def write_fields(values: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Packs numbers of different lengths, low bits first, into the fewest bytes.

    Args:
        values: int64 [N], each below 2**length.
        lengths: int64 [N], bits, 0 to 32.

    Returns:
        uint8 [ceil(sum(lengths) / 8)].
    """
    offsets = tf.cumsum(lengths, exclusive=True)
    shifted = tf.bitwise.left_shift(values, tf.bitwise.bitwise_and(offsets, 7))
    pieces = tf.bitwise.bitwise_and(tf.bitwise.right_shift(shifted[:, None], tf.range(0, 40, 8, tf.int64)), 255)
    places = tf.bitwise.right_shift(offsets, 3)[:, None] + tf.range(5, dtype=tf.int64)
    size = (tf.reduce_sum(lengths) + 7) // 8
    # Fields share bytes but no bits, so that their sum is their union.
    return tf.cast(tf.math.unsorted_segment_sum(pieces, places, size + 5)[:size], tf.uint8)


def read_fields(data: tf.Tensor, offsets: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Numbers, int64 [N], of lengths (int64 [N], bits, 0 to 32) at bit offsets (int64 [N]) of data (int64 [B] bytes).

    Bits behind the end of data read as zero.
    """
    size = tf.size(data, tf.int64)
    padded = tf.concat([data, tf.zeros([5], tf.int64)], 0)
    places = tf.minimum(tf.bitwise.right_shift(offsets, 3), size)[:, None] + tf.range(5, dtype=tf.int64)
    pieces = tf.bitwise.left_shift(tf.gather(padded, tf.minimum(places, size + 4)), tf.range(0, 40, 8, tf.int64))
    value = tf.bitwise.right_shift(tf.reduce_sum(pieces, 1), tf.bitwise.bitwise_and(offsets, 7))
    return tf.bitwise.bitwise_and(value, tf.bitwise.left_shift(tf.ones_like(lengths), lengths) - 1)
