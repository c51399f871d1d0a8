"""The stream of one picture: a header that says what it is, then the coder's sections.

Layout, little-endian: "KMP", version (1 byte), checksum of all other bytes (8), fingerprint of the model (4), of the
latents (4), height (2), width (2), flags (1), the length of every section but the last (varints), the sections. That
is 25 bytes and one to three for each section but the last: 26 to 28 bytes with two sections, 27 to 31 with three.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from models.entropy import bit_fields
from models.entropy.bit_fields import require

MAGIC = b"KMP"
VERSION = 1
MAX_SIDE = 65535  # pixels
MAX_PIXELS = 2**27  # of a picture; its latents and the bytes of its pixels are counted in 32 bits
_TOO_LARGE = f"a picture may have {MAX_PIXELS} pixels (2^27) at most; its sides are"
_CHECKED = 12  # bytes before what comes after the checksum
_FIXED = 25  # bytes before the section lengths
_WIDTHS = (4, 4, 2, 2, 1)  # bytes of model, latents, height, width, flags


class Header(NamedTuple):
    """What a stream says of its picture; int64 scalars."""

    height: tf.Tensor  # pixels, 1 to 65535
    width: tf.Tensor  # pixels, 1 to 65535
    flags: tf.Tensor  # 0 to 255, the codec's own
    latents_fingerprint: tf.Tensor  # below 2**32


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
) -> tf.Tensor:
    """Writes a stream.

    Args:
        height: int scalar, pixels, 1 to 65535.
        width: int scalar, pixels, 1 to 65535.
        flags: int scalar, 0 to 255.
        latents_fingerprint: int64 scalar below 2**32, of what the decoder must arrive at and draws the picture from.
        model_fingerprint: int64 scalar below 2**32, of the model that can read the stream.
        sections: string scalars, at least one.

    Returns:
        string scalar.

    Raises:
        tf.errors.InvalidArgumentError: if a number does not fit its field.
    """
    numbers = (model_fingerprint, latents_fingerprint, height, width, flags)
    numbers = [tf.cast(number, tf.int64) for number in numbers]
    sides = tf.stack(numbers[2:4])
    fits = [tf.logical_and(number >= 0, number < 256**size) for number, size in zip(numbers, _WIDTHS, strict=True)]
    checks = [
        require(tf.reduce_all(sides >= 1), "a picture without pixels has no stream; its sides are", sides),
        require(tf.reduce_all(sides <= MAX_SIDE), f"a picture's sides may be {MAX_SIDE} pixels at most, not", sides),
        require(tf.reduce_prod(sides) <= MAX_PIXELS, _TOO_LARGE, sides),
        require(tf.reduce_all(fits), "a fingerprint or the flags do not fit their field"),
    ]
    with tf.control_dependencies(checks):
        fields = [_to_bytes(number, width) for number, width in zip(numbers, _WIDTHS, strict=True)]
    lengths = [tf.cast(tf.strings.length(section), tf.int64) for section in sections[:-1]]
    varints = [bit_fields.write_varints(tf.stack(lengths))] if lengths else []
    rest = tf.strings.join([bit_fields.bytes_to_string(fields + varints), *sections])
    start = tf.constant(MAGIC + bytes([VERSION]))
    return tf.strings.join([start, _checksum(start, rest), rest])


@tf.autograph.experimental.do_not_convert
def unpack(stream: tf.Tensor, model_fingerprint: tf.Tensor, section_count: int) -> tuple[Header, list[tf.Tensor]]:
    """Reads a stream; nothing of it is used before all of it is known to be good.

    Args:
        stream: string scalar.
        model_fingerprint: int64 scalar below 2**32, of the model that reads.
        section_count: how many sections this model writes, at least one.

    Returns:
        The header, and the sections as string scalars.

    Raises:
        tf.errors.InvalidArgumentError: saying whether the stream is empty, not a Kompakt stream, of an unsupported
            version, truncated or damaged, written by another model, or of impossible or too large sizes.
    """
    stream = tf.ensure_shape(stream, [])
    length = tf.strings.length(stream)
    start = tf.strings.substr(stream, 0, tf.minimum(length, len(MAGIC)))
    version = tf.io.decode_raw(tf.strings.substr(tf.strings.join([stream, b"\0" * _FIXED]), len(MAGIC), 1), tf.uint8)[0]
    with tf.control_dependencies([require(length > 0, "the stream is empty")]):
        ours = require(tf.equal(start, MAGIC), "this is not a Kompakt stream: it does not begin with KMP")
    with tf.control_dependencies([ours]):
        whole = require(length >= _FIXED, f"the stream is truncated or damaged: it has not even {_FIXED} bytes")
    with tf.control_dependencies([whole]):
        message = f"unsupported version of the Kompakt stream; this model reads version {VERSION}, not"
        known = require(tf.equal(version, VERSION), message, version)
    with tf.control_dependencies([known]):
        rest = tf.strings.substr(stream, _CHECKED, length - _CHECKED)
        written = tf.strings.substr(stream, len(MAGIC) + 1, _CHECKED - len(MAGIC) - 1)
        prefix = tf.strings.substr(stream, 0, len(MAGIC) + 1)
        message = "the stream is truncated or damaged: its checksum does not fit"
        sound = require(tf.equal(_checksum(prefix, rest), written), message)
    with tf.control_dependencies([sound]):
        data = bit_fields.string_to_bytes(rest)
        model, latents, height, width, flags = _numbers(data)
        model_fingerprint = tf.cast(model_fingerprint, tf.int64)
        hexes = "of fingerprint", _hex(model), "but this model's is", _hex(model_fingerprint)
        same = require(tf.equal(model, model_fingerprint), "the stream was written by another model:", *hexes)
    with tf.control_dependencies([same]):
        begin = tf.constant(_FIXED - _CHECKED, tf.int64)
        lengths, end, good = bit_fields.read_varints(data, begin, tf.constant(section_count - 1, tf.int64))
        left = tf.size(data, tf.int64) - end - tf.reduce_sum(lengths)
        possible = tf.reduce_all([good, left >= 0, height >= 1, width >= 1])
        sizes = require(possible, "the stream's sizes are impossible: sides", height, width, "sections", lengths)
        small = require(height * width <= MAX_PIXELS, _TOO_LARGE, height, width)
    with tf.control_dependencies([sizes, small]):
        lengths = tf.concat([lengths, left[None]], 0)
        begins = end + tf.cumsum(lengths, exclusive=True)
        header = Header(*map(tf.identity, (height, width, flags, latents)))
        return header, [tf.strings.substr(rest, begins[k], lengths[k]) for k in range(section_count)]


def describe(stream: bytes) -> dict[str, int | str]:
    """What the header of a stream says, read without TensorFlow's help; the checksum is not verified.

    Returns:
        version, height and width (pixels), flags, bytes (of the whole stream), and model_fingerprint and
        latents_fingerprint (8 hexadecimal digits).

    Raises:
        ValueError: if the bytes do not begin with the header of a Kompakt stream of this version, or the picture is
            larger than any that is coded.
    """
    if not stream:
        raise ValueError("the stream is empty")
    if stream[: len(MAGIC)] != MAGIC:
        raise ValueError("this is not a Kompakt stream: it does not begin with KMP")
    if len(stream) < _FIXED:
        raise ValueError(f"the stream is truncated: it has not even {_FIXED} bytes")
    if stream[len(MAGIC)] != VERSION:
        raise ValueError(f"unsupported version of the Kompakt stream: {stream[len(MAGIC)]}, not {VERSION}")
    numbers, place = [], _CHECKED
    for width in _WIDTHS:
        numbers.append(int.from_bytes(stream[place : place + width], "little"))
        place += width
    model, latents, height, width, flags = numbers
    if height * width > MAX_PIXELS:
        raise ValueError(f"{_TOO_LARGE} {height} {width}")
    described = {"version": VERSION, "height": height, "width": width, "flags": flags, "bytes": len(stream)}
    return described | {"model_fingerprint": f"{model:08x}", "latents_fingerprint": f"{latents:08x}"}


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
    return [_little_endian(part) for part in tf.split(data[: sum(_WIDTHS)], _WIDTHS)]


def _hex(number: tf.Tensor) -> tf.Tensor:
    """Eight hexadecimal digits, as a string scalar, of an int64 scalar below 2**32."""
    digits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(number, tf.range(28, -4, -4, tf.int64)), 15)
    return tf.strings.reduce_join(tf.gather(tf.constant(list("0123456789abcdef")), digits))
