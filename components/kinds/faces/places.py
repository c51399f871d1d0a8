"""Whom the pictures of a folder show: by the folders of persons that they lie in."""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from components.kinds import splits
from components.kinds.files import DataError, printable
from components.kinds.pictures.folders import Folder

_MORE_NAMES = {"verification": "test"}  # of folders for splits, beside those of all pictures


class Face(NamedTuple):
    """One picture: its path below the folder; a digest, hex; the person ("" if nobody says); the split that is asked
    for ("" if none)."""

    path: str
    digest: str
    person: str
    split: str = ""


class Loose(NamedTuple):
    """What `faces_of` found: all pictures, and the paths as text of those that lie in no person's folder."""

    faces: list[Face]
    loose: list[str]


def split_named(folder: str) -> str:
    """The split that the name of a folder means, "" if none."""
    return splits.split_named(folder) or _MORE_NAMES.get(folder.lower(), "")


def faces_of(folder: str, found: Folder) -> Loose:
    """Persons and splits as the paths say: PERSON/..., or SPLIT/PERSON/... where all folders are those of splits.

    Raises:
      DataError: a person has two folders or lies in two splits, or one picture lies in the folders of two persons.
    """
    # Also those of unreadable files, so that what a folder is does not change when a file breaks.
    paths = [printable(file.path) for file in found.pictures]
    others = [entry["path"] for entry in found.unreadable + found.duplicates]
    deep = [path.partition("/")[0] for path in paths + others if "/" in path]
    has_splits = bool(deep) and all(map(split_named, deep)) and any(split_named(name) == "train" for name in deep)
    places = {path: _place(path, has_splits) for path in paths + others}
    _check_names(folder, places.values())
    twice = [d for d in found.duplicates if places[d["path"]][1] != places[d["same_as"]][1]]
    if twice:
        both = f"{twice[0]['path']} and {twice[0]['same_as']}"
        raise DataError(f"{len(twice)} pictures lie in the folders of two persons ({both}); keep one of each")
    faces = [Face(file.path, file.digest, places[path][1], places[path][0])
             for file, path in zip(found.pictures, paths, strict=True)]  # fmt: skip
    return Loose(faces, [path for path in paths if not places[path][1]])


def _place(path: str, has_splits: bool) -> tuple[str, str]:
    """(split, person)."""
    split, _, below = path.partition("/") if has_splits else ("", "", path)
    person, deeper, _ = below.partition("/")
    return split_named(split), person if deeper else ""


def _check_names(folder: str, places: Iterable[tuple[str, str]]) -> None:
    spellings: dict[str, set[str]] = {}
    where: dict[str, set[str]] = {}
    for split, person in places:
        if person:
            spellings.setdefault(_plain(person), set()).add(person)
            where.setdefault(_plain(person), set()).add(split)
    for name, found in sorted(where.items()):
        if len(found) > 1:
            person = min(spellings[name])
            raise DataError(
                f"{person} lies in the splits {' and '.join(sorted(found))} of {folder!r}; a person may lie in one only"
            )
    for found in (sorted(s) for _, s in sorted(spellings.items()) if len(s) > 1):
        raise DataError(
            f"{folder!r} names a person twice: {' and '.join(map(repr, found))}; put the pictures into one folder"
        )


def _plain(name: str) -> str:
    """A name without what two writers of it may do differently."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())


def counts(faces: Iterable[Face]) -> Mapping[str, int]:
    """How many pictures each person has."""
    found: dict[str, int] = {}
    for face in faces:
        found[face.person] = found.get(face.person, 0) + 1
    return found
