"""Numbers 0 to 4 packed as densely as whole bytes allow: 31 of them in nine, for 71.98 bits of 72.

What no distribution is known of, or none that pays, takes log2(5) bits each and 0.03 % more; the last block takes the
bytes that its own numbers need. A block is the number of 72 bits whose digits to the base 5 they are, in two halves.
"""

import math

import numpy as np
import tensorflow as tf

from models.entropy.coder.bit_fields import bytes_to_string, require, string_to_bytes
from models.entropy.lanes import bit_and, const, shift_left, shift_right

BASE, DIGITS, BYTES = 5, 31, 9  # of a block
_LOW = 15  # digits of the lower half; the upper one then is below 2^38
_SCALE, _HALF, _STEP = BASE**_LOW, 36, 18  # bits of a half, and of the pieces that products are taken in
_SIZES = np.array([math.ceil(n * math.log2(BASE) / 8) for n in range(DIGITS)])  # bytes of so many numbers
_NOTHING = (1 << _HALF) - 1


def packed_size(count: tf.Tensor) -> tf.Tensor:
    """Bytes of so many numbers, int32 scalar each."""
    return BYTES * (count // DIGITS) + tf.gather(tf.constant(_SIZES, tf.int32), count % DIGITS)


def pack(numbers: tf.Tensor) -> tf.Tensor:
    """String scalar of integers 0 to 4, int32 or int64 [N]."""
    count = tf.size(numbers)
    blocks = -(-count // DIGITS)
    digits = tf.reshape(tf.pad(tf.cast(numbers, tf.int64), [[0, DIGITS * blocks - count]]), [-1, DIGITS])
    lower, upper = _value(digits[:, :_LOW]), _value(digits[:, _LOW:])
    near, far = (
        const(_SCALE) * part for part in (bit_and(upper, const((1 << _STEP) - 1)), shift_right(upper, _step()))
    )
    low = lower + near + shift_left(bit_and(far, const((1 << _STEP) - 1)), _step())
    high = shift_right(far, _step()) + shift_right(low, const(_HALF))
    low = bit_and(low, const(_NOTHING))
    middle = shift_right(low, const(32)) + shift_left(bit_and(high, const(15)), const(4))
    parts = [_bytes(low, 4), middle[:, None], _bytes(shift_right(high, const(4)), 4)]
    return bytes_to_string([tf.cast(tf.reshape(tf.concat(parts, 1), [-1]), tf.uint8)[: packed_size(count)]])


def unpack(string: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """So many numbers (int32 scalar) of a string of `pack`, int32 [count].

    Raises:
      tf.errors.InvalidArgumentError: it is not as long as they take, or a block is no number of so many digits.
    """
    same = require(tf.equal(tf.strings.length(string), packed_size(count)), "damaged stream: its codes are cut short")
    with tf.control_dependencies([same]):
        data = string_to_bytes(string)
    blocks = -(-count // DIGITS)
    data = tf.reshape(tf.pad(data, [[0, BYTES * blocks - tf.size(data)]]), [-1, BYTES])
    low = _number(data[:, :4]) + shift_left(bit_and(data[:, 4], const(15)), const(32))
    high = shift_left(_number(data[:, 5:]), const(4)) + shift_right(data[:, 4], const(4))
    upper, rest = high // _SCALE, high % _SCALE
    for piece in (shift_right(low, _step()), bit_and(low, const((1 << _STEP) - 1))):  # a long division
        rest = shift_left(rest, _step()) + piece
        upper, rest = shift_left(upper, _step()) + rest // _SCALE, rest % _SCALE
    digits = tf.concat([_digits(rest, _LOW), _digits(upper, DIGITS - _LOW)], 1)
    good = tf.reduce_all(upper < BASE ** (DIGITS - _LOW))
    with tf.control_dependencies([require(good, "damaged stream: its codes are none")]):
        return tf.cast(tf.reshape(digits, [-1])[:count], tf.int32)


def _step() -> tf.Tensor:
    return const(_STEP)


def _value(digits: tf.Tensor) -> tf.Tensor:
    """int64 [B, n], lowest first -> int64 [B]."""
    return tf.reduce_sum(digits * [BASE**n for n in range(digits.shape[1])], 1)


def _digits(values: tf.Tensor, count: int) -> tf.Tensor:
    """The inverse of `_value`."""
    return values[:, None] // [BASE**n for n in range(count)] % BASE


def _bytes(values: tf.Tensor, count: int) -> tf.Tensor:
    """Low bytes first, int64 [B, count]."""
    return bit_and(shift_right(values[:, None], tf.range(0, 8 * count, 8, tf.int64)), const(255))


def _number(data: tf.Tensor) -> tf.Tensor:
    """The inverse of `_bytes`."""
    return tf.reduce_sum(shift_left(data, tf.range(0, 8 * data.shape[1], 8, tf.int64)), 1)
