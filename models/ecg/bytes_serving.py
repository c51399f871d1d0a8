"""The signal in the bytes of a file, read in the graph: a MATLAB-4 matrix of int16, or bare little-endian int16.

A MATLAB-4 file has five little-endian int32 (type, rows, columns, imaginary part, length of the name), the name with a
zero byte at its end, and the matrix column by column: a row is a lead (or a single column is one). Type 30 is a full
matrix of int16. A step of -32768 is WFDB's mark of a missing sample.
"""

import tensorflow as tf

_HEADER = 20  # bytes before the name
_INT16 = 30
_MISSING = -32768
_TYPES = [10 * number + kind for number in range(6) for kind in range(3)]  # little-endian ones
_LONGEST_NAME = 64
_TEXT = r"[\t\r\n -~]*"


def read(signal_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Files' bytes -> their first leads.

    Args:
      signal_bytes: string [B], each the whole of a MATLAB-4 file, or the int16 of one lead (WFDB format 16).

    Returns:
      Steps of the converter, float32 [B, T], zero where missing and padded with zeros; samples that count, int32 [B].

    Raises:
      tf.errors.InvalidArgumentError: empty, a text, an odd number of bytes, or a header that does not fit the file; the
        message has the recording's number in the batch.
    """
    size = tf.strings.length(signal_bytes)
    header = tf.io.decode_raw(tf.strings.substr(signal_bytes, 0, _HEADER), tf.int32, fixed_length=_HEADER)
    kind, rows, columns, imaginary, name = tf.unstack(header, axis=1)
    rows, columns = tf.where(tf.equal(columns, 1), 1, rows), tf.where(tf.equal(columns, 1), rows, columns)
    named = tf.logical_and(name > 0, name <= _LONGEST_NAME)
    matlab = _looks_like_matlab(signal_bytes, kind, imaginary, named)
    body = tf.where(matlab, _HEADER + name, 0)
    needed = 2 * tf.cast(rows, tf.int64) * tf.cast(columns, tf.int64) + tf.cast(body, tf.int64)
    # As at ingest, there may be more behind the matrix.
    fits = tf.logical_and(tf.minimum(rows, columns) > 0, needed <= tf.cast(size, tf.int64))
    right = tf.logical_and(tf.logical_and(tf.equal(kind, _INT16), tf.equal(imaginary, 0)), named)
    other = tf.logical_not(matlab)
    text = tf.strings.regex_full_match(tf.strings.substr(signal_bytes, 0, 64), _TEXT)
    checks = [
        require(size > 0, "is empty"),
        require(tf.not_equal(tf.strings.substr(signal_bytes, 0, 8), b"MATLAB 5"),
                "is a MATLAB file of version 5; version 4, or bare int16, is wanted"),
        require(tf.logical_not(text), "is text, not a signal"),
        require(tf.logical_or(other, right), "has a MATLAB-4 header, but not one of a matrix of int16"),
        require(tf.logical_or(other, fits), "has a MATLAB-4 header that does not fit its size; bytes:", size),
        require(tf.logical_or(matlab, tf.equal(size % 2, 0)), "has an odd number of bytes, no 16-bit samples:", size),
    ]  # fmt: skip
    with tf.control_dependencies(checks):
        length = tf.where(matlab, columns, size // 2)
        leads = tf.where(matlab, rows, 1)
        body = tf.identity(body)
    most = tf.reduce_max(tf.concat([2 * length * leads, [2]], 0))  # decode_raw wants no zero
    values = tf.io.decode_raw(tf.strings.substr(signal_bytes, body, 2 * length * leads), tf.int16, fixed_length=most)
    places = tf.range(tf.reduce_max(tf.concat([length, [0]], 0)))[None] * leads[:, None]
    inside = tf.sequence_mask(length)
    steps = tf.gather(values, tf.where(inside, places, 0), batch_dims=1)
    there = tf.logical_and(inside, tf.not_equal(steps, _MISSING))
    return tf.where(there, tf.cast(steps, tf.float32), 0.0), length


def _looks_like_matlab(signal_bytes, kind, imaginary, named) -> tf.Tensor:
    """Whether recordings start like a MATLAB-4 file, bool [B]; samples hardly ever do."""
    known = tf.reduce_any(tf.equal(kind[:, None], _TYPES), axis=1)
    plausible = tf.logical_and(tf.logical_and(known, named), tf.logical_and(imaginary >= 0, imaginary <= 1))
    # The challenge's variable is "val": with it in its place, a header that is not plausible is a damaged one.
    challenge = tf.equal(tf.strings.substr(tf.strings.join([signal_bytes, b"\0" * 24]), _HEADER, 4), b"val\0")
    return tf.logical_or(plausible, challenge)


def require(good: tf.Tensor, says: str, *values: tf.Tensor) -> tf.Operation:
    """The check that all of bool [B] are true; it fails with the number of the first recording that is not.

    Args:
      good: bool [B]. says: what is wrong with a recording. values: numbers [B] that go behind it.
    """
    first = tf.argmin(tf.cast(tf.concat([good, [False]], 0), tf.int32))
    shown = [tf.gather(tf.concat([value, value[:0], tf.zeros([1], value.dtype)], 0), first) for value in values]
    return tf.debugging.Assert(tf.reduce_all(good), ["recording", first, says, *shown])
