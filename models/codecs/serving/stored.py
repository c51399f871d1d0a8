"""Pictures that are kept without loss, as a PNG in a stream, where that takes hardly more bytes than the codec's.

Icons, diagrams and screenshots are such pictures: a codec for photographs spends as many bytes on them as a PNG, and
blurs them. On photographs a PNG is ten to eighty times as large as a stream, on graphics one to four times.
"""

from collections.abc import Callable

import tensorflow as tf

from models.codecs.serving.picture_files import PNG_START, png_header
from models.entropy.coder import container
from models.entropy.coder.bit_fields import require
from models.entropy.coder.header import STORED
from models.records import pictures as picture_records

# Bytes of a PNG over those of the stream in place of which it is taken, at quality 0 and at 100.
MOST = (1.5, 4.0)
_WORTH_A_TRY = 4.0  # a PNG this much larger than is taken is not written anew
_BANDS, _BAND = 8, 16  # of rows, by which the size of a PNG is guessed
_LARGE_JPEG, _LARGE_PNG = 2**20, 2**22  # pixels: one is a photograph, the other is taken as it is
_LEVEL = 9  # of zlib


def instead(
    encoded: tf.Tensor, stream: tf.Tensor, quality: tf.Tensor, factors: tuple[float, float] = MOST
) -> tf.Tensor:
    """A picture's stream, or one of version `header.STORED` if it is small enough.

    Args:
      encoded: string scalar, the picture file; a PNG is kept as it came if it cannot be written smaller.
      stream: string scalar, what a codec made of it.
      quality: float32 scalar, 0 to 1.
      factors: as `MOST`.

    Returns:
      string scalar.
    """
    most = (factors[0] + (factors[1] - factors[0]) * quality) * tf.cast(tf.strings.length(stream), tf.float32)
    start, sides, kind = png_header(encoded)
    is_png, is_deep = tf.equal(start, PNG_START), tf.equal(tf.strings.substr(kind, 0, 1), b"\x10")
    length = tf.cast(tf.strings.length(encoded), tf.float32)
    guess = tf.cond(is_png, lambda: length, lambda: _guess(encoded))

    def written():
        return tf.io.encode_png(picture_records.decode(encoded, channels=0), compression=_LEVEL)

    def smaller():
        as_it_came = is_png & (is_deep | (tf.reduce_prod(sides) > _LARGE_PNG))  # 16 bits would be cut
        anew = tf.cond(as_it_came, lambda: encoded, written)
        shorter = is_png & (tf.strings.length(encoded) <= tf.strings.length(anew))
        content = tf.cond(shorter, lambda: encoded, lambda: anew)
        width, height = tf.unstack(png_header(content)[1])
        packed = container.pack(height, width, 0, 0, 0, [content], STORED)
        return tf.cond(tf.cast(tf.strings.length(packed), tf.float32) <= most, lambda: packed, lambda: stream)

    return tf.cond(guess <= _WORTH_A_TRY * most, smaller, lambda: stream)


def whole(encoded: tf.Tensor, code: Callable[[], tf.Tensor], smaller: bool) -> tf.Tensor:
    """A picture's stream without any loss: a PNG of 16 bits as it came, else the smaller one of two.

    Args:
      encoded: string scalar, the picture file.
      code: gives the stream that a lossless codec of 8 bits makes of it.
      smaller: whether a PNG is taken where that is smaller; a large one is not written anew.

    Returns:
      string scalar.
    """
    start, sides, kind = png_header(encoded)
    is_png, is_deep = tf.equal(start, PNG_START), tf.equal(tf.strings.substr(kind, 0, 1), b"\x10")

    def packed(content):
        width, height = tf.unstack(png_header(content)[1])
        return container.pack(height, width, 0, 0, 0, [content], STORED)

    def shortest():
        stream = code()
        large = tf.reduce_prod(tf.shape(stream_pixels(encoded))[:2]) > _LARGE_PNG
        anew = tf.cond(large, lambda: encoded, lambda: tf.io.encode_png(stream_pixels(encoded), compression=_LEVEL))
        as_it_came = is_png & (tf.strings.length(encoded) <= tf.strings.length(anew))
        content = tf.cond(as_it_came, lambda: encoded, lambda: anew)
        fits = (is_png | ~large) & (tf.strings.length(content) < tf.strings.length(stream))
        return tf.cond(fits, lambda: packed(content), lambda: stream)

    def stream_pixels(content):
        return picture_records.decode(content, channels=0)

    return tf.cond(is_png & is_deep, lambda: packed(encoded), shortest if smaller else code)


def _guess(encoded: tf.Tensor) -> tf.Tensor:
    """Bytes of a PNG of a picture (string scalar) of another format, by some of its rows; infinite of photographs."""

    def by_rows():
        pixels = picture_records.decode(encoded, channels=0)
        height = tf.shape(pixels)[0]
        tops = tf.linspace(0.0, tf.cast(tf.maximum(height - _BAND, 0), tf.float32), _BANDS)
        rows = tf.reshape(tf.cast(tops, tf.int32)[:, None] + tf.range(_BAND), [-1])
        rows = tf.cond(height > _BANDS * _BAND, lambda: rows, lambda: tf.range(height))
        some = tf.strings.length(tf.io.encode_png(tf.gather(pixels, rows)))
        return tf.cast(some, tf.float32) * tf.cast(height, tf.float32) / tf.cast(tf.size(rows), tf.float32)

    def of_jpeg():
        shape = tf.image.extract_jpeg_shape(encoded)
        return tf.cond(shape[0] * shape[1] > _LARGE_JPEG, lambda: tf.constant(float("inf")), by_rows)

    return tf.cond(tf.io.is_jpeg(encoded), of_jpeg, by_rows)


def is_stored(stream: tf.Tensor) -> tf.Tensor:
    """Whether a stream (string scalar) says that it holds a PNG; bool scalar."""
    return tf.equal(container.version_of(stream), STORED)


def read(stream: tf.Tensor) -> tf.Tensor:
    """The PNG that a stream holds, string scalar.

    Raises:
      tf.errors.InvalidArgumentError: it is damaged, or what it holds is no PNG of the size that it says.
    """
    header, (content,) = container.unpack(stream, tf.constant([0], tf.int64), 1, (STORED,))
    start, sides, _ = png_header(content)
    same = tf.equal(start, PNG_START) & tf.reduce_all(tf.equal(sides, tf.stack([header.width, header.height])))
    with tf.control_dependencies([require(same, "damaged stream: it holds no PNG of its size")]):
        content = tf.identity(content)
    with tf.control_dependencies([picture_records.decode(content, channels=0)]):
        return tf.identity(content)
