"""One buffer for what tiles are computed from and for what they give, which is written over what is used up.

Pixels take 768 bytes for each 16x16 of them, latents 704 where a position has 176: held beside each other they are the
most that coding takes. Results are written from the buffer's beginning on, a row of tiles at a time. What the next row
of tiles sees is read before, and the rest lies so far behind that nothing is written over it.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from models.codecs.serving.picture_files import tile_at
from models.entropy.coder.rans_stream import numbers_of
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


def plan(source: Grid, target: Grid, height: tf.Tensor, tile: int, halo: int) -> Canvas:
    """The smallest canvas that will do: where the target is large, no larger than that.

    Args:
      source, target: what tiles are computed from, and what they give.
      height: int32 scalar, latents. tile, halo: see `fill`.
    """
    # When a row of tiles is written, the one behind it was read as well. How far the target may be ahead of what is
    # read later grows or falls with the rows: most at the first, or at the last but two.
    count = -(-height // tile)

    def ahead(number):
        read = ((number + 2) * tile - halo) * source.scale * source.row
        return (number + 1) * tile * target.scale * target.row - read

    most = tf.maximum(tf.maximum(ahead(0), ahead(count - 3)), 0)
    before = tf.where(count < 3, 0, -(-most // _ALIGNMENT) * _ALIGNMENT)
    size = source.rows * source.row
    needed = tf.maximum(before + size, target.rows * target.row)
    needed = -(-needed // target.row) * target.row  # whole rows of the target
    return Canvas(source, target, before, needed - before - size)


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
    across, down = -(-width // tile), -(-height // tile)
    depth = target.depth * target.dtype.size

    def read(number, whole):
        """Bytes of what a row of tiles sees, nothing behind the last; a copy, since a part would hold the buffer."""
        at = tile_at(number * across, height, width, tile, halo)
        first, last = (tf.minimum(row * source.scale, source.rows) for row in (at.a, at.c))
        begin, end = (canvas.before + row * source.row for row in (first, last))
        return tf.raw_ops.DeepCopy(x=tf.reshape(whole, [-1])[begin : tf.maximum(begin, end)])

    def row_of_tiles(number, whole, now):
        following = read(number + 1, whole)
        with tf.control_dependencies([following]):
            whole = tf.identity(whole)
        sides = tf.stack([tf.size(now) // source.row, source.columns, source.depth])
        values = _typed(now, sides, source.dtype)

        def body(place, whole):
            at = tile_at(place, height, width, tile, halo)
            found = function(values[None, :, at.b * source.scale : at.d * source.scale])[0]
            found = at.cut(found, target.scale, (target.rows, target.columns))
            found = tf.reshape(tf.bitcast(found, tf.uint8), tf.stack([tf.shape(found)[0], tf.shape(found)[1], depth]))
            return place + 1, overwrite(whole, [at.top * target.scale, at.left * target.scale], found)

        last = (number + 1) * across
        loop = (number * across, whole)
        _, whole = tf.while_loop(lambda place, _: place < last, body, loop, parallel_iterations=1)
        return number + 1, whole, following

    whole = tf.ensure_shape(tf.reshape(buffer, tf.stack([-1, target.columns, depth])), (None, None, depth))
    loop = (0, whole, read(0, whole))
    _, whole, _ = tf.while_loop(lambda number, *_: number < down, row_of_tiles, loop, parallel_iterations=1)
    found = tf.reshape(whole, [-1])[: target.rows * target.row]
    return _typed(found, tf.stack([target.rows, target.columns, target.depth]), target.dtype)


def _typed(values: tf.Tensor, shape: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Bytes [n] as numbers of that shape, of three axes, whose depth is static: Keras needs that."""
    return tf.reshape(values if dtype.size == 1 else numbers_of(values, dtype), shape)
