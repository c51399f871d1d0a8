"""What the first bytes of a picture file say, read in stock TensorFlow ops before a decoder believes them."""

import numpy as np
import tensorflow as tf

from models.entropy.coder.bit_fields import require, string_to_bytes
from models.entropy.coder.header import MAX_PIXELS

_PNG, _GIF, _BMP = b"\x89PNG", b"GIF8", b"BM"
_BMP_KIND = b"\x18\0\0\0\0\0"  # bits a pixel, compression
_TRNS, _IDAT = (int.from_bytes(name, "big") for name in (b"tRNS", b"IDAT"))
_LONGEST_TRNS = 256  # bytes, one for each colour of a palette
_MOST_CHUNKS = 1000  # of a PNG in front of its image data; each takes a turn of a loop
_MOST_BLOCKS = 1 << 16  # of at most 255 bytes, of a GIF up to the end of its first frame; likewise


def checked(encoded: tf.Tensor) -> tf.Tensor:
    """The bytes of a picture (scalar string) as a decoder may have them: those of a GIF end behind its first frame.

    The decoders of PNG, JPEG, BMP and GIF reserve memory for what the header says, and that of GIF for all frames. Of
    BMP, TensorFlow reads 24 bits right, takes a palette's indices for grey and what fills up 32 bits for alpha.
    Bytes of no such format pass: no decoder takes them.

    Raises:
      tf.errors.InvalidArgumentError: more than MAX_PIXELS pixels, a BMP of another kind, or the header of a JPEG is
        damaged.
    """
    is_bmp, is_gif = _starts_with(encoded, _BMP), _starts_with(encoded, _GIF)
    frame, descriptor = tf.cond(is_gif, lambda: _first_frame(encoded), lambda: (encoded, tf.constant(0, tf.int64)))
    sides = tf.case(
        [
            (tf.io.is_jpeg(encoded), lambda: tf.cast(tf.image.extract_jpeg_shape(encoded)[1::-1], tf.int64)),
            (_starts_with(encoded, _PNG), lambda: _sides(encoded, 16, [3, 2, 1, 0])),
            (is_bmp, lambda: _sides(encoded, 18, [0, 1, 2, 3])),
            (is_gif, lambda: _sides(encoded, descriptor + 5, [0, 1])),
        ],
        default=lambda: tf.zeros([2], tf.int64),
    )
    message = f"too many pixels: a picture may have {MAX_PIXELS} at most; the width and height of this one are"
    readable = ~is_bmp | tf.reduce_all(tf.equal(_bytes(encoded, 28, 6), list(_BMP_KIND)))
    checks = [
        require(tf.reduce_prod(sides) <= MAX_PIXELS, message, sides),
        require(readable, "a BMP must have 24 bits a pixel, uncompressed; convert this one to PNG"),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(frame)


def is_grey_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a picture (scalar string, `checked`) is a JPEG of one channel; bool scalar."""
    is_jpeg = tf.io.is_jpeg(encoded)
    return tf.cond(is_jpeg, lambda: tf.equal(tf.image.extract_jpeg_shape(encoded)[2], 1), lambda: tf.constant(False))


def transparent_channels(encoded: tf.Tensor) -> tf.Tensor:
    """Channels (int32 scalar) of a PNG in which a level or a colour is transparent: 2 if grey, 4 if RGB, 0 for others.

    A palette is among the others: TensorFlow's decoder finds its transparency by itself.

    Raises:
      tf.errors.InvalidArgumentError: the transparency is damaged, which libpng would leave out without an error, or
        more than a thousand chunks stand in front of the image data.
    """
    colour_type = _bytes(encoded, 25, 1)[0]
    may_have = _starts_with(encoded, _PNG) & (colour_type <= 3)
    has = tf.cond(may_have, lambda: _has_transparency(encoded), lambda: tf.constant(False))
    return tf.where(has, tf.gather([2, 0, 4, 0], tf.minimum(colour_type, 3)), 0)


def _has_transparency(png: tf.Tensor) -> tf.Tensor:
    """Whether a PNG (scalar string) has a chunk tRNS in front of its image data, bool scalar; raises if it is damaged.

    All small chunks up to there are checked: a tRNS whose name is damaged is none to libpng.
    """

    def kind(start):
        return _number(_bytes(png, start + 4, 4), [3, 2, 1, 0])

    def length(start):
        return _number(_bytes(png, start, 4), [3, 2, 1, 0])

    def is_sound(start):
        size = tf.minimum(length(start), _LONGEST_TRNS)
        written = _number(_bytes(png, start + 8 + size, 4), [3, 2, 1, 0])
        return tf.equal(_crc32(_bytes(png, start + 4, 4 + size)), written)

    start, sound = tf.while_loop(
        lambda start, sound: sound & tf.reduce_all(tf.not_equal(kind(start), [_TRNS, _IDAT, 0])),  # 0: the file's end
        lambda start, sound: (
            start + 12 + length(start),
            tf.cond(length(start) > _LONGEST_TRNS, lambda: tf.constant(True), lambda: is_sound(start)),
        ),
        (tf.constant(33, tf.int64), tf.constant(True)),  # behind the header, which libpng checks
        maximum_iterations=_MOST_CHUNKS,
    )
    has = tf.equal(kind(start), _TRNS)
    found = ~sound | tf.reduce_any(tf.equal(kind(start), [_TRNS, _IDAT, 0]))
    sound &= tf.cond(has, lambda: is_sound(start), lambda: tf.constant(True))
    checks = [
        require(found, f"damaged PNG: more than {_MOST_CHUNKS} chunks in front of its image data"),
        require(sound, "damaged PNG: the checksum of a chunk is wrong"),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(has)


def _first_frame(gif: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A GIF (scalar string) cut behind its first frame, and where that frame's descriptor stands in it (int64)."""
    data = tf.concat([tf.io.decode_raw(gif, tf.uint8), tf.constant([0], tf.uint8)], 0)

    def at(place):  # zero beyond the end
        return tf.cast(data[tf.minimum(place, tf.size(data, tf.int64) - 1)], tf.int64)

    def colours(place):  # bytes of the table that the flags there announce
        flags = at(place)
        return tf.where(flags >= 128, tf.bitwise.left_shift(tf.constant(6, tf.int64), flags % 8), 0)

    def step(place, inside, frame):
        """One block of data, or what stands between two rows of blocks: (place, whether blocks follow, descriptor)."""
        size, starts = at(place), tf.equal(at(place), ord(","))
        between = tf.where(starts, 11 + colours(place + 9), 2)
        return (
            place + tf.where(inside, 1 + size, between),
            ~inside | (size > 0),
            tf.where(starts & ~inside, place, frame),
        )

    place, _, frame = tf.while_loop(
        lambda place, inside, frame: inside | ((frame < 0) & tf.reduce_any(tf.equal(at(place), [ord(","), ord("!")]))),
        step,
        (13 + colours(tf.constant(10, tf.int64)), tf.constant(False), tf.constant(-1, tf.int64)),
        maximum_iterations=_MOST_BLOCKS,
    )
    end = tf.minimum(place, tf.size(data, tf.int64) - 1)
    return tf.strings.join([tf.strings.substr(gif, tf.constant(0, tf.int64), end), b";"]), tf.maximum(frame, 0)


def _starts_with(text: tf.Tensor, start: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(text, 0, len(start)), start)


def _bytes(text: tf.Tensor, start: tf.Tensor | int, count: tf.Tensor | int) -> tf.Tensor:
    """Bytes of a scalar string, int64 [count]; zeros beyond its end."""
    start, count = tf.cast(start, tf.int64), tf.cast(count, tf.int64)
    start = tf.minimum(start, tf.cast(tf.strings.length(text), tf.int64))
    data = string_to_bytes(tf.strings.substr(text, start, count))
    return tf.pad(data, [[0, count - tf.size(data, tf.int64)]])


def _number(data: tf.Tensor, places: list[int]) -> tf.Tensor:
    """The number that bytes (int64 [n]) stand for, whose k-th counts 256 ** places[k]; int64 scalar."""
    return tf.reduce_sum(data * [256**place for place in places])


def _sides(text: tf.Tensor, start: tf.Tensor | int, places: list[int]) -> tf.Tensor:
    """Two numbers in a row, int64 [2]; negative ones of four bytes (a BMP from top to bottom) by their size."""
    first, second = (_number(_bytes(text, start + k * len(places), len(places)), places) for k in (0, 1))
    sides = tf.stack([first, second])
    return tf.minimum(sides, 2**32 - sides)


def _crc32(data: tf.Tensor) -> tf.Tensor:
    """The checksum of PNG and zlib, int64 scalar, of bytes (int64 [n])."""
    table = np.arange(256)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ 0xEDB88320, table >> 1)
    table, low = tf.constant(table), tf.constant(255, tf.int64)

    def step(value, byte):
        place = tf.bitwise.bitwise_and(tf.bitwise.bitwise_xor(value, byte), low)
        return tf.bitwise.bitwise_xor(tf.gather(table, place), tf.bitwise.right_shift(value, tf.constant(8, tf.int64)))

    last = tf.constant(0xFFFFFFFF, tf.int64)
    return tf.bitwise.bitwise_xor(tf.foldl(step, data, last), last)
