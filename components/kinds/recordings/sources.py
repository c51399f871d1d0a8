"""Where recordings come from: a folder or an archive of the user's own, or the simulated sample.

An example is what `components.kinds.recordings.beam` says.
"""

import importlib
import os
from typing import Any

import apache_beam as beam
import tensorflow_datasets as tfds

from components.kinds import catalogue, splits
from components.kinds.files import DataError
from components.kinds.kind import Splits
from components.kinds.recordings.beam import NOUN, example_of, read_place
from components.kinds.recordings.places import looks_like_challenge, scan
from components.kinds.recordings.recordings import Recording, noise_class
from components.kinds.unreadable import UNREADABLE
from models.records.ecg_units import RATE
from models.records.pictures import SPLITS

FROM_PLACES = ("cinc2017", "wfdb_folder")
SAMPLE = "ecg_sample"
NAMES = (*FROM_PLACES, SAMPLE)
_FACTS = ("duplicates", "unreadable", "unlabelled", "unknown_records", "ignored", "label_version")


def _module(name: str):
    """The module of one of our builders."""
    return importlib.import_module(f"components.kinds.recordings.datasets.{name}.{name}_dataset_builder")


class PlaceSource:
    """The recordings of a folder or an archive.

    Attributes:
      noun: "recordings".
      labels: names of the classes, sorted; empty if there are none.
      digest: changes when a recording, a label or a header changes, or is added, removed or renamed.
      facts: what is known without decoding, see `components.kinds.recordings.places.Place`; "groups" is the number of
        persons where somebody says who they are, "untested" the classes that no test recording has.
      classes: how many recordings of each class each split has.
    """

    noun = NOUN

    def __init__(self, dataset: str, folder: str):
        builder = _module(dataset).Builder
        self._folder, self._place = folder, scan(folder, builder.LABELS)
        self.labels = sorted({record.label for record in self._place.records} - {""})
        self.digest = f"{dataset}/{builder.VERSION}:{self._place.digest}"
        self.facts: dict[str, Any] = {name: getattr(self._place, name) for name in _FACTS}
        items = [splits.Item(r.digest, r.label, r.group, r.split) for r in self._place.records]
        self.classes = splits.count(items, [item.split for item in items])
        if groups := {item.group for item in items} - {""}:
            self.facts["groups"] = len(groups)
        self.facts["untested"] = sorted(set(self.labels) - set(self.classes["test"]))

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Nothing is prepared: the files are read where they lie."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        outputs = read_place(pipeline, self._folder, self._place)
        return Splits({name: outputs[name] for name in SPLITS}, outputs[UNREADABLE])


class SampleSource:
    """The simulated recordings of `ecg_sample`; attributes as of PlaceSource."""

    noun = NOUN

    def __init__(self):
        self._builder = _module(SAMPLE) and tfds.builder(SAMPLE)
        self.labels = list(self._builder.info.features["label"].names)
        self.digest = self._builder.info.full_name
        self.facts: dict[str, Any] = {"simulated": True}
        self.classes: dict[str, dict[str, int]] = {}

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Simulates them into `work_dir`."""
        self._builder = tfds.builder(SAMPLE, data_dir=os.path.join(work_dir, "tfds"))
        catalogue.prepare(self._builder, SAMPLE, beam_args)

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        outputs = (
            pipeline
            | "Read" >> catalogue.read(self._builder, SPLITS)
            | "Example" >> beam.Map(_simulated, self.labels).with_outputs(*SPLITS)
        )
        return Splits({name: outputs[name] for name in SPLITS}, pipeline | "None" >> beam.Create([]))


Source = PlaceSource | SampleSource


def _simulated(element: tuple[str, dict[str, Any]], labels: list[str]):
    """One example of the builder to (key, example) on the output of its split."""
    split, record = element
    samples = record["signal"].numpy()
    recording = Recording(samples, RATE, "simulated", 2 * len(samples), noise_class(samples), 0, 0)
    example = example_of(recording, labels[int(record["label"])])
    return beam.pvalue.TaggedOutput(split, (record["id"].numpy().decode(), example))


def open_recordings(dataset: str, folder: str = "") -> Source:
    """The source for one of NAMES; "ecg_sample" takes no folder.

    Raises:
      DataError: no place, none that holds a recording, or one that is not asked for.
    """
    if dataset != SAMPLE:
        return PlaceSource(dataset, folder)
    if folder:
        raise DataError(f"{folder!r} goes with the data sets {' and '.join(FROM_PLACES)}, not with {SAMPLE!r}")
    return SampleSource()


def default_name(folder: str) -> str:
    """The data set that a kind of recordings takes without being told: the sample without a place."""
    if not folder:
        return SAMPLE
    return "cinc2017" if not os.path.exists(folder) or looks_like_challenge(folder) else "wfdb_folder"
