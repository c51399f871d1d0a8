"""One buffer for what tiles are computed from and for what they give, which is written over what is used up.

Pixels take 768 bytes for each 16x16 of them, latents 704 where a position has 176: held beside each other they are the
most that coding takes. Results are written from the buffer's beginning on; what they are computed from lies so far
behind it that no tile is written over what a later one sees.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from models.codecs.serving.picture_files import tile_at
from models.entropy.in_place import overwrite

_ALIGNMENT = 64  # bytes; TensorFlow copies a slice that begins elsewhere


class Grid(NamedTuple):
    """Numbers [rows, columns, depth] of a type that lies in a buffer, `scale` rows for each latent."""

    rows: tf.Tensor  # int32 scalars
    columns: tf.Tensor
    depth: int
    dtype: tf.DType
    scale: int

    @property
    def row(self) -> tf.Tensor:
        """Bytes of a row."""
        return self.columns * self.depth * self.dtype.size


class Canvas(NamedTuple):
    """Where things lie in a buffer, in bytes; int32 scalars."""

    source: Grid
    target: Grid
    before: tf.Tensor  # in front of the source
    behind: tf.Tensor  # behind the source

    @property
    def end(self) -> tf.Tensor:
        """Where the source ends."""
        return self.before + self.source.rows * self.source.row


def plan(source: Grid, target: Grid, height: tf.Tensor, tile: int, halo: int, spare: int = 0) -> Canvas:
    """The smallest canvas that will do.

    Args:
      source, target: what tiles are computed from, and what they give.
      height: int32 scalar, latents. tile, halo: see `fill`.
      spare: numbers of four bytes that at least are left free behind the source.
    """
    # Bytes that the target may be ahead of the source that is still needed: most at one of the ends. The last rows
    # may be missing of the last tile, but not of the one before.
    first = tf.minimum((tile + halo) * target.scale, target.rows) * target.row
    last = height * target.scale * target.row - tf.maximum(height - tile - halo, 0) * source.scale * source.row
    before = -(-tf.maximum(first, last) // _ALIGNMENT) * _ALIGNMENT
    end = before + source.rows * source.row
    whole = 4 * target.row  # rows of the target, and numbers of four bytes
    needed = tf.maximum(end + 4 * spare, target.rows * target.row)
    return Canvas(source, target, before, -(-needed // whole) * whole - end)


def fill(
    function: Callable[[tf.Tensor], tf.Tensor],
    buffer: tf.Tensor,
    canvas: Canvas,
    height: tf.Tensor,
    width: tf.Tensor,
    tile: int,
    halo: int,
) -> tf.Tensor:
    """Does what `picture_files.in_tiles` does within one buffer, in place if nothing else holds it.

    Args:
      function: [1, a, b, depth] of the source -> [1, a', b', depth'] of the target, in their types.
      buffer: uint8 [before + source + behind].
      canvas: `plan` for the same tiles.
      height, width: int32 scalars, latents.
      tile, halo: side of a tile and what the function sees around it, in latents.

    Returns:
      The target, [rows, columns, depth].
    """
    source, target = canvas.source, canvas.target

    def body(place, whole):
        at = tile_at(place, height, width, tile, halo)
        first, last = at.a * source.scale, tf.minimum(at.c * source.scale, source.rows)
        seen = tf.reshape(whole, [-1])[canvas.before + first * source.row : canvas.before + last * source.row]
        seen = _typed(seen, tf.stack([last - first, source.columns, source.depth]), source.dtype)
        found = function(seen[None, :, at.b * source.scale : at.d * source.scale])[0]
        found = at.cut(found, target.scale, (target.rows, target.columns))
        shape = tf.stack([tf.shape(found)[0], tf.shape(found)[1], target.depth * target.dtype.size])
        found = tf.reshape(tf.bitcast(found, tf.uint8), shape)
        return place + 1, overwrite(whole, [at.top * target.scale, at.left * target.scale], found)

    depth = target.depth * target.dtype.size
    whole = tf.ensure_shape(tf.reshape(buffer, tf.stack([-1, target.columns, depth])), (None, None, depth))
    count = -(-height // tile) * -(-width // tile)
    _, whole = tf.while_loop(lambda place, _: place < count, body, (0, whole), parallel_iterations=1)
    found = tf.reshape(whole, [-1])[: target.rows * target.row]
    return _typed(found, tf.stack([target.rows, target.columns, target.depth]), target.dtype)


def _typed(values: tf.Tensor, shape: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Bytes [n] as numbers of that shape, of three axes, whose depth is static: Keras needs that."""
    if dtype.size > 1:
        values = tf.reshape(values, [-1, dtype.size])
    return tf.reshape(tf.bitcast(values, dtype), shape)
