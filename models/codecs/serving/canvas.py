"""One buffer for the decoded latents of a picture and for its pixels, which are drawn over latents that are used up.

Held beside each other they are the most that decoding takes: 704 and 768 bytes for each 16x16 pixels, with 176
latents a position. Rows of pixels are written from the buffer's beginning on; latents lie so far behind it that no
tile is drawn over what a later one sees.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from models.codecs.codec import STRIDE
from models.codecs.serving.picture_files import tile_at
from models.entropy.in_place import overwrite

_ALIGNMENT = 16  # numbers; TensorFlow copies a slice that begins elsewhere
BESIDE = 4  # numbers behind the latents that a fingerprint follows too


class Canvas(NamedTuple):
    """Where things lie for a picture of some size; int32 scalars."""

    height: tf.Tensor  # pixels
    width: tf.Tensor
    before: tf.Tensor  # numbers in front of the latents
    count: tf.Tensor  # latents
    behind: tf.Tensor  # numbers behind them, BESIDE at least

    def latents(self, buffer: tf.Tensor) -> tf.Tensor:
        """The latents [1, h, w, M] of a buffer float32 [before + count + behind]."""
        rows, columns = _positions(self.height), _positions(self.width)
        shape = tf.stack([1, rows, columns, self.count // (rows * columns)])
        return tf.reshape(buffer[self.before : self.before + self.count], shape)


def _positions(side: tf.Tensor) -> tf.Tensor:
    return (side + STRIDE - 1) // STRIDE


def plan(height: tf.Tensor, width: tf.Tensor, channels: int, tile: int, halo: int) -> Canvas:
    """The canvas of a picture.

    Args:
      height, width: int32 scalars, pixels.
      channels: M, of its latents. tile, halo: see `draw`.
    """
    rows, row = _positions(height), _positions(width) * channels
    # Bytes that pixels may be ahead of the latents that are still needed: most at one of the ends.
    first = tf.minimum((tile + halo) * STRIDE, height) * 3 * width
    last = height * 3 * width - 4 * tf.maximum(rows - tile - halo, 0) * row
    before = -(-tf.maximum(first, last) // (4 * _ALIGNMENT)) * _ALIGNMENT
    needed = before + rows * row + BESIDE
    quads = tf.maximum(-(-needed // (3 * width)), -(-height // 4))  # four rows of pixels are 3 * width numbers
    return Canvas(height, width, before, rows * row, quads * 3 * width - before - rows * row)


def draw(
    function: Callable[[tf.Tensor], tf.Tensor], buffer: tf.Tensor, canvas: Canvas, channels: int, tile: int, halo: int
) -> tf.Tensor:
    """Draws a picture tile by tile, in place if nothing else holds the buffer.

    Args:
      function: latents [1, h, w, M] float32 -> pixels uint8 [1, 16h, 16w, 3].
      buffer: float32 [before + count + behind].
      canvas: `plan` for the same tiles.
      channels, tile, halo: M; side of a tile and what the function sees around it, in latents.

    Returns:
      uint8 [height, width, 3].
    """
    rows, columns = _positions(canvas.height), _positions(canvas.width)
    begin, row = 4 * canvas.before, 4 * columns * channels

    def body(place, whole):
        at = tile_at(place, rows, columns, tile, halo)
        seen = tf.reshape(whole, [-1])[begin + at.a * row : begin + at.c * row]
        seen = tf.reshape(seen, tf.stack([at.c - at.a, columns, channels, 4]))[:, at.b : at.d]
        found = at.cut(function(tf.bitcast(seen, tf.float32)[None])[0], STRIDE, (canvas.height, canvas.width))
        return place + 1, overwrite(whole, [at.top * STRIDE, at.left * STRIDE], found)

    whole = tf.reshape(tf.bitcast(buffer, tf.uint8), tf.stack([-1, canvas.width, 3]))
    count = -(-rows // tile) * -(-columns // tile)
    loop = (0, tf.ensure_shape(whole, (None, None, 3)))
    _, whole = tf.while_loop(lambda place, _: place < count, body, loop, parallel_iterations=1)
    return whole[: canvas.height]
