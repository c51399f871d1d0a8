"""Which label map goes with which picture of a folder, and what its levels mean.

    FOLDER/images/NAME.jpg            FOLDER/train/NAME.jpg                  FOLDER/train/images/NAME.jpg
    FOLDER/masks/NAME.png             FOLDER/train_labels/NAME.png           FOLDER/train/masks/NAME.png

`classes.txt` in the folder has a name a line, that of level 0 first; the name "void" is no class. Without it levels are
classes 0 to the highest, but for 255, which is void. More levels than names are void as well.
"""

import os
import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from components.kinds import splits
from components.kinds.files import DataError
from components.kinds.pictures.folders import Folder
from models.records.scenes import MOST_CLASSES, VOID

NAMES = "classes.txt"
_MAPS = ("masks", "labels", "label_maps", "annotations")
_PICTURES = ("images", "pictures", "photos")
_VOID = ("void", "ignore", "unlabelled", "unlabeled")


class Pair(NamedTuple):
    """Paths below the folder of a picture and its label map; a digest of both, hex; the split asked for, "" if none."""

    picture: str
    label_map: str
    digest: str
    split: str


def pairs_of(folder: str, found: Folder) -> tuple[list[Pair], list[str]]:
    """All pictures with a label map, and the paths of pictures without one.

    Raises:
      DataError: there is not one pair; or a name stands for two label maps.
    """
    paths = {file.path: file.digest for file in found.pictures}
    # Equal maps are maps all the same: of files with one content `found` has only the first.
    same = {entry["path"]: entry["same_as"] for entry in found.duplicates}
    everything = paths | {path: paths[first] for path, first in same.items() if first in paths}
    maps: dict[tuple[str, str], str] = {}
    for path in sorted(path for path in everything if _is_map(path)):
        key = _key(path)
        if key in maps:
            raise DataError(f"{folder!r}: {maps[key]} and {path} are label maps of one picture; keep one")
        maps[key] = path
    pairs, alone = [], []
    for path, digest in sorted(paths.items()):
        if _is_map(path):
            continue
        label_map = maps.get(_key(path))
        if label_map is None:
            alone.append(path)
        else:
            pairs.append(Pair(path, label_map, digest, splits.split_named(_key(path)[0].partition("/")[0])))
    if not pairs:
        raise DataError(
            f"{folder!r} holds no picture with a label map: wanted are {_PICTURES[0]}/NAME.* and {_MAPS[0]}/NAME.png, "
            "or SPLIT/NAME.* and SPLIT_labels/NAME.png"
        )
    return pairs, alone


def _is_map(path: str) -> bool:
    parents = posixpath.dirname(path).lower().split("/")
    return any(part in _MAPS or part.endswith(tuple(f"_{name}" for name in _MAPS)) for part in parents)


def _key(path: str) -> tuple[str, str]:
    """(folder without what tells pictures from maps, name without ending): the same for a picture and its map."""
    parts = []
    for part in posixpath.dirname(path).split("/"):
        for name in _MAPS:
            part = part.removesuffix(f"_{name}")
        if part and part.lower() not in (*_MAPS, *_PICTURES):
            parts.append(part)
    return "/".join(parts), posixpath.splitext(posixpath.basename(path))[0]


class Classes(NamedTuple):
    """The names of the classes, and for each of 256 levels the place of its class, or VOID."""

    names: tuple[str, ...]
    of_level: tuple[int, ...]


def classes_of(folder: str, levels: Sequence[int]) -> Classes:
    """What levels mean.

    Args:
      levels: all that occur in the folder's maps.

    Raises:
      DataError: `classes.txt` cannot be read, names a class twice, or there are fewer than two classes.
    """
    path = os.path.join(folder, NAMES)
    if os.path.isfile(path):
        try:
            with open(path, encoding="utf-8") as file:
                lines = [line.strip() for line in file.read().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read as UTF-8 text: {error}") from error
        lines = lines[: len(lines) - next((n for n, line in enumerate(reversed(lines)) if line), len(lines))]
    else:
        lines = [str(level) for level in range(max((v for v in levels if v != VOID), default=-1) + 1)]
    named = [line for line in lines if line.lower() not in _VOID]
    if len(set(named)) < len(named) or "" in named:
        raise DataError(f"{path}: wanted is a name a line, each once")
    if not 2 <= len(named) <= MOST_CLASSES or len(lines) > 256:
        raise DataError(f"{folder!r}: {len(named)} classes; wanted are 2 to {MOST_CLASSES}")
    places = [named.index(line) if line.lower() not in _VOID else VOID for line in lines]
    return Classes(tuple(named), tuple(places + [VOID] * (256 - len(places))))
