"""Labels of recordings: the challenge's REFERENCE files of any version, or a labels.csv of the user's own."""

import csv
import io
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from components.kinds.files import DataError
from components.kinds.recordings.recordings import SUFFIXES
from models.records.pictures import SPLITS

GROUP_COLUMNS = ("group", "patient", "person", "subject", "clip")  # the first that is there says who
_REFERENCE = re.compile(r"reference(-.*)?\.csv$", re.IGNORECASE)


class Label(NamedTuple):
    """What is said of a recording.

    Attributes:
      name: of its class, "" if it has none. split: that is asked for, "" if none is.
      group: whom it is of, "" if nobody says; recordings of one group fall into one split.
    """

    name: str
    split: str = ""
    group: str = ""


class Labels(NamedTuple):
    """Label by record (a name, or a path without extension), and the name of the file that they come from."""

    of: dict[str, Label]
    version: str


def is_label_file(path: str) -> bool:
    """Whether a file, by its name, holds labels."""
    name = os.path.basename(path).lower()
    return name == "labels.csv" or bool(_REFERENCE.match(name))


def choose(files: Mapping[str, bytes]) -> Labels:
    """The labels of the best file: labels.csv, then REFERENCE-v3.csv, then the newest version.

    REFERENCE.csv counts as version 2 and REFERENCE-original.csv as version 1, which is what they are in the challenge.
    Files of one version in several folders are read together.

    Args:
      files: path -> content.

    Raises:
      DataError: a line that cannot be read, or two labels for one record.
    """
    if not files:
        return Labels({}, "")
    best = max(_rank(path) for path in files)
    found: dict[str, Label] = {}
    for path in sorted(path for path in files if _rank(path) == best):
        for record, label in _read(path, files[path]):
            if found.setdefault(record, label) != label:
                raise DataError(f"{path}: {record} has two labels, {found[record].name!r} and {label.name!r}")
    return Labels(found, os.path.basename(min(p for p in files if _rank(p) == best)))


def _rank(path: str) -> tuple[int, int]:
    name = os.path.basename(path).lower()
    if name == "labels.csv":
        return 2, 0
    version = re.search(r"-v(\d+)\.csv$", name)
    number = int(version.group(1)) if version else 2 if name == "reference.csv" else int("original" in name)
    return (1, 0) if number == 3 else (0, number)


def _read(path: str, content: bytes):
    """(record, Label) of each line of one file."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file") from None
    named = os.path.basename(path).lower() == "labels.csv"
    rows = csv.reader(io.StringIO("\n".join(lines)))
    columns = [name.strip().lower() for name in next(rows, [])] if named else ["record", "label"]
    if not {"record", "label"} <= set(columns):
        raise DataError(f"{path}: the first line must name the columns record and label (it says {','.join(columns)})")
    who = next((name for name in GROUP_COLUMNS if name in columns), "")
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        if "label" not in cells or not cells["record"] or not named and len(row) != 2:
            raise DataError(f"{path}, line {rows.line_num}: wanted is {','.join(columns)}, got {','.join(row)[:60]!r}")
        split = cells.get("split", "")
        if "split" in columns and split not in SPLITS:
            raise DataError(f"{path}, line {rows.line_num}: the split is {split!r}, not one of {', '.join(SPLITS)}")
        yield _record(cells["record"]), Label(cells["label"], split, cells.get(who, ""))


def _record(text: str) -> str:
    """Name of a record without the extension that some people write."""
    stem, suffix = os.path.splitext(text)
    return stem if suffix.lower() in SUFFIXES else text
