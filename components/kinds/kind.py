"""What a kind of data says of itself; each folder here that holds a `kind.py` with KIND is one."""

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import apache_beam as beam
import numpy as np
import tensorflow as tf

from components.kinds.files import DataError
from models.records import pictures as picture_records

Features = Mapping[str, tf.train.Feature]
Inputs = dict[str, bytes | np.ndarray]  # name -> the one element of a batch: a string or an array
Counts = Mapping[str, Mapping[str, int]]  # split -> name of a class -> number of examples


class Splits(NamedTuple):
    """PCollections of (key, example) by split, and one of {"path", "reason"} of what could not be read.

    The PCollections of the splits are outputs of one step; what several steps give must not be joined by a `Flatten`,
    whose inputs Beam's in-process runner holds in memory.
    """

    splits: Mapping[str, beam.PCollection]
    unreadable: beam.PCollection


class Source(Protocol):
    """Where examples come from.

    Attributes:
      noun: what the examples are, that of their Kind.
      labels: names of the classes; empty if the examples have none.
      digest: changes when the data do; nothing is decoded or downloaded for it.
      facts: what is known without decoding, for the report of the ingest (JSON). "unreadable" lists what could not be
        opened, to which comes what could not be decoded.
      classes: how many examples of each class each split has, as far as files say so; empty where nobody knows yet.
        Where it is given, a class without an example to train with is refused.
    """

    noun: str
    labels: list[str]
    digest: str
    facts: Mapping[str, Any]
    classes: Counts

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Makes the data ready, in `work_dir` if they are ours; raises DataError if that fails."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        """Adds to a Beam pipeline the reading of all examples."""


class Records(NamedTuple):
    """How the records of a kind are made, hashed and counted.

    Attributes:
      amount: name of what is counted beside examples and bytes.
      build: makes the record of (key, example). measure: the amount of a record.
      content, identity, format, size_bytes, label_name: names of the features of a record that hold them.
      side_features: names of those that StatisticsGen reads. integers: of those that are whole numbers.
    """

    amount: str
    build: Callable[[str, dict[str, Any]], tf.train.Example]
    measure: Callable[[Features], float]
    content: str
    identity: str
    format: str
    size_bytes: str
    label_name: str
    side_features: tuple[str, ...]
    integers: tuple[str, ...]


class Kind(abc.ABC):
    """One kind of data.

    Attributes:
      noun: what the examples are, in the plural, as recipes name their data; and the name of their count.
      datasets: names of data sets that need no place. places: of those that are read from `--data`.
      is_catalogue: whether `open` also takes names of TFDS's catalogue.
      records: how its records are made.
    """

    noun: str
    datasets: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    is_catalogue: bool = False
    records: Records

    @abc.abstractmethod
    def open(self, dataset: str, place: str = "") -> Source:
        """The source for a name, with the folder or file it is read from ("" without).

        Raises:
          DataError: unknown name, or a place that is missing, empty, of another kind, or not asked for.
        """

    @abc.abstractmethod
    def default_dataset(self, place: str, labelled: bool) -> str:
        """The data set that is meant where only a place is given, or nothing at all ("")."""

    def reads_file(self, name: str) -> bool:
        """Whether a place of that name may be a file."""
        del name
        return False

    @abc.abstractmethod
    def warm_up(self, files: Sequence[str]) -> Inputs:
        """What one record of these files (GZIP TFRecord) gives the signatures of a model, by the names of their inputs.

        It is one that takes a server neither long nor little; the files hold at least one.
        """

    @property
    def counts(self) -> tuple[str, str, str]:
        """Names of the counts of a split."""
        return self.noun, "bytes", self.records.amount

    def count(self, record: tf.train.Example) -> dict[str, float]:
        """The counts of one record."""
        feature = record.features.feature
        size = feature[self.records.size_bytes].int64_list.value[0]
        return dict(zip(self.counts, (1, size, self.records.measure(feature)), strict=True))


class SampledKind(Kind):
    """A kind with one data set of its own, a sample, beside its places, of which the first is the usual one."""

    @abc.abstractmethod
    def sources(self) -> tuple[Callable[[str], Source], Callable[[], Source]]:
        """What opens a place, and what makes the sample; imported when it is asked for."""

    def open(self, dataset: str, place: str = "") -> Source:
        of_place, sample = self.sources()
        if dataset not in self.datasets:
            return of_place(place)
        if place:
            names = "data sets" if len(self.places) > 1 else "data set"
            raise DataError(f"{place!r} goes with the {names} {' and '.join(self.places)}, not with {dataset!r}")
        return sample()

    def default_dataset(self, place: str, labelled: bool) -> str:
        return self.places[0] if place else self.datasets[0]


def best(files: Sequence[str], size_of: Callable[[tf.Tensor], int], limit: int) -> bytes:
    """Of the serialised records whose size is within the limit the largest, else the smallest."""

    def order(record):
        size = size_of(record)
        return (True, size) if size <= limit else (False, -size)

    return max(picture_records.records(files), key=order).numpy()
