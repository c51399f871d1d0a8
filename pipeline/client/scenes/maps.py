"""Label maps and masks for codecs of scenes: of folders beside the pictures, of a segmenter, of names of classes."""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from components.kinds.scenes import places
from components.kinds.scenes.source import levels_of
from components.serving.served_classifier import ServedSegmenter
from components.serving.served_codec import describe, newest_version, png
from models.records.scenes import VOID
from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import shown
from pipeline.client.dictionaries import only
from pipeline.client.files import File

Maps = Callable[[bytes, bytes], bytes]  # (a picture, the file beside it or nothing) -> PNG of grey levels


class Beside(NamedTuple):
    """Where a map comes from: the file of each picture (none of a segmenter), and what makes the map of it."""

    files: dict[pathlib.Path, pathlib.Path]
    read: Maps


def names_of(model: pathlib.Path | None) -> list[str]:
    """The classes of a pushed model of scenes; empty if it does not say them, or is behind a server."""
    if model is None:
        return []
    return json.loads(describe(newest_version(model)).get("config", {}).get("class_names") or "[]")


def labels(path: pathlib.Path, files: Sequence[File], names: Sequence[str]) -> Beside:
    """The label maps of pictures, in the classes of a codec.

    Args:
      path: a folder of maps, PLACE.png for each picture, with a `classes.txt` or levels that are the codec's classes;
        or a pushed segmenter.
      names: the codec's classes, which those of the folder or the segmenter are found by; empty: places are the same.

    Raises:
      UserError: it is neither, a picture has no map, or not one class is the codec's.
    """
    if not path.is_dir():
        raise UserError(f"--labels {shown(path)}: wanted is a folder of label maps, or a pushed segmenter's")
    if not _is_model(path):
        table = np.arange(256, dtype=np.uint8)
        if (path / places.NAMES).is_file():
            known = places.classes_of(str(path), [])
            table = _table(path, known.names, names)[np.array(known.of_level)]
        return Beside(_beside("--labels", path, files), lambda _, content: png(table[levels_of(content)]))
    segmenter = ServedSegmenter(path)
    table = _table(path, names_of(segmenter.directory), names)

    def segmented(picture: bytes, _: bytes) -> bytes:
        return png(table[levels_of(only(segmenter.ask("segment", image_bytes=picture), "class_map_bytes"))])

    return Beside({}, segmented)


def preserved(wanted: str, files: Sequence[File], names: Sequence[str]) -> Beside:
    """Masks of what is preserved: of a folder with PLACE.png for each picture, or of classes of the label maps.

    Args:
      wanted: the folder, or names or numbers of classes with commas between; of classes, `read` takes the label map.
      names: the codec's classes.

    Raises:
      UserError: a class that there is none of, or a picture without a mask.
    """
    folder = pathlib.Path(wanted)
    if folder.is_dir():
        return Beside(_beside("--keep", folder, files), lambda _, content: _mask(levels_of(content) > 0))
    chosen = []
    for text in filter(None, (part.strip() for part in wanted.split(","))):
        if text in names:
            chosen.append(names.index(text))
        elif text.isdecimal() and int(text) < (len(names) or VOID):
            chosen.append(int(text))
        else:
            has = f"the model's are {', '.join(names)}" if names else "of a served model give numbers"
            raise UserError(f"--keep {wanted}: no folder, and {text} is no class: {has}")
    return Beside({}, lambda label_map, _: _mask(np.isin(levels_of(label_map), chosen)))


def share(mask: bytes) -> float:
    """How much of a mask's picture is preserved."""
    return float((levels_of(mask) > 0).mean())


def _mask(kept: np.ndarray) -> bytes:
    return png(np.where(kept, 255, 0).astype(np.uint8))


def _is_model(path: pathlib.Path) -> bool:
    try:
        newest_version(path)
    except ValueError:
        return False
    return True


def _beside(option: str, folder: pathlib.Path, files: Sequence[File]) -> dict[pathlib.Path, pathlib.Path]:
    """The map of each picture. Raises UserError: a picture has none."""
    found = {file.path: folder / file.place.with_suffix(".png") for file in files}
    missing = [place for place in found.values() if not place.is_file()]
    if missing:
        count = f", {len(missing)} of {len(found)} are missing" if len(found) > 1 else ""
        raise UserError(f"{option} {shown(folder)}: no {shown(missing[0])}{count}; nothing was written")
    return found


def _table(path: pathlib.Path, theirs: Sequence[str], ours: Sequence[str]) -> np.ndarray:
    """For each level of maps with `theirs` the place in `ours`, or VOID: uint8 [256]."""
    if not theirs or not ours:
        return np.arange(256, dtype=np.uint8)
    found = [ours.index(name) if name in ours else VOID for name in theirs]
    if set(found) == {VOID}:
        raise UserError(f"--labels {shown(path)}: its classes ({', '.join(theirs)}) are none of the model's "
                        f"({', '.join(ours)})")  # fmt: skip
    return np.array(found + [VOID] * (256 - len(found)), np.uint8)
