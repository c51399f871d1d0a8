"""Data sets of TFDS, whatever they hold: how one is opened, made ready and read, and which splits its own ones feed."""

import difflib
import os
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import tensorflow_datasets as tfds

from components.kinds.files import DataError
from models.records.pictures import SPLITS

_CARVED_SHARE = 0.1  # Of the training examples, for each split that a data set lacks.


def open_builder(name: str, own: Sequence[str], data_dir: str | None = None) -> tfds.core.DatasetBuilder:
    """The TFDS builder of a name.

    Args:
      own: names of our own data sets, which are near to a name that is unknown.
      data_dir: where it is prepared; without it TFDS's own folder.

    Raises:
      DataError: there is none; the message has the nearest names.
    """
    try:
        return tfds.builder(name, data_dir=data_dir or os.environ.get("TFDS_DATA_DIR"))
    except tfds.core.DatasetNotFoundError:
        known = [*own, *tfds.list_builders(with_community_datasets=False)]
        near = ", ".join(difflib.get_close_matches(name.partition("/")[0], known)) or ", ".join(own)
        raise DataError(f"no data set is named {name!r} (near: {near})") from None
    except (ValueError, AssertionError, TypeError) as error:  # An unknown config or version of a known set.
        raise DataError(f"the data set {name!r} cannot be opened: {str(error).splitlines()[0]}") from None


def prepare(builder: tfds.core.DatasetBuilder, name: str, beam_args: list[str]) -> list[str]:
    """Downloads and prepares a data set; returns the names of its splits that hold anything.

    Raises:
      DataError: that failed (no network, for instance), or the data set is empty.
    """
    options = beam.options.pipeline_options.PipelineOptions(beam_args)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(beam_options=options))
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DataError(f"TFDS cannot prepare the data set {name!r}: {reason}") from error
    available = [split for split, info in builder.info.splits.items() if info.num_examples]
    if not available:
        raise DataError(f"the data set {name!r} holds no example")
    return available


def split_targets(available: Iterable[str]) -> dict[str, dict[str, float]]:
    """Which splits the examples of each split of a data set go to, and in which shares.

    >>> split_targets(["train", "test"])
    {'train': {'train': 0.9, 'validation': 0.1}, 'test': {'test': 1.0}}
    """
    available = list(available)
    if "train" not in available:
        pooled = [name for name in available if name in SPLITS] or available
        return {name: {"train": 0.8, "validation": 0.1, "test": 0.1} for name in pooled}
    missing = [name for name in SPLITS if name not in available]
    train = {"train": 1 - _CARVED_SHARE * len(missing), **{name: _CARVED_SHARE for name in missing}}
    return {name: train if name == "train" else {name: 1.0} for name in SPLITS if name in available}


class Read(beam.DoFn):
    """The examples of one shard of a prepared data set, as pairs of its split's name and the example.

    Elements are (name of a split, number of a shard). All splits go through one such step: where several were joined
    behind it, Beam's in-process runner would hold all examples in memory.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, **options: Any):
        super().__init__()
        self._builder, self._options = builder, options

    def process(self, element: tuple[str, int]):
        split, shard = element
        for example in self._builder.as_dataset(split=f"{split}[{shard}shard]", **self._options):
            yield split, example


def read(builder: tfds.core.DatasetBuilder, splits: Iterable[str], **options: Any) -> beam.PTransform:
    """Transform from a pipeline to (split, example); `options` are those of TFDS's `as_dataset`."""
    shards = [(name, n) for name in splits for n in range(builder.info.splits[name].num_shards)]
    return (
        beam.Create(shards, reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "Examples" >> beam.ParDo(Read(builder, **options))
    )
