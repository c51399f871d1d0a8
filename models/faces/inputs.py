"""Input pipeline of faces: records -> pixels and the numbers of persons, augmented in training."""

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf

from models.classifiers.inputs import augmentation, drawn, prepare
from models.contract.recipe import ConfigError
from models.records import kept
from models.records import pictures as picture_records


def inputs(
    files: Sequence[str], config, training: bool, beside: Mapping[str, kept.Output] | None = None
) -> tf.data.Dataset:
    """Batches (pixels float32 [B, S, S, 3] in [0, 1], persons int32 [B]).

    With `beside`, outputs that are kept in the records, the second is a dict of these and of the persons as "labels".

    Training: endless, drawn by `config.sampler`, augmented; persons are classes of the head. Validation: every picture
    once, as it is, sorted by person so that a batch holds pairs of one; its persons are numbers alone.

    Raises:
      FileNotFoundError: no files, or one is missing.
      ConfigError: a batch cannot be drawn as the sampler asks.
      tf.errors.InvalidArgumentError: while it is read: a record without a person, or one beyond `config.classes` to
        train with.
    """

    def example(record):
        features = picture_records.parse(record)
        label, key = features[picture_records.LABEL], features[picture_records.ID]
        known = label >= 0 if not training else tf.logical_and(label >= 0, label < config.classes)
        check = tf.debugging.Assert(known, ["the person of", key, "is", label, "(-1: none); the head knows",
                                            config.classes])  # fmt: skip
        with tf.control_dependencies([check]):
            pixels = prepare(features[picture_records.ENCODED], config.image_size, config.central)
        return {"pixels": pixels, "label": tf.cast(label, tf.int32)} | (kept.parse(record, beside) if beside else {})

    def finished(batch):
        batch = dict(batch)
        pixels, label = tf.cast(batch.pop("pixels"), tf.float32) / 255.0, batch.pop("label")
        return pixels, {"labels": label} | batch if batch else label

    if training:
        augment = augmentation(config)
        # One call after the other: the layers' random numbers follow a counter.
        batches = drawn(picture_records.records(files), example, config)
        return batches.map(lambda batch: augment(*finished(batch))).prefetch(tf.data.AUTOTUNE)
    examples = by_person(files).map(example, tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(config.batch_size).map(finished, tf.data.AUTOTUNE).prefetch(1)


def by_person(files: Sequence[str]) -> tf.data.Dataset:
    """Serialised records sorted by person and id; as they lie where they are beyond what may be kept in memory."""
    records, found, size = picture_records.records(files), [], 0
    for record in records.as_numpy_iterator():
        features = picture_records.parse(tf.constant(record))
        found.append((int(features[picture_records.LABEL]), features[picture_records.ID].numpy(), record))
        size += len(record)
        if size > picture_records.KEPT:
            return records
    ordered = [record for _, _, record in sorted(found)]
    return picture_records.steady(tf.data.Dataset.from_tensor_slices(tf.constant(ordered, tf.string)))


def adapt(config, files: Sequence[str]):
    """The configuration with the number of persons and the pictures' size as the training records have them.

    Raises:
      ConfigError: the records have no persons, or more than `config.classes` says.
    """
    most, size = -1, 0
    for record in picture_records.records(files):
        features = picture_records.parse(record)
        size = size or int(min(features[picture_records.HEIGHT], features[picture_records.WIDTH]))
        label = int(features[picture_records.LABEL])
        if label == picture_records.NO_LABEL:
            raise ConfigError("the pictures do not say whom they show; faces are folders of persons")
        most = max(most, label)
    classes = config.classes or max(2, most + 1)
    if most >= classes:
        raise ConfigError(f"classes={classes}: the training pictures show at least {most + 1} persons")
    return dataclasses.replace(
        config, classes=classes, image_size=config.image_size or max(8, round(size * config.central))
    )
