"""Input pipeline of what learns from codes: records with kept codes -> codes and labels. No picture is decoded."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from models.classifiers.inputs import drawn, known_label, noisy, prepare
from models.contract.recipe import ConfigError
from models.records import kept
from models.records import pictures as picture_records
from models.understanding.reader import Reader

PREFIX = "codes/"  # of the features that hold what was kept
CODES, STREAM = "received", "bitstream_bytes"  # what a receiver has of a picture, and its stream


def inputs(
    files: Sequence[str], config, training: bool, beside: Mapping[str, kept.Output] | None = None
) -> tf.data.Dataset:
    """Batches (codes float32 [B, h, w, C], labels float32 [B, K], each row a distribution).

    Codes are quantised latents, or with `config.rgb` decoded pixels in [0, 1], of pictures of `config.image_size`.
    Training: endless, drawn by `config.sampler`, with the wrong labels that `config.label_noise` asks for. Validation:
    every picture once, with the labels of the records; the last batch may be smaller.

    Args:
      beside: as of `models.classifiers.inputs.inputs`.

    Raises:
      FileNotFoundError: no files, or one is missing.
      ConfigError: the records hold no codes.
      tf.errors.InvalidArgumentError: while it is read: a record without a label, or a label beyond `config.classes`; or
        codes of another codec.
    """
    records, name = picture_records.records(files), PREFIX + CODES
    found = {name: kept.Output("uint8" if config.rgb else "float32", (None, None, config.depth))}
    must_hold_codes(records)

    def example(record):
        features = picture_records.parse(record)
        label = known_label(features, config.classes)
        if training:
            label = noisy(label, features[picture_records.ID], config)
        others = kept.parse(record, beside) if beside else {}
        return {"codes": kept.parse(record, found)[name], "label": label} | others

    def finished(batch):
        codes, y = tf.cast(batch.pop("codes"), tf.float32), tf.one_hot(batch.pop("label"), config.classes)
        return codes / 255.0 if config.rgb else codes, {"labels": y} | batch if batch else y

    if not training:
        examples = records.map(example, tf.data.AUTOTUNE, deterministic=True)
        return examples.batch(config.batch_size).map(finished, tf.data.AUTOTUNE).prefetch(1)
    return drawn(records, example, config).map(finished).prefetch(tf.data.AUTOTUNE)


def must_hold_codes(records: tf.data.Dataset) -> None:
    """Raises ConfigError unless the first of serialised records has codes."""
    for record in records.take(1).as_numpy_iterator():
        if PREFIX + CODES not in tf.train.Example.FromString(record).features.feature:
            raise ConfigError("the records hold no codes; a pipeline keeps them before it trains")


def values(reader: Reader, record: tf.Tensor, config) -> dict:
    """What is kept of a serialised record, by names without PREFIX: its picture's stream, and what that holds."""
    stream, codes = reader.write(config.prepared(record))
    return {STREAM: stream.numpy(), CODES: codes.numpy()}


def square(record: tf.Tensor, size: int) -> tf.Tensor:
    """The central square of a serialised record's picture, resized as for all classifiers: uint8 [size, size, 3]."""
    return prepare(picture_records.parse(record)[picture_records.ENCODED], size)
