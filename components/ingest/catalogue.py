"""What all sources of examples give, and how a data set of TFDS is made ready."""

from typing import NamedTuple

import apache_beam as beam
import tensorflow_datasets as tfds

from components.ingest.folders import DataError


class Splits(NamedTuple):
    """PCollections of (key, example) by split, and one of {"path", "reason"} of what could not be read."""

    splits: dict[str, beam.PCollection]
    unreadable: beam.PCollection


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
