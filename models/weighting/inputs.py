"""What a weighting takes of the records: batches that say which labels were made wrong, and the clean examples.

A share of the training records is clean: no label of theirs is made wrong. All methods are given the same.
"""

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.classifiers import inputs as classifier_inputs
from models.contract.recipe import ConfigError
from models.records import pictures as picture_records

ALL, CLEAN, REST = "all", "clean", "rest"  # parts of the training records
_BUCKETS = 1 << 30


def _share(keys, what: str):
    """A number in [0, 1) of each id, always the same."""
    drawn = tf.strings.to_hash_bucket_strong(tf.strings.join([keys, what], " "), _BUCKETS, (5, 13))
    return tf.cast(drawn, tf.float64) / _BUCKETS


def is_clean(keys, config):
    """Whether records are of the clean examples, by their ids: string [...] -> bool [...]."""
    return _share(keys, "clean") < config.clean_share


def is_kept(labels, keys, config):
    """Whether records are left in a long-tailed set, by class (the record's) and id: bool [...].

    Of class c there remain long_tail^(-c / (K - 1)); clean examples all remain.
    """
    if config.long_tail <= 1.0:
        return tf.ones_like(keys, tf.bool)
    power = tf.cast(labels, tf.float64) / (config.classes - 1)
    left = tf.pow(tf.constant(config.long_tail, tf.float64), -power)
    return tf.logical_or(is_clean(keys, config), _share(keys, "tail") < left)


def inputs(files: Sequence[str], config, training: bool) -> tf.data.Dataset:
    """Batches as of `models.classifiers.inputs.inputs`.

    Training: of the records that `config.part` names; the labels are {"labels": [B, K], "wrong": [B], 1 where a label
    was made wrong}, and for gradient-based weights "clean_pixels" and "clean_labels", a batch of clean examples.

    Raises:
      ConfigError: there is no clean example.
    """
    if not training:
        return classifier_inputs.inputs(files, config, False)

    def keep(features):
        key, label = features[picture_records.ID], features[picture_records.LABEL]
        kept = is_kept(label, key, config)
        return (
            kept if config.part in ("", ALL) else tf.logical_and(kept, is_clean(key, config) == (config.part == CLEAN))
        )

    def mark(label, key):
        given = tf.where(is_clean(key, config), label, classifier_inputs.noisy(label, key, config))
        return {"label": given, "wrong": tf.cast(given != label, tf.float32)}

    batches = classifier_inputs.inputs(files, config, True, keep=keep, mark=mark)
    if config.weighting != "meta" or config.part != REST:
        return batches
    clean_examples(files, config)  # says so if there are none
    clean = inputs(files, dataclasses.replace(config, part=CLEAN), True)

    def together(batch, more):
        return batch[0], batch[1] | {"clean_pixels": more[0], "clean_labels": more[1]["labels"]}

    return tf.data.Dataset.zip(batches, clean).map(together)


def clean_examples(files: Sequence[str], config) -> tuple[np.ndarray, np.ndarray]:
    """All clean examples as they are: pixels float32 [N, S, S, 3] in [0, 1], labels float32 [N, K].

    Raises:
      ConfigError: there is none.
    """
    found = classifier_inputs.inputs(
        files, config, False, keep=lambda features: is_clean(features[picture_records.ID], config)
    )
    parts = list(found.as_numpy_iterator())
    if not parts:
        raise ConfigError(f"clean_share={config.clean_share}: no training example falls into it; set a larger share")
    return tuple(np.concatenate(side) for side in zip(*parts, strict=True))


def adapt(config, files: Sequence[str]):
    """The configuration with what the data say: as `models.classifiers.inputs.adapt`, and the classes' frequencies.

    Raises:
      ConfigError: as that.
    """
    config = classifier_inputs.adapt(config, files)
    if not config.class_frequency or config.frequencies:
        return config
    counts = np.zeros(config.classes)
    for record in picture_records.records(files):
        features = picture_records.parse(record)
        key, label = features[picture_records.ID], features[picture_records.LABEL]
        if is_kept(label, key, config):
            given = label if is_clean(key, config) else classifier_inputs.noisy(label, key, config)
            counts[int(given)] += 1
    return dataclasses.replace(config, frequencies=json.dumps((counts / counts.max()).round(6).tolist()))
