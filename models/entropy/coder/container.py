"""The stream of one picture: a header that says what it is, then the coder's sections.

`models.entropy.coder.header` has the layout.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from models.entropy.coder import bit_fields
from models.entropy.coder.bit_fields import require
from models.entropy.coder.header import (
    CHECKED,
    FIXED,
    MAGIC,
    MAX_PIXELS,
    MAX_SIDE,
    READ,
    READ_TEXT,
    TOO_LARGE,
    VERSION,
    WIDTHS,
)


class Header(NamedTuple):
    """What a stream says of its picture; int64 scalars."""

    height: tf.Tensor  # pixels, 1 to 65535
    width: tf.Tensor  # pixels, 1 to 65535
    flags: tf.Tensor  # 0 to 255, the codec's own
    latents_fingerprint: tf.Tensor  # below 2**32
    version: tf.Tensor  # of the stream, one of `header.READ`


@tf.autograph.experimental.do_not_convert
def fingerprint(data: tf.Tensor) -> tf.Tensor:
    """A number below 2**32 (int64 scalar) that differs for different contents of data (any scalar string)."""
    return _little_endian(tf.cast(tf.fingerprint(data[None])[0, :4], tf.int64))


@tf.autograph.experimental.do_not_convert
def pack(
    height: tf.Tensor,
    width: tf.Tensor,
    flags: tf.Tensor,
    latents_fingerprint: tf.Tensor,
    model_fingerprint: tf.Tensor,
    sections: Sequence[tf.Tensor],
    version: int = VERSION,
) -> tf.Tensor:
    """Writes a stream.

    Args:
        height: int scalar, pixels, 1 to 65535.
        width: int scalar, pixels, 1 to 65535.
        flags: int scalar, 0 to 255.
        latents_fingerprint: int64 scalar below 2**32, of what the decoder must arrive at and draws the picture from.
        model_fingerprint: int64 scalar below 2**32, of the model that can read the stream.
        sections: string scalars, at least one.
        version: `header.VERSION`, or `header.STORED`.

    Returns:
        string scalar.

    Raises:
        tf.errors.InvalidArgumentError: if a number does not fit its field.
    """
    numbers = (model_fingerprint, latents_fingerprint, height, width, flags)
    numbers = [tf.cast(number, tf.int64) for number in numbers]
    sides = tf.stack(numbers[2:4])
    fits = [tf.logical_and(number >= 0, number < 256**size) for number, size in zip(numbers, WIDTHS, strict=True)]
    checks = [
        require(tf.reduce_all(sides >= 1), "a picture without pixels has no stream; its sides are", sides),
        require(tf.reduce_all(sides <= MAX_SIDE), f"a picture's sides may be {MAX_SIDE} pixels at most, not", sides),
        require(tf.reduce_prod(sides) <= MAX_PIXELS, TOO_LARGE, sides),
        require(tf.reduce_all(fits), "a fingerprint or the flags do not fit their field"),
    ]
    with tf.control_dependencies(checks):
        fields = [_to_bytes(number, width) for number, width in zip(numbers, WIDTHS, strict=True)]
    lengths = [tf.cast(tf.strings.length(section), tf.int64) for section in sections[:-1]]
    varints = [bit_fields.write_varints(tf.stack(lengths))] if lengths else []
    rest = tf.strings.join([bit_fields.bytes_to_string(fields + varints), *sections])
    start = tf.constant(MAGIC + bytes([version]))
    return tf.strings.join([start, _checksum(start, rest), rest])


@tf.autograph.experimental.do_not_convert
def version_of(stream: tf.Tensor) -> tf.Tensor:
    """The version that a stream (string scalar) says it has, uint8 scalar; of what is no stream it means nothing."""
    return tf.io.decode_raw(tf.strings.substr(tf.strings.join([stream, b"\0" * FIXED]), len(MAGIC), 1), tf.uint8)[0]


@tf.autograph.experimental.do_not_convert
def sides_of(stream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width in pixels, int32 scalars, that a stream (string scalar) which was read says."""
    data = bit_fields.string_to_bytes(tf.strings.substr(stream, CHECKED, FIXED - CHECKED))
    _, _, height, width, _ = _numbers(data)
    return tf.cast(height, tf.int32), tf.cast(width, tf.int32)


@tf.autograph.experimental.do_not_convert
def unpack(
    stream: tf.Tensor, model_fingerprints: tf.Tensor, section_count: int, versions: Sequence[int] = READ
) -> tuple[Header, list[tf.Tensor]]:
    """Reads a stream; nothing of it is used before all of it is known to be good.

    Args:
        stream: string scalar.
        model_fingerprints: int64 [n] below 2**32, of the models whose streams are read; the first is the reader's own.
        section_count: how many sections this model writes, at least one.
        versions: those that are read.

    Returns:
        The header, and the sections as string scalars.

    Raises:
        tf.errors.InvalidArgumentError: saying whether the stream is empty, not a Kompakt stream, of an unsupported
            version, truncated or damaged, written by another model, or of impossible or too large sizes.
    """
    stream = tf.ensure_shape(stream, [])
    length = tf.strings.length(stream)
    start = tf.strings.substr(stream, 0, tf.minimum(length, len(MAGIC)))
    version = version_of(stream)
    with tf.control_dependencies([require(length > 0, "the stream is empty")]):
        ours = require(tf.equal(start, MAGIC), "this is not a Kompakt stream: it does not begin with KMP")
    with tf.control_dependencies([ours]):
        whole = require(length >= FIXED, f"the stream is truncated or damaged: it has not even {FIXED} bytes")
    with tf.control_dependencies([whole]):
        message = f"unsupported version of the Kompakt stream; this model reads version {READ_TEXT}, not"
        known = require(tf.reduce_any(tf.equal(version, versions)), message, version)
    with tf.control_dependencies([known]):
        rest = tf.strings.substr(stream, CHECKED, length - CHECKED)
        written = tf.strings.substr(stream, len(MAGIC) + 1, CHECKED - len(MAGIC) - 1)
        prefix = tf.strings.substr(stream, 0, len(MAGIC) + 1)
        message = "the stream is truncated or damaged: its checksum does not fit"
        sound = require(tf.equal(_checksum(prefix, rest), written), message)
    with tf.control_dependencies([sound]):
        data = bit_fields.string_to_bytes(rest)
        model, latents, height, width, flags = _numbers(data)
        known = tf.cast(model_fingerprints, tf.int64)
        hexes = "of fingerprint", _hex(model), "but this model's is", _hex(known[0])
        same = require(tf.reduce_any(tf.equal(model, known)), "the stream was written by another model:", *hexes)
    with tf.control_dependencies([same]):
        begin = tf.constant(FIXED - CHECKED, tf.int64)
        lengths, end, good = bit_fields.read_varints(data, begin, tf.constant(section_count - 1, tf.int64))
        left = tf.size(data, tf.int64) - end - tf.reduce_sum(lengths)
        possible = tf.reduce_all([good, left >= 0, height >= 1, width >= 1])
        sizes = require(possible, "the stream's sizes are impossible: sides", height, width, "sections", lengths)
        small = require(height * width <= MAX_PIXELS, TOO_LARGE, height, width)
    with tf.control_dependencies([sizes, small]):
        lengths = tf.concat([lengths, left[None]], 0)
        begins = end + tf.cumsum(lengths, exclusive=True)
        header = Header(*map(tf.identity, (height, width, flags, latents, tf.cast(version, tf.int64))))
        return header, [tf.strings.substr(rest, begins[k], lengths[k]) for k in range(section_count)]


def _checksum(start: tf.Tensor, rest: tf.Tensor) -> tf.Tensor:
    """Eight bytes, as a string scalar, of all that a stream holds besides."""
    return bit_fields.bytes_to_string([tf.fingerprint(tf.strings.join([start, rest])[None])[0]])


def _to_bytes(number: tf.Tensor, width: int) -> tf.Tensor:
    """Little-endian bytes, uint8 [width], of an int64 scalar."""
    return tf.bitcast(number, tf.uint8)[:width]


def _little_endian(data: tf.Tensor) -> tf.Tensor:
    """The number, int64 scalar, that a few bytes (int64 [n]) stand for."""
    return tf.reduce_sum(tf.bitwise.left_shift(data, 8 * tf.range(tf.size(data, tf.int64))))


def _numbers(data: tf.Tensor) -> list[tf.Tensor]:
    """Model, latents, height, width and flags, int64 scalars, of the bytes behind the checksum."""
    return [_little_endian(part) for part in tf.split(data[: sum(WIDTHS)], WIDTHS)]


def _hex(number: tf.Tensor) -> tf.Tensor:
    """Eight hexadecimal digits, as a string scalar, of an int64 scalar below 2**32."""
    digits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(number, tf.range(28, -4, -4, tf.int64)), 15)
    return tf.strings.reduce_join(tf.gather(tf.constant(list("0123456789abcdef")), digits))
