"""Pictures of a folder of the user's own; with classes, where it is one of class folders."""

import posixpath
from typing import Any, NamedTuple

import apache_beam as beam

from components.kinds import catalogue, splits
from components.kinds.files import DataError, bytes_of_path, printable
from components.kinds.kind import Splits
from components.kinds.pictures.beam import Wanted, read_files
from components.kinds.pictures.datasets.photos.photos_dataset_builder import Builder as PhotosBuilder
from components.kinds.pictures.folders import Folder, scan
from components.kinds.splits import Item
from components.kinds.unreadable import UNREADABLE
from models.records.pictures import SPLITS

_CLASS_FOLDERS = "class_folders/2"  # how splits and classes follow from a folder, in this version


class Place(NamedTuple):
    """What the path of a picture says in a folder of class folders: split ("" if none), class, who ("" if nobody)."""

    split: str
    label: str
    group: str


class FolderSource:
    """The pictures of a folder, split by their content; with `labelled`, of a folder of class folders.

    A class folder is one of the given folder, or of its folders for splits (train, val, test). Classes are numbered in
    the order of their names. Folders below all class folders say who the pictures are of (`splits.grouped`).

    Attributes: as of `components.kinds.kind.Source`; facts hold "duplicates", "ignored", "unreadable" (see
    `components.kinds.pictures.folders.Folder`), with folders for splits "source_splits", the splits that each feeds,
    with folders that say who "groups", how many these are, and "untested", classes that no test picture has.
    """

    noun = "pictures"

    def __init__(self, folder: str, labelled: bool = False):
        self._folder = folder
        found = scan(folder)
        self.facts: dict[str, Any] = {name: getattr(found, name) for name in ("duplicates", "ignored", "unreadable")}
        self.labels, self.classes = [], {}
        if labelled:
            self.digest = f"{_CLASS_FOLDERS}:{found.digest}"
            self._wanted = self._of_classes(found)
        else:
            self.digest = f"photos/{PhotosBuilder.VERSION}:{found.digest}"
            dealt = splits.deal([Item(file.digest) for file in found.pictures], few=0)
            self._wanted = [Wanted(bytes_of_path(f.path), s) for f, s in zip(found.pictures, dealt, strict=True)]

    def _of_classes(self, found: Folder) -> list[Wanted]:
        """What is read of a folder of class folders; sets what is known of the classes."""
        places = class_places(self._folder, found)
        self.labels = sorted({place.label for place in places.values()})
        if len(self.labels) < 2:
            raise DataError(f"{self._folder!r} holds one class folder ({self.labels[0]}); at least two are needed")
        here = [places[printable(file.path)] for file in found.pictures]
        targets = catalogue.split_targets({place.split for place in here} - {""} or {"all"})
        whole = {name for name, shares in targets.items() if shares.keys() == {name}}  # nothing is carved from these
        items = splits.grouped(
            [
                Item(file.digest, place.label, place.group, place.split if place.split in whole else "")
                for file, place in zip(found.pictures, here, strict=True)
            ]
        )
        dealt = splits.deal(items, shares=targets.get("train", splits.SHARES))
        self.classes = splits.count(items, dealt)
        if "all" not in targets:
            self.facts["source_splits"] = {name: list(shares) for name, shares in targets.items()}
        if groups := {item.group for item in items} - {""}:
            self.facts["groups"] = len(groups)
        self.facts["untested"] = sorted(set(self.labels) - set(self.classes["test"]))
        return [
            Wanted(bytes_of_path(file.path), split, self.labels.index(place.label), place.label)
            for file, place, split in zip(found.pictures, here, dealt, strict=True)
        ]

    def prepare(self, work_dir: str, beam_args: list[str]) -> None:
        """Nothing is prepared: the files are read where they lie."""

    def examples(self, pipeline: beam.Pipeline) -> Splits:
        outputs = pipeline | "Folder" >> read_files(self._folder, self._wanted)
        return Splits({name: outputs[name] for name in SPLITS}, outputs[UNREADABLE])


def class_places(folder: str, found: Folder) -> dict[str, Place]:
    """What the paths in a folder of class folders say, by path as text; of unreadable files and duplicates too.

    Raises:
      DataError: it is none: pictures lie beside the class folders, or in two classes at once.
    """
    # Also those of unreadable files, so that a class does not change its number when a file breaks.
    paths = [printable(p.path) for p in found.pictures] + [e["path"] for e in found.unreadable + found.duplicates]
    has_splits = all(splits.split_named(path.partition("/")[0]) for path in paths if "/" in path)
    has_splits = has_splits and any(splits.split_named(path.partition("/")[0]) == "train" for path in paths)
    loose = sorted(path for path in paths if path.count("/") < 1 + has_splits)
    if loose and has_splits and len(loose) == len(paths):
        raise DataError(f"{folder!r} holds the splits of a data set, but no class folders in them ({loose[0]})")
    if loose:
        raise DataError(f"{folder!r} is no folder of class folders: {len(loose)} pictures lie beside them ({loose[0]})")
    places = {path: _place(path, has_splits) for path in paths}
    twice = [d for d in found.duplicates if places[d["path"]].label != places[d["same_as"]].label]
    if twice:
        both = f"{twice[0]['path']} and {twice[0]['same_as']}"
        raise DataError(f"{len(twice)} pictures lie in two classes at once ({both}); keep one of each")
    return places


def _place(path: str, has_split: bool) -> Place:
    split, _, below = path.partition("/") if has_split else ("", "", path)
    label, _, rest = below.partition("/")
    return Place(splits.split_named(split), label, posixpath.dirname(rest))
