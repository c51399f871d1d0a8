"""Pictures of data sets: of TFDS by name, and of a packed file."""

import hashlib
import importlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_datasets as tfds

from components.kinds import catalogue, registry
from components.kinds.files import DataError
from components.kinds.kind import Splits
from components.kinds.pictures.beam import example_of
from components.kinds.pictures.packed import Packed, pictures, read_packed
from components.kinds.pictures.pictures import PictureError, normalize
from components.kinds.splits import split_of
from components.kinds.unreadable import UNREADABLE
from models.records.pictures import SPLITS

_OWN = ("sample_photos", "digits")


class CatalogueSource:
    """An image data set of TFDS: "cifar10", "lfw", "mnist_corrupted/fog", "div2k#hr" (the feature after "#").

    Splits named train, validation and test are taken as they are. A missing validation or test split gets a tenth of
    the training pictures, chosen by the hash of their bytes; a set without a training split is pooled and split by that
    hash. Other splits ("extra", "unsupervised") are left out.

    Classes are those of its feature "label", or of the only class label it has.

    Attributes: as of `components.kinds.kind.Source`; facts hold "source_splits", the splits that each split of the data
    set feeds.
    """

    noun = "pictures"

    def __init__(self, dataset: str):
        name, _, feature = dataset.partition("#")
        self._name, self._builder = name, _builder(name)
        self._feature = _image_feature(self._builder, feature)
        self._label = _label_feature(self._builder)
        self.digest = f"{self._builder.info.full_name}#{self._feature}" + (f"+{self._label}" if self._label else "")
        self.facts: dict[str, Any] = {}
        self.classes: dict[str, dict[str, int]] = {}

    @property
    def labels(self) -> list[str]:
        """Names of the classes, as numbers until the data set is prepared; empty if it has none."""
        return list(self._builder.info.features[self._label].names or ()) if self._label else []

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Downloads and prepares the data set, into TFDS's own folder; our own sets into `work_dir`.

        Raises:
          DataError: that failed (no network, for instance), or the data set is empty.
        """
        if self._name in _OWN:
            self._builder = _builder(self._name, os.path.join(work_dir, "tfds"))
        available = catalogue.prepare(self._builder, self._name, beam_args)
        self._targets = catalogue.split_targets(available)
        self.facts = {"source_splits": {name: list(targets) for name, targets in self._targets.items()}}

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        wanted = {self._feature: True} | ({self._label: True} if self._label else {})
        decoders = tfds.decode.PartialDecoding(wanted, {self._feature: tfds.decode.SkipDecoding()})
        options = dict(decoders=decoders, read_config=tfds.ReadConfig(add_tfds_id=True))
        outputs = (
            pipeline
            | "Read" >> catalogue.read(self._builder, self._targets, **options)
            | "Encoded" >> beam.Map(_encoded, self._feature, self._label)
            | "Normalize" >> beam.ParDo(_Normalize(self._targets, self.labels)).with_outputs(*SPLITS, UNREADABLE)
        )
        return Splits({name: outputs[name] for name in SPLITS}, outputs[UNREADABLE])


def _encoded(element: tuple[str, dict[str, Any]], feature: str, label: str) -> tuple[str, str, bytes, int | None]:
    """(split of the data set, key, bytes of the picture's file, number of the class) of an example of TFDS."""
    split, record = element
    number = int(record[label].numpy()) if label else -1
    # Hidden labels of a test set are -1.
    return split, record["tfds_id"].numpy().decode(), record[feature].numpy(), number if number >= 0 else None


class PackedSource:
    """The pictures of a packed `.npz` file, see `components.kinds.pictures.packed`.

    Attributes: as of CatalogueSource, likewise the splits. Pictures are read from the file as they are wanted, a few at
    a time; TFDS would shuffle them all in memory.
    """

    noun = "pictures"

    def __init__(self, path: str):
        self._path, self._found = path, read_packed(path)
        self._targets = catalogue.split_targets(self._found.splits)
        self.labels = self._found.names
        self.digest = f"packed/2:{self._found.digest}"
        self.facts = {"source_splits": {name: list(targets) for name, targets in self._targets.items()}}
        self.classes = _packed_classes(self._found, self._targets)

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Nothing is prepared: the file is read where it lies."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        outputs = (
            pipeline
            | "Splits" >> beam.Create([(self._path, name) for name in self._targets], reshuffle=False)
            | "Unpack" >> beam.FlatMapTuple(_unpacked)
            | "Normalize" >> beam.ParDo(_Normalize(self._targets, self.labels)).with_outputs(*SPLITS, UNREADABLE)
        )
        return Splits({name: outputs[name] for name in SPLITS}, outputs[UNREADABLE])


def _packed_classes(found: Packed, targets: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, int]]:
    """How many pictures of each class stand where: a split that is carved of the training pictures is left out."""
    if "train" not in targets:
        return {}
    return {name: found.classes[name] for name in targets}


def _unpacked(path: str, split: str) -> Iterator[tuple[str, str, bytes, int]]:
    """As `_encoded`, of one split of a packed file; each picture as PNG."""
    for n, (picture, label) in enumerate(pictures(path, split)):
        yield split, f"{split}/{n:06d}", tf.io.encode_png(picture).numpy(), label


class _Normalize(beam.DoFn):
    """(split of the data set, key, encoded picture, class or None) to (key, example) on the output of its split."""

    def __init__(self, targets: Mapping[str, Mapping[str, float]], names: list[str]):
        super().__init__()
        self._targets, self._names = targets, names

    def process(self, element: tuple[str, str, bytes, int | None]):
        source, key, data, label = element
        try:
            picture = normalize(data)
        except PictureError as error:
            yield beam.pvalue.TaggedOutput(UNREADABLE, {"path": key, "reason": str(error)})
            return
        split = split_of(hashlib.sha256(data).hexdigest(), self._targets[source])
        name = "" if label is None else self._names[label] if self._names else str(label)
        yield beam.pvalue.TaggedOutput(split, (key, example_of(picture, len(data), label, name)))


def _builder(name: str, data_dir: str | None = None) -> tfds.core.DatasetBuilder:
    """The TFDS builder of a name; raises DataError, with the nearest names, if there is none."""
    if name in _OWN:
        importlib.import_module(f"components.kinds.pictures.datasets.{name}.{name}_dataset_builder")
    return catalogue.open_builder(name, registry.dataset_names(), data_dir)


def _label_feature(builder: tfds.core.DatasetBuilder) -> str:
    """The name of the feature that holds the class: "label", or the only class label; empty without one."""
    features = builder.info.features
    labels = [name for name, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    return "label" if "label" in labels else labels[0] if len(labels) == 1 else ""


def _image_feature(builder: tfds.core.DatasetBuilder, wanted: str) -> str:
    """The name of the feature that holds the pictures: the one wanted, "image", or the only one of its kind."""
    features = builder.info.features
    images = [name for name, feature in features.items() if isinstance(feature, tfds.features.Image)]
    if wanted in images:
        return wanted
    if not wanted and "image" in images:
        return "image"
    if not wanted and len(images) == 1:
        return images[0]
    if not images:
        raise DataError(f"no feature of the data set {builder.name!r} is one picture (it has {', '.join(features)})")
    choice = " or ".join(f"{builder.name}#{name}" for name in images)
    raise DataError(f"name the pictures of the data set {builder.name!r}: {choice}")
