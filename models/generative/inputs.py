"""Crops for games: as the codecs have them, but an epoch is its own, so that a training that was killed sees the same.

The loop gives a training that goes on after n epochs the seed `config.seed + n`. Here every epoch is drawn anew by its
own seed, whether or not a kill lies before it.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from models.codecs import inputs as crops
from models.records import pictures as picture_records

_SHUFFLED = 256  # pictures among which the next one is drawn


def inputs(files: Sequence[str], config, training: bool) -> tf.data.Dataset:
    """Batches of crops as `models.codecs.inputs.inputs` has them, float32 [B, S, S, 3] in [0, 1].

    Raises:
      FileNotFoundError: no files, or one is missing.
    """
    if not training:
        return crops.inputs(files, config, False)

    examples, decoded = crops.pictures(files)

    def crop(picture, seed):
        return crops.to_float(crops.augment(decoded(picture), config.crop_size, seed))

    return by_epoch(examples, crop, config)


def by_epoch(examples: tf.data.Dataset, drawn: Callable, config) -> tf.data.Dataset:
    """Endless batches, of which every `config.steps_per_epoch` depend on `config.seed` and their epoch alone.

    Args:
      examples: each once. drawn: (example, seed int64 [2]) -> tensors of what is made of it.
    """
    most = picture_records.held(examples, _SHUFFLED)
    steps = min(config.steps_per_epoch, config.steps)

    def epoch(number):
        seeds = tf.data.Dataset.random(seed=number, rerandomize_each_iteration=False).batch(2)
        mixed = examples.shuffle(most, seed=number, reshuffle_each_iteration=True).repeat()
        pairs = tf.data.Dataset.zip((mixed, seeds)).take(steps * config.batch_size)
        return pairs.map(drawn, tf.data.AUTOTUNE, deterministic=True).batch(config.batch_size, drop_remainder=True)

    numbers = tf.data.Dataset.counter(config.seed)
    return picture_records.steady(numbers.flat_map(epoch)).prefetch(tf.data.AUTOTUNE)
