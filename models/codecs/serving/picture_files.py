"""Pictures at the edge of a served codec: decoding and encoding files, and transforms in tiles of bounded memory."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from models.entropy.coder.bit_fields import require
from models.entropy.in_place import overwrite
from models.records import pictures as picture_records

GREY, ALPHA = 1, 2  # flags of the stream
PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"  # of a PNG; its width and height follow, then its kind:
_PLANE_KIND = b"\x08\0\0\0\0"  # 8 bits, grey, not interlaced
_PNG_LEVEL = 1  # of decoded pictures: an eighth of the default's time, files a tenth larger
MAX_SIDE = 65535


def read_picture(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decodes a PNG, JPEG, BMP or GIF (first frame).

    Args:
      encoded: string scalar. 16-bit values are cut to 8 bits, palettes are looked up; a transparent level or colour is
        alpha.

    Returns:
      (uint8 [H, W, 3], flags int32, alpha plane as a PNG or the empty string). Grey is repeated over the channels.

    Raises:
      tf.errors.InvalidArgumentError: no picture, damaged, a side above 65535 pixels, or more than MAX_PIXELS pixels.
    """
    pixels = picture_records.decode(encoded, channels=0)
    shape = tf.shape(pixels)
    height, width, channels = shape[0], shape[1], shape[2]
    size = tf.debugging.Assert(
        tf.logical_and(tf.minimum(height, width) > 0, tf.maximum(height, width) <= MAX_SIDE),
        ["a picture's sides must be 1 to 65535 pixels, not", height, width],
    )
    with tf.control_dependencies([size]):
        grey, alpha = channels < 3, channels % 2 == 0
    places = tf.where(grey, [0, 0, 0], [0, 1, 2])
    flags = GREY * tf.cast(grey, tf.int32) + ALPHA * tf.cast(alpha, tf.int32)
    plane = tf.cond(alpha, lambda: tf.io.encode_png(pixels[:, :, channels - 1 :]), lambda: tf.constant(b""))
    pixels = tf.cond(tf.equal(channels, 3), lambda: pixels, lambda: tf.gather(pixels, places, axis=2))
    return tf.ensure_shape(pixels, (None, None, 3)), flags, plane


def write_picture(pixels: tf.Tensor, flags: tf.Tensor, plane: tf.Tensor) -> tf.Tensor:
    """The inverse of `read_picture`: uint8 [H, W, 3] to PNG bytes, grey and with alpha as the flags say.

    Raises:
      tf.errors.InvalidArgumentError: unknown flags, or the plane is not a PNG of the picture's size.
    """
    shape = tf.shape(pixels)
    known = (flags >= 0) & (flags <= GREY + ALPHA) & tf.equal(flags >= ALPHA, tf.strings.length(plane) > 0)
    with tf.control_dependencies([require(known, "damaged stream: its flags mean nothing here; they are", flags)]):
        flags = tf.identity(flags)

    def grey():
        mean = tf.round(tf.reduce_mean(tf.cast(pixels, tf.float32), axis=2, keepdims=True))
        return tf.cast(mean, tf.uint8)

    pixels = tf.cond(flags % 2 == GREY, grey, lambda: pixels)

    def with_alpha():
        # The decoder takes other formats too, and reserves memory for the sides that it reads.
        start, sides, kind = png_header(plane)
        is_png = tf.equal(start, PNG_START) & tf.equal(kind, _PLANE_KIND)
        same = tf.reduce_all(tf.equal(sides, tf.cast([shape[1], shape[0]], tf.int64)))
        with tf.control_dependencies([require(is_png, "damaged stream: its alpha plane is no PNG of 8 bits of grey")]):
            of_size = require(same, "damaged stream: its alpha plane is not of the picture's size")
        with tf.control_dependencies([of_size]):
            alpha = tf.ensure_shape(tf.io.decode_png(plane, channels=1), (None, None, 1))
        return tf.concat([pixels, alpha], axis=2)

    pixels = tf.cond(flags >= ALPHA, with_alpha, lambda: pixels)
    return tf.io.encode_png(tf.ensure_shape(pixels, (None, None, None)), compression=_PNG_LEVEL)


def png_header(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What a PNG begins with: (`PNG_START`, width and height int64 [2], five bytes for its kind); of anything else
    bytes that mean nothing, and zeros behind its end.
    """
    # A whole picture is not copied for its first bytes.
    padded = tf.strings.join([tf.strings.substr(content, 0, tf.minimum(tf.strings.length(content), 29)), b"\0" * 29])
    start, sides, kind = (tf.strings.substr(padded, *part) for part in ((0, 16), (16, 8), (24, 5)))
    sides = tf.cast(tf.reshape(tf.io.decode_raw(sides, tf.uint8), (2, 4)), tf.int64)
    return start, tf.reduce_sum(sides * [1 << 24, 1 << 16, 1 << 8, 1], 1), kind


class Tile(NamedTuple):
    """A tile, and what a function sees of its surroundings: first and last (excluded) rows and columns, in latents."""

    top: tf.Tensor
    left: tf.Tensor
    bottom: tf.Tensor
    right: tf.Tensor
    a: tf.Tensor  # rows seen: a to c, columns: b to d
    b: tf.Tensor
    c: tf.Tensor
    d: tf.Tensor

    def cut(self, result: tf.Tensor, scale: int, sides: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """The tile itself, up to the sides of the whole, of a result for what was seen, `scale` rows a latent."""
        rows = slice((self.top - self.a) * scale, tf.minimum(self.bottom * scale, sides[0]) - self.a * scale)
        columns = slice((self.left - self.b) * scale, tf.minimum(self.right * scale, sides[1]) - self.b * scale)
        return result[rows, columns]


def tile_at(place: tf.Tensor, height: tf.Tensor, width: tf.Tensor, tile: int, halo: int) -> Tile:
    """The tile of that number (int32 scalar), row by row, of [height, width] latents; the last ones are smaller."""
    across = -(-width // tile)
    top, left = tile * (place // across), tile * (place % across)
    bottom, right = tf.minimum(top + tile, height), tf.minimum(left + tile, width)
    seen = (tf.maximum(top - halo, 0), tf.maximum(left - halo, 0))
    return Tile(top, left, bottom, right, *seen, tf.minimum(bottom + halo, height), tf.minimum(right + halo, width))


def in_tiles(
    function: Callable[[tf.Tensor], tf.Tensor],
    values: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
    *,
    scale_in: int,
    scale_out: int,
    tile: int,
    halo: int,
    channels: int,
    dtype: tf.DType,
) -> tf.Tensor:
    """Applies a convolutional function tile by tile; the result is that of one piece, the memory that of one tile.

    Args:
      function: [1, a * scale_in, b * scale_in, C] -> [1, a * scale_out, b * scale_out, D] for any a, b.
      values: [height * scale_in, width * scale_in, C]; what is missing of the last rows and columns `function` adds.
      height, width: int32 scalars, in latents.
      scale_in, scale_out: rows of the input and of the output a latent.
      tile: side of a tile, in latents.
      halo: latents around a tile that the function sees too; at least its receptive field's reach.
      channels, dtype: D, the result's depth, and its type.

    Returns:
      [height * scale_out, width * scale_out, D].
    """
    sides = height * scale_out, width * scale_out

    def body(place, whole):
        at = tile_at(place, height, width, tile, halo)
        seen = values[None, at.a * scale_in : at.c * scale_in, at.b * scale_in : at.d * scale_in]
        found = at.cut(function(seen)[0], scale_out, sides)
        return place + 1, overwrite(whole, [at.top * scale_out, at.left * scale_out], found)

    count = -(-height // tile) * -(-width // tile)
    loop = (0, tf.zeros(tf.stack([*sides, channels]), dtype))
    result = tf.while_loop(lambda place, _: place < count, body, loop, parallel_iterations=1)[1]
    return tf.ensure_shape(result, (None, None, channels))  # Keras has XLA compile convolutions of unknown depth
