"""Input pipeline of the image codecs: records -> random crops for training, central crops for validation."""

import os
from collections.abc import Callable, Sequence

import tensorflow as tf

from models.records import pictures as picture_records

_SHUFFLED = 256  # pictures among which the next one is drawn


def inputs(files: Sequence[str], config, training: bool) -> tf.data.Dataset:
    """Batches of crops, float32 [B, S, S, 3] in [0, 1], with S = config.crop_size.

    Training: endless, shuffled, random crops and mirrorings, seeded by `config.seed`. Validation: every picture once,
    its centre, the last batch may be smaller. Pictures smaller than a crop are continued by reflection.

    Raises:
      FileNotFoundError: no files, or one is missing.
    """
    examples, decoded = pictures(files)
    if not training:
        crops = examples.map(lambda e: crop(decoded(e), config.crop_size, tf.constant([0.5, 0.5])), tf.data.AUTOTUNE)
        return crops.map(to_float).batch(config.batch_size).prefetch(1)
    seeds = tf.data.Dataset.random(seed=config.seed, rerandomize_each_iteration=False)
    # What is drawn from is the cache's own or still encoded; a decoded picture lives until it is cropped.
    examples = picture_records.shuffled(examples, _SHUFFLED, config.seed).repeat()
    crops = tf.data.Dataset.zip((examples, seeds.batch(2))).map(
        lambda e, s: augment(decoded(e), config.crop_size, s), tf.data.AUTOTUNE, deterministic=True
    )
    return crops.map(to_float).batch(config.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def pictures(files: Sequence[str]) -> tuple[tf.data.Dataset, Callable]:
    """Pictures of record files, kept in memory if they fit, and what makes uint8 [H, W, 3] of such an example."""
    examples = picture_records.records(files)
    if _pixel_bytes(files) > picture_records.KEPT:
        return examples, _decode
    return examples.map(_decode, tf.data.AUTOTUNE, deterministic=True).cache(), lambda picture: picture


def _decode(record: tf.Tensor) -> tf.Tensor:
    """The picture of a serialised record, uint8 [H, W, 3]."""
    return picture_records.decode(picture_records.parse(record)[picture_records.ENCODED])


def _pixel_bytes(files: Sequence[str]) -> int:
    """What the pictures take when they are decoded, or, if that is much already, what they take as they are."""
    encoded = sum(os.path.getsize(f) for f in files)
    if encoded > picture_records.KEPT:
        return encoded
    spec = {name: picture_records.FEATURES[name] for name in (picture_records.HEIGHT, picture_records.WIDTH)}
    areas = picture_records.records(files).map(
        lambda r: tf.reduce_prod(list(tf.io.parse_single_example(r, spec).values()))
    )
    return 3 * int(areas.reduce(tf.constant(0, tf.int64), tf.add))


def to_float(pixels: tf.Tensor) -> tf.Tensor:
    """uint8 0..255 -> float32 in [0, 1], any shape."""
    return tf.cast(pixels, tf.float32) / 255.0


def crop(picture: tf.Tensor, side: int, place: tf.Tensor) -> tf.Tensor:
    """Cuts [side, side, C] out of a picture [H, W, C]; `place` [2] in [0, 1) says where between the edges."""
    shape = tf.shape(picture)[:2]
    start = tf.cast(tf.cast(tf.maximum(shape - side, 0) + 1, tf.float32) * place, tf.int32)
    start = tf.minimum(start, tf.maximum(shape - side, 0))
    picture = picture[start[0] : start[0] + side, start[1] : start[1] + side]
    for axis in (0, 1):
        length = tf.shape(picture)[axis]
        positions = tf.range(side) % (2 * length)
        picture = tf.gather(picture, tf.minimum(positions, 2 * length - 1 - positions), axis=axis)
    return tf.ensure_shape(picture, (side, side, picture.shape[-1]))


def augment(picture: tf.Tensor, side: int, seed: tf.Tensor) -> tf.Tensor:
    """A random crop [side, side, C], mirrored half of the time, determined by `seed` (int64 [2])."""
    draw = tf.random.stateless_uniform([3], seed)
    pixels = crop(picture, side, draw[:2])
    return tf.cond(draw[2] < 0.5, lambda: pixels, lambda: pixels[:, ::-1])
