"""What a folder of pictures holds, told without decoding any: the files, their contents' digests, their splits."""

import collections
import concurrent.futures
import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf
from etils import epath

from components.kinds.files import DataError, is_hidden, printable
from components.kinds.notes import Notes
from components.kinds.pictures.extensions import EXTENSIONS
from components.kinds.splits import split_of
from models.records.pictures import SPLITS

_NOTES = "pictures/1"
_BLOCK_BYTES = 1 << 20


class PictureFile(NamedTuple):
    """One file: its path relative to the folder, with "/"; SHA-256 of its content, hex; its size in bytes."""

    path: str
    digest: str
    size_bytes: int


class Folder(NamedTuple):
    """What `scan` found; every list is sorted by path.

    Attributes:
      pictures: one file for each content (the first path of equal files).
      duplicates: [{"path", "same_as"}]: files whose content is already in `pictures`.
      unreadable: [{"path", "reason"}]: files that could not be opened or are empty.
      ignored: how many other files there are, by extension; "hidden" for names that start with a dot, or folders named
        __MACOSX (a hidden folder counts once), "linked folder" for links to folders, which are not followed.
    """

    pictures: list[PictureFile]
    duplicates: list[dict[str, str]]
    unreadable: list[dict[str, str]]
    ignored: dict[str, int]

    @property
    def digest(self) -> str:
        """SHA-256, hex, over the paths, sizes and contents of all picture files, readable or not."""
        listed = [(p.path, p.size_bytes, p.digest) for p in self.pictures]
        listed += [(d["path"], d["same_as"]) for d in self.duplicates] + [(u["path"], "") for u in self.unreadable]
        return hashlib.sha256(repr(listed).encode(errors="surrogateescape")).hexdigest()


def files_by_split(found: Folder) -> dict[str, list[PictureFile]]:
    """The pictures of each split that has any; a split depends on a picture's content alone."""
    splits: dict[str, list[PictureFile]] = {name: [] for name in SPLITS}
    for file in found.pictures:
        splits[split_of(file.digest)].append(file)
    return {name: files for name, files in splits.items() if files}


def scan(folder: str) -> Folder:
    """Walks a folder and its sub-folders and reads every picture file once, in blocks, for its digest.

    Digests of files that did not change since are taken from notes (`components.kinds.notes`).

    Raises:
      DataError: there is no such folder, or not one picture file in it that can be opened.
    """
    if not folder or not tf.io.gfile.isdir(folder):
        kind = "is a file, not a folder" if folder and tf.io.gfile.exists(folder) else "does not exist"
        raise DataError(f"the folder of pictures {folder!r} {kind}")
    root = epath.Path(folder)
    ignored: collections.Counter[str] = collections.Counter()
    paths = sorted(_picture_paths(root, "", ignored))
    if not paths:
        others = ", ".join(f"{count} {kind}" for kind, count in ignored.most_common(5)) or "nothing"
        raise DataError(f"no PNG, JPEG, WebP or BMP picture in {folder!r} (it holds {others})")
    with Notes(folder, _NOTES) as notes, concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        found = list(pool.map(lambda path: _inspect(root, path, notes), paths))
    first: dict[str, PictureFile] = {}
    duplicates = []
    for file in (f for f in found if isinstance(f, PictureFile)):
        if first.setdefault(file.digest, file) is not file:
            duplicates.append({"path": printable(file.path), "same_as": printable(first[file.digest].path)})
    unreadable = [f for f in found if isinstance(f, dict)]
    if not first:
        raise DataError(f"no picture in {folder!r} can be read: {unreadable[0]['path']}: {unreadable[0]['reason']}")
    return Folder(list(first.values()), duplicates, unreadable, dict(sorted(ignored.items())))


def _picture_paths(root: epath.Path, below: str, ignored: collections.Counter[str]) -> Iterator[str]:
    """Relative paths of the picture files in `root / below` and deeper; counts all other files in `ignored`."""
    for entry in (root / below).iterdir():
        path = f"{below}/{entry.name}" if below else entry.name
        if is_hidden(entry.name):
            ignored["hidden"] += 1
        elif entry.is_dir():
            if os.path.islink(entry):
                ignored["linked folder"] += 1
            else:
                yield from _picture_paths(root, path, ignored)
        elif entry.suffix.lower() in EXTENSIONS and (entry.is_file() or os.path.islink(entry)):
            yield path
        else:
            ignored[entry.suffix.lower() or "no extension"] += 1


def _inspect(root: epath.Path, path: str, notes: Notes) -> PictureFile | dict[str, str]:
    """Reads one file for its digest; a file that cannot be read, or is empty, gives {"path", "reason"}."""
    try:
        digest, size = notes.of(path, lambda: _digest(root / path))
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
        return {"path": printable(path), "reason": f"cannot be opened: {reason}"}
    if not size:
        return {"path": printable(path), "reason": "the file is empty"}
    return PictureFile(path, digest, size)


def _digest(path: epath.Path) -> list:
    """[SHA-256 of the content, hex; size in bytes]."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return [digest.hexdigest(), size]
