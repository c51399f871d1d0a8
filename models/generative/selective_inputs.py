"""Scenes for selective compression: crops of pictures with their labels, and what of them is preserved."""

import dataclasses
import json
from collections.abc import Sequence

import tensorflow as tf

from models.codecs import inputs as crops
from models.contract.recipe import ConfigError
from models.generative.inputs import by_epoch
from models.records import pictures as picture_records
from models.records import scenes as scene_records

PICTURE, LABELS, MASK = "picture", "labels", "mask"
PART = 8  # pixels a position of the heat map, each way
_PRESERVED = 0.25  # of the classes, each by a chance of its own


def inputs(files: Sequence[str], config, training: bool) -> tf.data.Dataset:
    """Batches {"picture": float32 [B, S, S, 3] in [0, 1], "labels": int32 [B, S, S], "mask": float32 [B, S/8, S/8]}.

    Training: random crops and mirrorings; the mask is a random box, or the regions of random classes, as `config.masks`
    says; of a share the whole, and then no pixel has a class. Validation: each scene's centre once, its middle box.

    Raises:
      FileNotFoundError: no files, or one is missing.
    """
    examples = picture_records.records(files)
    if not training:
        found = examples.map(lambda record: _validated(scene(record), config), tf.data.AUTOTUNE)
        return found.batch(config.batch_size).prefetch(1)
    return by_epoch(examples, lambda record, seed: _drawn(scene(record), seed, config), config)


def scene(record: tf.Tensor) -> tf.Tensor:
    """Pixels and labels of a serialised record, uint8 [H, W, 4]."""
    features = scene_records.parse(record)
    pixels = picture_records.decode(features[picture_records.ENCODED])
    label_map = scene_records.decode_map(features[scene_records.LABEL_MAP])
    return tf.ensure_shape(tf.concat([pixels, label_map[..., None]], -1), (None, None, 4))


def _example(both: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
    return {PICTURE: crops.to_float(both[..., :3]), LABELS: tf.cast(both[..., 3], tf.int32), MASK: mask}


def _validated(both: tf.Tensor, config) -> dict[str, tf.Tensor]:
    both = crops.crop(both, config.crop_size, tf.constant([0.5, 0.5]))
    return _example(both, middle(config.crop_size // PART, config.crop_size // PART))


def _drawn(both: tf.Tensor, seed: tf.Tensor, config) -> dict[str, tf.Tensor]:
    both = crops.augment(both, config.crop_size, seed)
    draw = tf.random.stateless_uniform([2], seed + 1)
    side = config.crop_size // PART
    in_box = {"box": 1.0, "classes": 0.0, "both": 0.5}[config.masks]
    mask = tf.cond(draw[0] < in_box, lambda: box(seed + 2, side), lambda: of_classes(seed + 3, both[..., 3]))
    whole = draw[1] < config.whole_share
    labels = tf.where(whole, tf.constant(scene_records.VOID, tf.uint8), both[..., 3:])
    return _example(tf.concat([both[..., :3], labels], -1), tf.where(whole, tf.ones_like(mask), mask))


def middle(rows, columns) -> tf.Tensor:
    """The heat map float32 [rows, columns] of a box of half the sides in the middle, one position at least."""
    spans = []
    for side in (rows, columns):
        length = tf.maximum(side // 2, 1)
        place = tf.range(side) - (side - length) // 2
        spans.append(tf.cast((place >= 0) & (place < length), tf.float32))
    return spans[0][:, None] * spans[1]


def box(seed: tf.Tensor, side: int) -> tf.Tensor:
    """The heat map [side, side] of a box whose edges are drawn uniformly, by int64 [2]."""
    edges = tf.random.stateless_uniform([2, 2], seed, 0, side, tf.int32)
    place = tf.range(side)
    first, last = tf.reduce_min(edges, 1)[:, None], tf.reduce_max(edges, 1)[:, None]
    rows, columns = tf.unstack(tf.cast((place >= first) & (place <= last), tf.float32))
    return rows[:, None] * columns


def of_classes(seed: tf.Tensor, label_map: tf.Tensor) -> tf.Tensor:
    """The heat map [H/8, W/8] of where pixels uint8 [H, W] have a class that is preserved, drawn by int64 [2]."""
    kept = tf.random.stateless_uniform([scene_records.VOID], seed) < _PRESERVED
    kept = tf.concat([kept, [False]], 0)
    return parts(tf.gather(kept, tf.cast(label_map, tf.int32)))


def parts(preserved: tf.Tensor) -> tf.Tensor:
    """A heat map float32 [H/8, W/8]: 1 where any of a position's pixels, bool [H, W], is preserved."""
    each = tf.cast(preserved, tf.float32)[None, ..., None]
    return tf.nn.max_pool2d(each, PART, PART, "VALID")[0, ..., 0]


def adapt(config, files: Sequence[str]):
    """The configuration with classes and their names as the training records have them.

    Raises:
      ConfigError: there are more classes than `config.classes` says.
    """
    first = next(iter(picture_records.records(files)))
    names = json.loads(scene_records.parse(first)[scene_records.CLASS_NAMES].numpy())
    classes = config.classes or max(len(names), 2)
    if len(names) > classes:
        raise ConfigError(f"classes={classes}: the training scenes have {len(names)}")
    listed = json.dumps(names + [str(c) for c in range(len(names), classes)], ensure_ascii=False)
    return dataclasses.replace(config, classes=classes, class_names=config.class_names or listed)
