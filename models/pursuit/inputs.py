"""Input pipeline of dictionaries: records of pictures -> squares -> patches as vectors in [0, 1]."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from models.contract.recipe import ConfigError
from models.records import pictures as picture_records

_SHUFFLED = 10_000  # pictures among which the next one is drawn
_VALIDATED = 8192  # patches, at most
LARGEST = 128  # side, pixels, that is taken where none is said
WHOLE = 32  # pictures up to this side are coded as a whole where no patch is said


def inputs(files: Sequence[str], config, training: bool) -> tf.data.Dataset:
    """Batches of patches, float32 [B, d] in [0, 1], d = patch * patch * channels, row by row, the channel last.

    Training: endless; each patch is of a random place of a random picture, by `config.seed`. Validation: the patches
    that the pictures are coded by, of as many pictures as have 8,192 of them; the last batch may be smaller.

    Raises:
      FileNotFoundError: no files, or one is missing.
    """
    records = picture_records.records(files)

    def square(record):
        return prepare(picture_records.parse(record)[picture_records.ENCODED], config)

    if not training:
        vectors = records.map(square, tf.data.AUTOTUNE, deterministic=True).map(lambda p: patches(p, config)).unbatch()
        return vectors.take(_VALIDATED).batch(config.batch_size).map(to_float).prefetch(1)
    count = int(records.reduce(tf.constant(0, tf.int64), lambda number, _: number + 1))
    if count * config.image_size**2 * config.channels <= picture_records.KEPT:
        squares = records.map(square, tf.data.AUTOTUNE, deterministic=True).cache()
        squares = picture_records.shuffled(squares, _SHUFFLED, config.seed).repeat()
    else:
        squares = picture_records.shuffled(records, _SHUFFLED, config.seed).repeat()
        squares = squares.map(square, tf.data.AUTOTUNE, deterministic=True)
    seeds = picture_records.steady(tf.data.Dataset.random(seed=config.seed, rerandomize_each_iteration=False))
    drawn = tf.data.Dataset.zip((squares, seeds.batch(2)))
    drawn = drawn.map(lambda picture, seed: _anywhere(picture, config, seed), tf.data.AUTOTUNE, deterministic=True)
    return drawn.batch(config.batch_size, drop_remainder=True).map(to_float).prefetch(tf.data.AUTOTUNE)


def prepare(encoded: tf.Tensor, config) -> tf.Tensor:
    """A picture as it is coded: uint8 [S, S, C], the central square, resized with antialiasing if need be."""
    pixels = picture_records.decode(encoded)
    if config.channels == 1:
        pixels = tf.image.rgb_to_grayscale(pixels)
    shape, size = tf.shape(pixels), config.image_size
    side = tf.minimum(shape[0], shape[1])
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    found = tf.image.resize(pixels[top : top + side, left : left + side], (size, size), antialias=True)
    return tf.ensure_shape(
        tf.cast(tf.round(tf.clip_by_value(found, 0.0, 255.0)), tf.uint8), (size, size, config.channels)
    )


def patches(picture: tf.Tensor, config) -> tf.Tensor:
    """[S, S, C] -> [P, d], the patches row by row."""
    side, count = config.patch, config.image_size // config.patch
    parts = tf.reshape(picture, (count, side, count, side, config.channels))
    return tf.reshape(tf.transpose(parts, (0, 2, 1, 3, 4)), (count * count, side * side * config.channels))


def joined(vectors: tf.Tensor, config) -> tf.Tensor:
    """The inverse of `patches`, for a batch: [B, P, d] -> [B, S, S, C]."""
    side, count = config.patch, config.image_size // config.patch
    parts = tf.reshape(vectors, (-1, count, count, side, side, config.channels))
    parts = tf.transpose(parts, (0, 1, 3, 2, 4, 5))
    return tf.reshape(parts, (-1, config.image_size, config.image_size, config.channels))


def _anywhere(picture: tf.Tensor, config, seed: tf.Tensor) -> tf.Tensor:
    """A patch [d] of a place that `seed` (int64 [2]) decides."""
    places = config.image_size - config.patch + 1
    y, x = tf.unstack(tf.random.stateless_uniform([2], seed, 0, places, tf.int32))
    return tf.reshape(picture[y : y + config.patch, x : x + config.patch], [config.patch**2 * config.channels])


def to_float(pixels: tf.Tensor) -> tf.Tensor:
    """uint8 0..255 -> float32 in [0, 1], any shape."""
    return tf.cast(pixels, tf.float32) / 255.0


def adapt(config, files: Sequence[str]):
    """The configuration with the pictures' size, channels and patches as the first training record suggests.

    Raises:
      ConfigError: what is said does not fit together, or not with the given dictionary.
    """
    first = picture_records.parse(next(iter(picture_records.records(files))))
    size, patch = config.image_size, config.patch
    if not size:
        size = min(LARGEST, int(min(first[picture_records.HEIGHT], first[picture_records.WIDTH])))
        side = patch or (1 if size <= WHOLE else 8)
        size = max(side, size - size % side)
    channels = config.channels or (1 if int(first[picture_records.CHANNELS]) <= 2 else 3)
    patch = patch or (size if size <= WHOLE else 8)
    known = dataclasses.replace(config, image_size=size, channels=channels, patch=patch)
    if not config.dictionary:
        return known
    from models.pursuit import given

    atoms = given.read(config.dictionary)
    if atoms.shape[1] != known.length:
        raise ConfigError(
            f"dictionary={config.dictionary}: atoms of {atoms.shape[1]} numbers; patches of {patch} by {patch} with "
            f"{channels} channels have {known.length}"
        )
    return dataclasses.replace(known, atoms=len(atoms), steps=1)  # there is nothing to train
