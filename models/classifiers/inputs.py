"""Input pipeline of everything that learns from labelled pictures: records -> pixels and labels, augmented in training.

records -> decode, square, resize -> [wrong labels on purpose] -> batches -> [shift, mirror, blank, mix]
"""

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from models.classifiers import samplers
from models.contract.recipe import ConfigError
from models.records import kept
from models.records import pictures as picture_records

_SHUFFLED = 20_000  # pictures among which the next one is drawn
_BUCKETS = 1 << 30


def inputs(
    files: Sequence[str],
    config,
    training: bool,
    beside: Mapping[str, kept.Output] | None = None,
    *,
    keep: Callable | None = None,
    mark: Callable | None = None,
) -> tf.data.Dataset:
    """Batches (pixels float32 [B, S, S, 3] in [0, 1], labels float32 [B, K], each row a distribution).

    Training: endless, drawn by `config.sampler`, augmented, with the wrong labels that `config.label_noise` asks for.
    Validation: every picture once, as it is, with the labels of the records; the last batch may be smaller.

    Args:
      files: of records. config: a `PicturesConfig`. training: see above.
      beside: outputs of a model that are kept in the records, of one shape each, by the feature's name; the labels are
        then a dict {"labels": [B, K], NAME: [B, *shape]}, and the pictures may not be augmented.
      keep: (features of a record as parsed) -> bool scalar, whether it is used at all; all are, if nothing is said.
      mark: (label, id) -> {"label", NAME: ...} of a training example, in place of its noisy label; the names stand
        beside the labels as those of `beside` do.

    Raises:
      FileNotFoundError: no files, or one is missing.
      ConfigError: a batch cannot be drawn as the sampler asks.
      tf.errors.InvalidArgumentError: while it is read: a record without a label, or a label beyond `config.classes`.
    """

    def example(record):
        found = read(record, config, beside or {})
        key = found.pop("id")
        if not training:
            return found
        return found | (mark(found["label"], key) if mark else {"label": noisy(found["label"], key, config)})

    def finished(batch, augment=None):
        x, y = tf.cast(batch.pop("pixels"), tf.float32) / 255.0, tf.one_hot(batch.pop("label"), config.classes)
        x, y = augment(x, y) if augment else (x, y)
        return x, {"labels": y} | batch if batch else y

    records = picture_records.records(files)
    if keep:
        records = records.filter(lambda record: keep(picture_records.parse(record)))
    if not training:
        examples = records.map(example, tf.data.AUTOTUNE, deterministic=True)
        return examples.batch(config.batch_size).map(finished, tf.data.AUTOTUNE).prefetch(1)
    augment = augmentation(config)
    # One call after the other: the layers' random numbers follow a counter.
    return drawn(records, example, config).map(lambda b: finished(b, augment)).prefetch(tf.data.AUTOTUNE)


def read(record: tf.Tensor, config, beside: Mapping[str, kept.Output]) -> dict[str, tf.Tensor]:
    """One record: "pixels" uint8 [S, S, 3], "label" int64, "id" string, and the outputs `beside`."""
    features = picture_records.parse(record)
    label = known_label(features, config.classes)
    example = {"pixels": prepare(features[picture_records.ENCODED], config.image_size), "label": label}
    return example | {"id": features[picture_records.ID]} | (kept.parse(record, beside) if beside else {})


def known_label(features: Mapping[str, tf.Tensor], classes: int) -> tf.Tensor:
    """The label, int64 scalar, of a parsed record, whose reading fails unless it is one of the classes."""
    label = features[picture_records.LABEL]
    known = tf.debugging.Assert(
        tf.logical_and(label >= 0, label < classes),
        ["the label of", features[picture_records.ID], "is", label, f"(-1: none); wanted is 0 to {classes - 1}"],
    )
    with tf.control_dependencies([known]):
        return tf.identity(label)


def prepare(encoded: tf.Tensor, size: int, share: float = 1.0) -> tf.Tensor:
    """A picture as the classifiers see it, whoever asks: uint8 [size, size, 3].

    The central square, resized by linear interpolation with antialiasing; of the right size it stays as it is.

    Args:
      share: of the shorter side that the square takes.
    """
    pixels = picture_records.decode(encoded)
    shape = tf.shape(pixels)
    side = tf.minimum(shape[0], shape[1])
    if share < 1:
        side = tf.maximum(1, tf.cast(tf.round(share * tf.cast(side, tf.float32)), tf.int32))
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    square = tf.image.resize(pixels[top : top + side, left : left + side], (size, size), antialias=True)
    return tf.ensure_shape(tf.cast(tf.round(tf.clip_by_value(square, 0.0, 255.0)), tf.uint8), (size, size, 3))


def noisy(label: tf.Tensor, key: tf.Tensor, config) -> tf.Tensor:
    """The label, or a wrong one for a share of `config.label_noise` of the pictures; the same for a picture ever after.

    "symmetric" takes any other class, "pair" the next one (the last class becomes the first).

    Args:
      label: int64. key: string of the same shape, the pictures' ids.
    """
    if not config.label_noise:
        return label
    drawn, other = (
        tf.strings.to_hash_bucket_strong(tf.strings.join([key, f"{config.noise_seed} {what}"], " "), _BUCKETS, (7, 11))
        for what in ("whether", "which")
    )
    step = 1 + other % (config.classes - 1) if config.noise_kind == "symmetric" else tf.ones_like(other)
    wrong = tf.cast(drawn, tf.float64) / _BUCKETS < config.label_noise
    return tf.where(wrong, (label + step) % config.classes, label)


def augmentation(config):
    """What is done to a training batch: (pixels, labels) -> (pixels, labels), by Keras' preprocessing layers."""
    layers, seed = [], config.seed
    if config.crop:  # a crop out of a padded picture is a shift
        share = config.crop / config.image_size
        layers.append(
            keras.layers.RandomTranslation(share, share, fill_mode="constant", interpolation="nearest", seed=seed)
        )
    if config.flip:
        layers.append(keras.layers.RandomFlip("horizontal", seed=seed + 1))
    if config.cutout:
        layers.append(
            keras.layers.RandomErasing(scale=(0.02, max(0.02, config.cutout)), value_range=(0.0, 1.0), fill_value=0.5,
                                       seed=seed + 2)
        )  # fmt: skip
    mix = keras.layers.MixUp(config.mixup, seed=seed + 3) if config.mixup else None

    def apply(x, y):
        for layer in layers:
            x = layer(x, training=True)
        if mix:
            mixed = mix({"images": x, "labels": y}, training=True)
            x, y = mixed["images"], mixed["labels"]
        return x, y

    return apply


def drawn(records: tf.data.Dataset, example, config) -> tf.data.Dataset:
    """Endless batches of what `example` makes of serialised records, as the sampler says."""

    def made(records):
        return records.map(example, tf.data.AUTOTUNE, deterministic=True)

    if config.sampler == "uniform":
        count = int(records.reduce(tf.constant(0, tf.int64), lambda number, _: number + 1))
        if 3 * count * config.image_size**2 <= picture_records.KEPT:
            examples = picture_records.shuffled(made(records).cache(), _SHUFFLED, config.seed).repeat()
        else:
            examples = made(picture_records.shuffled(records, _SHUFFLED, config.seed).repeat())
        return examples.batch(config.batch_size, drop_remainder=True)
    rows = list(made(records).as_numpy_iterator())
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    sampler = sampler_of(columns["label"], config)

    def places():
        yield from itertools.chain([first], sampler)

    try:
        first = next(sampler)
    except ValueError as error:
        raise ConfigError(f"sampler={config.sampler}, per_class={config.per_class}: {error}") from error
    batches = tf.data.Dataset.from_generator(places, output_signature=tf.TensorSpec([config.batch_size], tf.int64))
    batches = picture_records.steady(batches)
    columns = {name: tf.constant(values) for name, values in columns.items()}
    return batches.map(lambda p: {name: tf.gather(values, p) for name, values in columns.items()}, tf.data.AUTOTUNE)


def sampler_of(labels: np.ndarray, config):
    """The iterator of batches, positions in `labels`, of a configuration whose sampler is not uniform.

    Raises:
      ConfigError: the superclasses are missing or are not one for each class.
    """
    if config.sampler == "class_uniform":
        return samplers.class_uniform(labels, config.batch_size, config.per_class, config.seed)
    superclasses = json.loads(config.superclasses or "[]")
    if len(superclasses) != config.classes or not all(isinstance(s, int) for s in superclasses):
        raise ConfigError(f"superclasses: wanted is a JSON list of {config.classes} whole numbers, one a class")
    return samplers.superclass_uniform(labels, np.array(superclasses), config.batch_size, config.per_class, config.seed)


def adapt(config, files: Sequence[str]):
    """The configuration with classes, their names and the pictures' size as the training records have them.

    Raises:
      ConfigError: the records have no labels, or more classes than `config.classes` says.
    """
    names, size = {}, 0
    for record in picture_records.records(files):
        features = picture_records.parse(record)
        size = size or int(min(features[picture_records.HEIGHT], features[picture_records.WIDTH]))
        names.setdefault(int(features[picture_records.LABEL]), features[picture_records.LABEL_NAME].numpy().decode())
    if picture_records.NO_LABEL in names:
        raise ConfigError("the pictures have no labels; a classifier takes class folders or a labelled data set")
    classes = config.classes or max(2, max(names) + 1)
    if max(names) >= classes:
        raise ConfigError(f"classes={classes}: the training pictures have at least {max(names) + 1}")
    listed = json.dumps([names.get(c) or str(c) for c in range(classes)], ensure_ascii=False)
    return dataclasses.replace(
        config, classes=classes, class_names=config.class_names or listed, image_size=config.image_size or max(8, size)
    )
