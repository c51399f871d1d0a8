"""Input pipeline of the models of electrocardiograms: records -> samples and labels, augmented in training.

records -> [each class as often as asked] -> pieces -> batches of like lengths -> [zero bursts, sign, stretch, crop]
"""

import collections
import dataclasses
import json
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.contract.recipe import ConfigError
from models.records import ecg_units
from models.records import pictures as picture_records
from models.records import recordings as ecg_records

_SHUFFLED = 20_000  # recordings among which the next one is drawn; encoded, and shared with the cache
STRETCH = (80 / 120, 80 / 60)  # new length over the old: a heart of 80 beats a minute comes to 120 or 60
BURST_SHARE = 0.02275  # of the samples that start a burst: a normal number above 2
BURST = 11  # samples that each start grows to
STEP = 5 * ecg_units.RATE  # batches are padded to multiples of this, so that there are few shapes to compile for
_SIZES = (31, 62, 125, 250)  # seconds; a validation batch of longer recordings holds half as many, and so on


def inputs(files: Sequence[str], config, training: bool) -> tf.data.Dataset:
    """Batches ({"samples": float32 [B, T] millivolts, "length": int32 [B]}, y float32 [B, K] one-hot).

    Training: endless, pieces of at most `config.crop_seconds`, augmented. Validation: every recording once, whole,
    those of like lengths together; the last batch of each length may be smaller. Records without a label are left out.

    Raises:
      FileNotFoundError: no files, or one is missing.
      tf.errors.InvalidArgumentError: while it is read: a label beyond `config.classes`.
    """
    examples = picture_records.records(files).map(
        lambda r: read(r, config.classes), tf.data.AUTOTUNE, deterministic=True
    )
    examples = examples.filter(lambda e: e["label"] != ecg_records.NO_LABEL)
    if not training:
        pieces = examples.map(lambda e: whole(e["signal"], e["label"]), tf.data.AUTOTUNE)
        batches = _bucketed(pieces, _SIZES, [max(1, config.batch_size >> n) for n in range(len(_SIZES) + 1)])
        return batches.map(lambda s, n, y: finished(s, n, y, config.classes), tf.data.AUTOTUNE).prefetch(1)
    drawn = _drawn(examples, config).enumerate()
    longest = round(config.crop_seconds * ecg_units.RATE)
    source = math.ceil(longest / STRETCH[0]) if config.stretch else longest
    pieces = drawn.map(lambda n, e: piece(e["signal"], e["label"], source, (config.seed, n)), tf.data.AUTOTUNE)
    short = [config.crop_seconds / 4, config.crop_seconds / 2]
    batches = _bucketed(pieces, short, [config.batch_size] * 3, drop_remainder=True).enumerate()

    def augmented(index, batch):
        samples, lengths = augment(batch[0], batch[1], config, longest, (config.seed, index))
        return finished(samples, lengths, batch[2], config.classes)

    return batches.map(augmented, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def finished(samples, lengths, labels, classes: int):
    """What the models take, padded to a multiple of STEP, and the labels one-hot."""
    samples = tf.pad(samples, [[0, 0], [0, -tf.shape(samples)[1] % STEP]])
    return {"samples": samples, "length": lengths}, tf.one_hot(labels, classes)


def read(record: tf.Tensor, classes: int) -> dict[str, tf.Tensor]:
    """One record: "signal" string, still encoded, and "label" int64, -1 if it has none."""
    features = ecg_records.parse(record)
    label = features[ecg_records.LABEL]
    known = tf.debugging.Assert(
        label < classes, ["the label of", features[ecg_records.ID], "is", label, f"; wanted is 0 to {classes - 1}"]
    )
    with tf.control_dependencies([known]):
        return {"signal": features[ecg_records.SIGNAL], "label": tf.identity(label)}


def whole(signal: tf.Tensor, label: tf.Tensor):
    """All of a recording: (samples [T], length, label)."""
    samples = ecg_records.decode(signal)
    return samples, tf.size(samples), label


def piece(signal: tf.Tensor, label: tf.Tensor, longest: int, seed):
    """A random piece of a recording, at most `longest` samples: (samples [T], length, label)."""
    count = tf.strings.length(signal) // 2
    length = tf.minimum(count, longest)
    start = tf.random.stateless_uniform([], seed, 0, count - length + 1, tf.int32)
    return whole(tf.strings.substr(signal, 2 * start, 2 * length), label)


def _bucketed(pieces: tf.data.Dataset, seconds: Sequence[float], sizes: Sequence[int], drop_remainder: bool = False):
    """Batches of pieces of like lengths, padded with zeros to the longest among them."""
    return pieces.bucket_by_sequence_length(
        lambda samples, length, label: length,
        [round(s * ecg_units.RATE) + 1 for s in seconds],
        list(sizes),
        padded_shapes=([None], [], []),
        drop_remainder=drop_remainder,
    )


def _drawn(examples: tf.data.Dataset, config) -> tf.data.Dataset:
    """Endless examples in random order; of rare classes more often, if asked."""
    examples = examples.cache()
    if config.resample:
        times = tf.constant(repetitions(config.shares, 0.2))
        examples = examples.flat_map(lambda e: tf.data.Dataset.from_tensors(e).repeat(tf.gather(times, e["label"])))
    return examples.shuffle(_SHUFFLED, seed=config.seed, reshuffle_each_iteration=True).repeat()


def repetitions(shares: np.ndarray, share: float) -> np.ndarray:
    """How often a recording of each class is drawn in an epoch: int(share / its share) + 1, int64 [K]."""
    return (share / np.where(shares > 0, shares, 1.0)).astype(np.int64) + 1


def augment(samples: tf.Tensor, lengths: tf.Tensor, config, longest: int, seed):
    """Zero bursts, a sign, a stretch, and a crop to `longest` samples, drawn anew for each batch.

    Args:
      samples: float32 [B, T], zero beyond the lengths. lengths: int32 [B].
      seed: two integers.

    Returns: samples [B, T'] and lengths [B], likewise.
    """
    seeds = tf.random.experimental.stateless_split(seed, 3)
    if config.bursts:
        samples = zero_bursts(samples, seeds[0])
    if config.flip:
        side = tf.random.stateless_uniform(tf.shape(lengths), tf.random.experimental.stateless_fold_in(seed, 3))
        samples = tf.where(side[:, None] < 0.5, samples, -samples)
    factors = tf.ones_like(lengths, tf.float32)
    if config.stretch:
        factors = tf.random.stateless_uniform(tf.shape(lengths), seeds[1], *STRETCH)
    return resampled(samples, lengths, factors, longest, seeds[2])


def zero_bursts(samples: tf.Tensor, seed) -> tf.Tensor:
    """[B, T] -> [B, T], in which each sample starts a hole of 11 with the chance of a normal number above 2.

    About 22 % of the samples are lost.
    """
    starts = tf.random.stateless_uniform(tf.shape(samples), seed) < BURST_SHARE
    grown = tf.nn.max_pool1d(tf.cast(starts, tf.float32)[:, :, None], BURST, 1, "SAME")[:, :, 0]
    return samples * (1.0 - grown)


def resampled(samples: tf.Tensor, lengths: tf.Tensor, factors: tf.Tensor, longest: int, seed):
    """Signals at other lengths, by linear interpolation; of those that are too long then, a random piece.

    Args:
      samples: float32 [B, T], zero beyond the lengths. lengths: int32 [B].
      factors: float32 [B], new length over the old. longest: samples of the result.

    Returns: float32 [B, T'], zero beyond the new lengths; the new lengths, int32 [B].
    """
    whole_lengths = tf.cast(tf.round(tf.cast(lengths, tf.float32) * factors), tf.int32)
    new = tf.minimum(whole_lengths, longest)
    spare = tf.cast(whole_lengths - new + 1, tf.float32)
    start = tf.floor(tf.random.stateless_uniform(tf.shape(lengths), seed) * spare)
    steps = tf.range(tf.reduce_max(new))
    places = (start[:, None] + tf.cast(steps, tf.float32)) / factors[:, None]
    places = tf.clip_by_value(places, 0.0, tf.cast(lengths - 1, tf.float32)[:, None])
    before = tf.floor(places)
    left = tf.cast(before, tf.int32)
    right = tf.minimum(left + 1, lengths[:, None] - 1)
    values = [tf.gather(samples, p, batch_dims=1) for p in (left, right)]
    mixed = values[0] + (values[1] - values[0]) * (places - before)
    return tf.where(steps < new[:, None], mixed, 0.0), new


def adapt(config, files: Sequence[str]):
    """The configuration with classes, their names and shares, and the amplitude, as the training records have them.

    Raises:
      ConfigError: the records have not been through the Transform step, have no labels, or more classes than
        `config.classes` says.
    """
    names, counts, amplitude = {}, collections.Counter(), 0.0
    for batch in picture_records.records(files).batch(256).map(ecg_records.parse).as_numpy_iterator():
        amplitude = float(batch[ecg_records.AMPLITUDE].min())
        if amplitude <= 0:
            raise ConfigError("the recordings have no amplitude; the Transform step of the pipeline adds it")
        labels = batch[ecg_records.LABEL].tolist()
        counts.update(label for label in labels if label != ecg_records.NO_LABEL)
        names |= {c: n.decode() for c, n in zip(labels, batch[ecg_records.LABEL_NAME].tolist(), strict=True)}
    if not counts:
        raise ConfigError("the recordings have no labels; training takes a labelled data set")
    classes = config.classes or max(2, max(counts) + 1)
    if max(counts) >= classes:
        raise ConfigError(f"classes={classes}: the training recordings have at least {max(counts) + 1}")
    listed = json.dumps([names.get(c) or str(c) for c in range(classes)], ensure_ascii=False)
    shares = json.dumps([round(counts[c] / counts.total(), 6) for c in range(classes)])
    return dataclasses.replace(
        config, classes=classes, class_names=config.class_names or listed,
        class_shares=config.class_shares or shares, amplitude=config.amplitude or amplitude,
    )  # fmt: skip
