"""Input pipeline of what learns scenes from codes: records with kept codes and maps -> codes and classes of pixels."""

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.contract.recipe import ConfigError
from models.records import kept
from models.records import pictures as picture_records
from models.records import scenes as scene_records
from models.understanding.inputs import CODES, PREFIX, STREAM, must_hold_codes
from models.understanding.options import with_codec
from models.understanding.reader import Reader

MAPS = "label_map"  # beside the codes of each view the map that goes with them
_SHUFFLED = 4096  # scenes among which the next one is drawn
_SALT = 17


def inputs(files: Sequence[str], config, training: bool) -> tf.data.Dataset:
    """Batches (codes float32 [B, h, w, C], classes float32 [B, H, W], -1 for pixels without one).

    Codes are quantised latents, or with `config.rgb` decoded pixels in [0, 1]. Training: endless, of each scene one of
    its views. Validation: every scene once, as it is; the last batch may be smaller.

    Raises:
      FileNotFoundError: no files, or one is missing.
      ConfigError: the records hold no codes.
      tf.errors.InvalidArgumentError: while it is read: codes of another codec, or a class beyond `config.classes`.
    """
    records = picture_records.records(files)
    must_hold_codes(records)
    found = {
        PREFIX + CODES: kept.Output("uint8" if config.rgb else "float32", (None, None, None, config.depth)),
        PREFIX + MAPS: kept.Output("uint8", (None, None, None)),
    }

    def example(record, number):
        values = kept.parse(record, found)
        views, maps = values[PREFIX + CODES], values[PREFIX + MAPS]
        drawn = tf.random.stateless_uniform([], (config.seed, number), 0, tf.shape(views)[0], tf.int32)
        place = drawn if training else 0
        return views[place], _classes(maps[place], config.classes)

    def finished(codes, classes):
        codes = tf.cast(codes, tf.float32)
        return codes / 255.0 if config.rgb else codes, classes

    return _batches(records, example, finished, config, training)


def scenes(files: Sequence[str], config, training: bool) -> tf.data.Dataset:
    """Batches (pixels float32 [B, H, W, 3] in [0, 1], classes float32 [B, H, W], -1 for pixels without one).

    Training: endless, with `config.flip` and `config.shift` another view each time (`moved`). Validation: every scene
    once, as it is; the last batch may be smaller.

    Raises:
      FileNotFoundError: no files, or one is missing.
      tf.errors.InvalidArgumentError: while it is read: a class beyond `config.classes`.
    """

    def example(record, number):
        pixels, label_map = prepare(record, *config.sides)
        if training and (config.flip or config.shift):
            key = picture_records.parse(record)[picture_records.ID]
            pixels, label_map = moved(pixels, label_map, key, tf.cast(number, tf.int32), config)
            pixels, label_map = tf.ensure_shape(pixels, (*config.sides, 3)), tf.ensure_shape(label_map, config.sides)
        return pixels, _classes(label_map, config.classes)

    def finished(pixels, classes):
        return tf.cast(pixels, tf.float32) / 255.0, classes

    return _batches(picture_records.records(files), example, finished, config, training)


def _batches(records: tf.data.Dataset, example, finished, config, training: bool) -> tf.data.Dataset:
    """Batches of what `example` makes of a record and its number in the order of drawing, each through `finished`."""
    if training:
        records = picture_records.shuffled(records, _SHUFFLED, config.seed).repeat()
    numbered = tf.data.Dataset.zip((records, tf.data.Dataset.counter()))
    examples = picture_records.steady(numbered).map(example, tf.data.AUTOTUNE, deterministic=True)
    if training:
        examples = examples.batch(config.batch_size, drop_remainder=True)
        return examples.map(finished, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    return examples.batch(config.batch_size).map(finished, tf.data.AUTOTUNE).prefetch(1)


def _classes(label_map: tf.Tensor, count: int) -> tf.Tensor:
    """A label map uint8 [H, W] as float32, -1 for void. Fails where a class is beyond those known."""
    void = tf.equal(label_map, scene_records.VOID)
    places = tf.where(void, -1, tf.cast(label_map, tf.int32))
    known = tf.debugging.Assert(
        tf.reduce_all(places < count), ["a label map has the class", tf.reduce_max(places), "of", count]
    )
    with tf.control_dependencies([known]):
        return tf.cast(places, tf.float32)


def values(reader: Reader, record: tf.Tensor, config) -> dict:
    """What is kept of a serialised record, by names without PREFIX, of each of `config.views` views: streams [V] of the
    picture, what these hold [V, h, w, C], and label maps uint8 [V, H, W]."""
    key, scene = picture_records.parse(record)[picture_records.ID], prepare(record, *config.sides)
    streams, codes, maps = [], [], []
    for view in range(config.views):
        pixels, label_map = moved(*scene, key, view, config) if view else scene
        stream, held = reader.write(pixels)
        streams.append(stream.numpy())
        codes.append(held.numpy())
        maps.append(label_map.numpy())
    return {STREAM: np.array(streams, object), CODES: np.stack(codes), MAPS: np.stack(maps)}


def prepare(record: tf.Tensor, rows: int, columns: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Pixels uint8 [rows, columns, 3] and label map uint8 [rows, columns] of a serialised record.

    A picture of another size is resized linearly with antialiasing, its map to the nearest class.
    """
    features = scene_records.parse(record)
    pixels = picture_records.decode(features[picture_records.ENCODED])
    label_map = scene_records.decode_map(features[scene_records.LABEL_MAP])
    resized = tf.image.resize(pixels, (rows, columns), antialias=True)
    pixels = tf.cast(tf.round(tf.clip_by_value(resized, 0.0, 255.0)), tf.uint8)
    nearest = tf.image.resize(label_map[..., None], (rows, columns), tf.image.ResizeMethod.NEAREST_NEIGHBOR)
    return tf.ensure_shape(pixels, (rows, columns, 3)), nearest[..., 0]


def moved(pixels: tf.Tensor, label_map: tf.Tensor, key: tf.Tensor, view: int, config) -> tuple[tf.Tensor, tf.Tensor]:
    """Another view of a scene: both are mirrored and shifted alike; what comes in from beyond is black and void.

    Args:
      pixels: uint8 [H, W, 3]. label_map: uint8 [H, W].
      key, view: string scalar, id of the scene, and number of the view; they decide, together with `config.seed`.
    """
    number = tf.strings.to_hash_bucket_strong(key, 1 << 30, (_SALT, config.seed))
    draw = tf.random.stateless_uniform([3], tf.stack([tf.cast(number, tf.int32), view]))
    both = tf.concat([pixels, label_map[..., None]], -1)
    if config.flip:
        both = tf.cond(draw[0] < 0.5, lambda: both[:, ::-1], lambda: both)
    shift = config.shift
    if shift:
        rows, columns = both.shape[:2]
        beyond = tf.constant([0, 0, 0, scene_records.VOID], tf.uint8)
        canvas = tf.tile(beyond[None, None], (rows + 2 * shift, columns + 2 * shift, 1))
        inside = tf.pad(tf.ones((rows, columns, 1), tf.bool), [[shift, shift], [shift, shift], [0, 0]])
        canvas = tf.where(inside, tf.pad(both, [[shift, shift], [shift, shift], [0, 0]]), canvas)
        top, left = (tf.cast(tf.floor(d * (2 * shift + 1)), tf.int32) for d in (draw[1], draw[2]))
        both = canvas[top : top + rows, left : left + columns]
    return both[..., :3], both[..., 3]


def adapt(config, files: Sequence[str]):
    """The configuration as `adapt_to_data` gives it, with what its codec is.

    Raises:
      ConfigError: as of `adapt_to_data`, or there is no such codec.
    """
    return with_codec(adapt_to_data(config, files))


def adapt_to_data(config, files: Sequence[str]):
    """The configuration with classes, their names and the size of scenes as the training records have them.

    Raises:
      ConfigError: there are more classes than `config.classes` says.
    """
    first = next(iter(picture_records.records(files)))
    features = {name: value.numpy() for name, value in scene_records.parse(first).items()}
    names = json.loads(features[scene_records.CLASS_NAMES])
    classes = config.classes or len(names)
    if len(names) > classes:
        raise ConfigError(f"classes={classes}: the training scenes have {len(names)}")
    listed = json.dumps(names + [str(c) for c in range(len(names), classes)], ensure_ascii=False)
    return dataclasses.replace(
        config, classes=classes, class_names=config.class_names or listed,
        rows=config.rows or int(features[picture_records.HEIGHT]),
        columns=config.columns or int(features[picture_records.WIDTH]),
    )  # fmt: skip
