"""Where pictures come from: a folder of the user's own, or a data set of TFDS by name; and the one door to all sources.

Every source says what it is (`digest`) without reading pixels, and gives, inside a Beam pipeline, the pictures of each
split as (key, example) with example = {"image", "format", "height", "width", "channels", "bytes"}, and "label" and
"label_name" where the source knows classes. Sources of recordings stand in `components.kinds.recordings.sources`.
"""

import difflib
import hashlib
import importlib
import os
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import tensorflow_datasets as tfds

from components.datasets.packed.packed_dataset_builder import PackedConfig, read_packed
from components.datasets.photos.photos_dataset_builder import UNREADABLE, files_by_split, read_split
from components.datasets.photos.photos_dataset_builder import Builder as PhotosBuilder
from components.ingest.catalogue import Splits, prepare
from components.ingest.folders import DataError, class_of, printable, scan, split_of
from components.kinds.pictures.pictures import PictureError, normalize
from components.kinds.recordings import sources as recording_sources
from models.records.pictures import SPLITS

OWN = ("photos", "class_folders", "packed", "sample_photos", "digits", *recording_sources.NAMES)
_CARVED_SHARE = 0.1  # Of the training pictures, for each split that a data set lacks.


class FolderSource:
    """The pictures of a folder, split by their content; with `labelled`, of a folder of class folders.

    The class of a picture is the first folder of its path; classes are numbered in the order of their names.

    Attributes:
      noun: what the examples are, a key of `components.kinds.record_kinds.KINDS`.
      labels: names of the classes; empty if the pictures have none.
      digest: changes when a picture file is added, removed, renamed or edited.
      facts: what is known without decoding: "duplicates", "ignored", "unreadable" (see
        `components.ingest.folders.Folder`).
    """

    noun = "pictures"

    def __init__(self, folder: str, labelled: bool = False):
        self._folder = folder
        self._found = scan(folder)
        self.labels = _class_folders(folder, self._found) if labelled else []
        name = "class_folders" if labelled else "photos"
        self.digest = f"{name}/{PhotosBuilder.VERSION}:{self._found.digest}"
        self.facts = {name: getattr(self._found, name) for name in ("duplicates", "ignored", "unreadable")}

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Nothing is prepared: the files are read where they lie."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        splits = {
            name: pipeline | f"Folder[{name}]" >> read_split(self._folder, files)
            for name, files in files_by_split(self._found).items()
        }
        unreadable = tuple(outputs[UNREADABLE] for outputs in splits.values()) | "Unreadable" >> beam.Flatten()
        pictures = {name: outputs["pictures"] for name, outputs in splits.items()}
        if self.labels:
            pictures = {n: p | f"Class[{n}]" >> beam.Map(_with_class, self.labels) for n, p in pictures.items()}
        return Splits(pictures, unreadable)


def _with_class(element: tuple[str, dict[str, Any]], labels: list[str]) -> tuple[str, dict[str, Any]]:
    """Adds the class that the path of a picture, its key, says."""
    key, example = element
    name = class_of(key)
    return key, example | {"label": labels.index(name), "label_name": name}


def _class_folders(folder: str, found) -> list[str]:
    """Names of the classes of a folder of class folders, sorted; raises DataError if it is none."""
    loose = [p.path for p in found.pictures if not class_of(p.path)]
    if loose:
        first = printable(loose[0])
        raise DataError(f"{folder!r} is no folder of class folders: {len(loose)} pictures lie beside them ({first})")
    # Also those of unreadable files, so that a class does not change its number when a file breaks.
    paths = [printable(p.path) for p in found.pictures] + [u["path"] for u in found.unreadable]
    names = sorted({class_of(path) for path in paths} - {""})
    if len(names) < 2:
        raise DataError(f"{folder!r} holds one class folder ({names[0]}); at least two are needed")
    twice = [d for d in found.duplicates if class_of(d["path"]) != class_of(d["same_as"])]
    if twice:
        paths = f"{twice[0]['path']} and {twice[0]['same_as']}"
        raise DataError(f"{len(twice)} pictures lie in two classes at once ({paths}); keep one of each")
    return names


class CatalogueSource:
    """An image data set of TFDS: "cifar10", "lfw", "mnist_corrupted/fog", "div2k#hr" (the feature after "#").

    Splits named train, validation and test are taken as they are. A missing validation or test split gets a tenth of
    the training pictures, chosen by the hash of their bytes; a set without a training split is pooled and split by that
    hash. Other splits ("extra", "unsupervised") are left out.

    Classes are those of its feature "label", or of the only class label it has.

    Attributes: as of FolderSource; facts hold "source_splits", the splits that each split of the data set feeds.
    """

    noun = "pictures"

    def __init__(self, dataset: str):
        name, _, feature = dataset.partition("#")
        self._name, self._builder = name, _builder(name)
        self._feature = _image_feature(self._builder, feature)
        self._label = _label_feature(self._builder)
        self.digest = f"{self._builder.info.full_name}#{self._feature}" + (f"+{self._label}" if self._label else "")
        self.facts: dict[str, Any] = {}

    @property
    def labels(self) -> list[str]:
        """Names of the classes, as numbers until the data set is prepared; empty if it has none."""
        return list(self._builder.info.features[self._label].names or ()) if self._label else []

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Downloads and prepares the data set, into TFDS's own folder; our own sets into `work_dir`.

        Raises:
          DataError: that failed (no network, for instance), or the data set is empty.
        """
        if self._name in OWN:
            self._builder = self._own_builder(os.path.join(work_dir, "tfds"))
        available = prepare(self._builder, self._name, beam_args)
        self._targets = split_targets(available)
        self.facts = {"source_splits": {name: list(targets) for name, targets in self._targets.items()}}

    def _own_builder(self, data_dir: str) -> tfds.core.DatasetBuilder:
        return _builder(self._name, data_dir)

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        wanted = {self._feature: True} | ({self._label: True} if self._label else {})
        decoders = tfds.decode.PartialDecoding(wanted, {self._feature: tfds.decode.SkipDecoding()})
        label = (self._label, self.labels)
        options = dict(decoders=decoders, read_config=tfds.ReadConfig(add_tfds_id=True))
        outputs = [
            pipeline
            | f"Read[{name}]" >> tfds.beam.ReadFromTFDS(self._builder, split=name, **options)
            | f"Normalize[{name}]"
            >> beam.ParDo(_NormalizeRecord(self._feature, targets, label)).with_outputs(*SPLITS, UNREADABLE)
            for name, targets in self._targets.items()
        ]

        def flatten(tag):
            return tuple(output[tag] for output in outputs) | f"All[{tag}]" >> beam.Flatten()

        return Splits({name: flatten(name) for name in SPLITS}, flatten(UNREADABLE))


class PackedSource(CatalogueSource):
    """The pictures of a packed `.npz` file, see `components.datasets.packed`; splits as of CatalogueSource."""

    def __init__(self, path: str):
        importlib.import_module("components.datasets.packed.packed_dataset_builder")
        found = read_packed(path)
        config = PackedConfig(name=found.digest[:16], path=path, names=tuple(found.names), splits=tuple(found.splits))
        self._config, self._name = config, "packed"
        self._builder = tfds.builder("packed", config=config)
        self._feature, self._label = "image", "label"
        self.digest = f"packed/{self._builder.VERSION}:{found.digest}"
        self.facts = {}

    def _own_builder(self, data_dir: str) -> tfds.core.DatasetBuilder:
        return tfds.builder("packed", config=self._config, data_dir=data_dir)


class _NormalizeRecord(beam.DoFn):
    """One TFDS example, its picture still encoded, to (key, example) on the output of its split."""

    def __init__(self, feature: str, targets: dict[str, float], label: tuple[str, list[str]] = ("", [])):
        super().__init__()
        self._feature, self._targets, self._label = feature, targets, label

    def process(self, record: dict[str, Any]):
        data, key = record[self._feature].numpy(), record["tfds_id"].numpy().decode()
        try:
            picture = normalize(data)
        except PictureError as error:
            yield beam.pvalue.TaggedOutput(UNREADABLE, {"path": key, "reason": str(error)})
            return
        split = split_of(hashlib.sha256(data).hexdigest(), tuple(self._targets), tuple(self._targets.values()))
        sizes = {"height": picture.height, "width": picture.width, "channels": picture.channels, "bytes": len(data)}
        feature, names = self._label
        if feature and (label := int(record[feature].numpy())) >= 0:  # hidden labels of a test set are -1
            sizes |= {"label": label, "label_name": names[label] if names else str(label)}
        yield beam.pvalue.TaggedOutput(split, (key, {"image": picture.encoded, "format": picture.format, **sizes}))


def open_source(dataset: str, folder: str = "") -> FolderSource | CatalogueSource | recording_sources.Source:
    """The source for a name.

    Args:
      dataset: "photos" or "class_folders" with a folder, "packed" with a file, "cinc2017" or "wfdb_folder" with a
        folder or an archive; "ecg_sample", or an image set of TFDS.
      folder: that folder, file or archive.

    Raises:
      DataError: unknown name, no image in the data set, a folder or file that is missing, empty or not asked for.
    """
    if dataset in recording_sources.NAMES:
        return recording_sources.open_recordings(dataset, folder)
    if dataset in ("photos", "class_folders"):
        return FolderSource(folder, dataset == "class_folders")
    if dataset == "packed":
        return PackedSource(folder)
    if folder:
        raise DataError(f"a folder ({folder!r}) goes with the data set 'photos', not with {dataset!r}")
    return CatalogueSource(dataset)


def dataset_digest(dataset: str, folder: str = "", labelled: bool = False, noun: str = "") -> str:
    """Text that changes when the data change; every file of a folder is read for it, nothing is downloaded.

    Raises:
      DataError: as `open_source`; or the examples have no classes and `labelled` asks for them; or `noun` is not "" and
        says that they should be another kind ("pictures", "recordings").
    """
    source = open_source(dataset, folder)
    if noun not in ("", source.noun):
        raise DataError(f"the data set {dataset!r} holds {source.noun}; this recipe takes {noun}")
    if labelled and not source.labels:
        raise DataError(f"the {source.noun} of {folder or dataset!r} have no classes, which this recipe needs")
    return source.digest


def split_targets(available: Iterable[str]) -> dict[str, dict[str, float]]:
    """Which splits the pictures of each split of a data set go to, and in which shares.

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


def _builder(name: str, data_dir: str | None = None) -> tfds.core.DatasetBuilder:
    """The TFDS builder of a name; raises DataError, with the nearest names, if there is none."""
    if name in ("photos", "class_folders", "packed"):
        raise DataError(f"the data set {name!r} is read from --data")
    if name in OWN:
        importlib.import_module(f"components.datasets.{name}.{name}_dataset_builder")
    try:
        return tfds.builder(name, data_dir=data_dir or os.environ.get("TFDS_DATA_DIR"))
    except tfds.core.DatasetNotFoundError:
        known = [*OWN, *tfds.list_builders(with_community_datasets=False)]
        near = ", ".join(difflib.get_close_matches(name.partition("/")[0], known)) or ", ".join(OWN)
        raise DataError(f"no data set is named {name!r} (near: {near})") from None
    except (ValueError, AssertionError, TypeError) as error:  # An unknown config or version of a known set.
        raise DataError(f"the data set {name!r} cannot be opened: {str(error).splitlines()[0]}") from None


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
