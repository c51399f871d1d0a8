"""Motion of photographs that is known: a still pans, zooms and turns, and a piece of another moves before it.

A flow says for every pixel of a frame where it was in the frame before, in pixels: frame[p] is before[p + flow(p)],
bilinear (a backward warp). It is exact; where the frame before does not show what a pixel shows, since the foreground
covered it or it lay outside, the pixel is said to be hidden. A stage of training where clips are few, in place of the
SpyNet, trained on rendered scenes, that arXiv:1812.00101 starts from.
"""

import dataclasses
import math
from typing import NamedTuple

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Motions:
    """How far things move from one frame to the next, at most, either way.

    Attributes:
      shift: pixels. turn: radians. zoom: part of the size. foreground: how often there is one, 0 to 1.
      whole: whether shifts are whole pixels and nothing turns or zooms, so that no value is interpolated.
    """

    shift: float = 8.0
    turn: float = math.radians(4.0)
    zoom: float = 0.05
    foreground: float = 0.5
    whole: bool = False


class Scene(NamedTuple):
    """A short run of frames whose motion is known.

    Attributes:
      frames: float32 [T, S, S, 3], the values of the stills. flows: float32 [T - 1, S, S, 2], x and y, of each frame
        but the first. visible: bool [T - 1, S, S], whether the frame before shows what a pixel shows.
    """

    frames: tf.Tensor
    flows: tf.Tensor
    visible: tf.Tensor


def scene(back: tf.Tensor, front: tf.Tensor, side: int, count: int, seed: tf.Tensor, motions: Motions = Motions()):
    """A Scene of two stills, the same for a seed.

    Args:
      back, front: float32 [H, W, 3] each, of any size; beyond their edges these are continued.
      side: of the frames, S. count: of the frames, T. seed: int64 [2].
    """
    draw = tf.random.stateless_uniform([2, 8], seed, -1.0, 1.0)
    # Of each layer for each frame: where a pixel of the frame lies in its still.
    behind = _path(tf.shape(back)[:2], draw[0], side, count, motions)
    before = _path(tf.shape(front)[:2], draw[1], side, count, motions)
    centre, radius = draw[1, 5:7] * 0.35 * side, side * (0.16 + 0.1 * tf.abs(draw[1, 7]))
    middle = tf.linalg.matvec(before[0], tf.concat([centre + (side - 1) / 2.0, [1.0]], 0))[:2]
    there = (draw[0, 7] + 1.0) / 2.0 < motions.foreground

    def covered(places):
        """Whether places [S, S, 2] of the front's still belong to the foreground: a disc."""
        return there & (tf.reduce_sum(tf.square(places - middle), -1) < radius * radius)

    pixels = _grid(side)
    frames, flows, visible = [], [], []
    for t in range(count):
        back_places, front_places = _moved(behind[t], pixels), _moved(before[t], pixels)
        cover = covered(front_places)
        frames.append(tf.where(cover[..., None], sampled(front, front_places), sampled(back, back_places)))
        if t:
            was = [tf.linalg.matmul(tf.linalg.inv(path[t - 1]), path[t]) for path in (behind, before)]
            at = [_moved(matrix, pixels) for matrix in was]
            place = tf.where(cover[..., None], at[1], at[0])
            inside = tf.reduce_all((place >= 0.0) & (place <= side - 1.0), -1)
            flows.append(place - pixels)
            visible.append(inside & (cover | ~covered(_moved(before[t - 1], at[0]))))
    return Scene(tf.stack(frames), tf.stack(flows), tf.stack(visible))


def scenes(stills: tf.data.Dataset, side: int, count: int, seed: int, motions: Motions = Motions()) -> tf.data.Dataset:
    """Scenes of stills, uint8 [H, W, 3]: each moves behind the next one. Values in [0, 1].

    Args: as of `scene`; the dataset may be endless.
    """
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=False).batch(2)
    # Pairs that overlap: every still is once behind and once before.
    pairs = stills.window(2, shift=1, drop_remainder=True).flat_map(
        lambda window: tf.data.Dataset.zip((window.take(1), window.skip(1)))
    )

    def made(pair, seed):
        back, front = (tf.cast(still, tf.float32) / 255.0 for still in pair)
        return scene(back, front, side, count, seed, motions)

    return tf.data.Dataset.zip((pairs, seeds)).map(made, 1, deterministic=True)


def sampled(still: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Values [..., 3] of a still [H, W, 3] at places [..., 2] (x, y), bilinear; beyond an edge that of the edge."""
    last = tf.cast(tf.shape(still)[1::-1] - 1, tf.float32)
    places = tf.clip_by_value(places, 0.0, last)
    low = tf.floor(places)
    part = (places - low)[..., None]
    x0, y0 = tf.unstack(tf.cast(low, tf.int32), axis=-1)
    x1, y1 = (tf.minimum(v + 1, n - 1) for v, n in zip((x0, y0), tf.unstack(tf.shape(still)[1::-1]), strict=True))

    def at(y, x):
        return tf.gather_nd(still, tf.stack([y, x], -1))

    right, down = part[..., 0, :], part[..., 1, :]
    upper = at(y0, x0) * (1.0 - right) + at(y0, x1) * right
    return upper * (1.0 - down) + (at(y1, x0) * (1.0 - right) + at(y1, x1) * right) * down


def _grid(side: int) -> tf.Tensor:
    """x and y of every pixel, float32 [S, S, 2]."""
    line = tf.range(side, dtype=tf.float32)
    return tf.stack(tf.meshgrid(line, line), -1)


def _moved(matrix: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Places [S, S, 2] by a matrix [3, 3]."""
    return tf.einsum("ij,hwj->hwi", matrix[:2, :2], places) + matrix[:2, 2]


def _path(size: tf.Tensor, draw: tf.Tensor, side: int, count: int, motions: Motions) -> list[tf.Tensor]:
    """For each frame a matrix [3, 3] from its pixels to the still's, whose motion is even.

    Args:
      size: of the still, int32 [2]. draw: in [-1, 1): shift x and y, turn, zoom, how much of all this, place x and y.
    """
    middle, spare = (side - 1) / 2.0, tf.cast(size[::-1] - side, tf.float32)
    start = spare / 2.0 * (1.0 + draw[5:7])  # whatever the motion, the run begins within the still if that is larger
    much = tf.abs(draw[4])  # small motions are as frequent as large ones in proportion to their size
    shift, turn, zoom = (draw[:2] * much * motions.shift, draw[2] * much * motions.turn,
                         draw[3] * much * motions.zoom)  # fmt: skip
    if motions.whole:
        shift, start, turn, zoom = tf.round(shift), tf.round(start), tf.zeros([]), tf.zeros([])
    found = []
    for t in range(count):
        scale = tf.exp(t * zoom)
        a, b = scale * tf.cos(t * turn), scale * tf.sin(t * turn)
        turned = tf.stack([middle - a * middle + b * middle, middle - b * middle - a * middle])
        x, y = tf.unstack(turned + t * shift + start)
        found.append(tf.stack([tf.stack([a, -b, x]), tf.stack([b, a, y]), tf.constant([0.0, 0.0, 1.0])]))
    return found
