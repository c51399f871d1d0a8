"""Notes about a user's files (digests, headers), kept so that files which did not change need not be read again.

A file counts as unchanged while its size, its times of modification and of change, and its inode stay: the time of
change moves with every write and cannot be set. Git decides so too. Notes of files that changed a moment before are not
kept, since another write within the clock's step would not show.
"""

import hashlib
import json
import logging
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import platformdirs

from models.files import write_text

_STEP_NS = 2_000_000_000  # coarsest clock of a file system in use
_FORM = 1  # of the file of notes; what another form says is forgotten


class Notes:
    """Notes of the files of one place, by path; a context manager, which saves them at its end.

    The notes lie in the user's cache, or in the folder KOMPAKT_CACHE. Where that cannot be written nothing is kept, and
    everything is read again.
    """

    def __init__(self, place: str | os.PathLike, what: str):
        """Opens the notes of a place.

        Args:
          place: folder or file. what: kind of the notes with their version, such as "pictures/1".
        """
        self._root = os.path.abspath(place)
        name = hashlib.sha256(f"{_FORM}\0{what}\0{self._root}".encode(errors="surrogateescape")).hexdigest()
        cache = pathlib.Path(os.environ.get("KOMPAKT_CACHE") or platformdirs.user_cache_dir("kompakt"))
        self._file = cache / "notes" / f"{name[:32]}.json"
        self._old = self._load()
        self._new: dict[str, list] = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._save()

    def of(self, path: str, make: Callable[[], Any]) -> Any:
        """The note of a file (relative to the place, "" for the place itself): the one kept, else what `make` gives.

        What `make` gives must be JSON, lists and not tuples, so that it is the same when it was kept. What it raises is
        raised, and nothing kept.
        """
        before = self._stamp(path)
        kept = self._old.get(path)
        if before and kept and kept[0] == before:
            self._new[path] = kept
            return kept[1]
        made = make()
        if before and before == self._stamp(path) and time.time_ns() - max(before[1:3]) > _STEP_NS:
            self._new[path] = [before, made]
        return made

    def _stamp(self, path: str) -> list[int] | None:
        """Size, times and inode of a file of this machine; None of any other."""
        try:
            found = os.stat(os.path.join(self._root, path) if path else self._root)
        except (OSError, ValueError):
            return None
        return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]

    def _load(self) -> dict[str, list]:
        try:
            found = json.loads(self._file.read_text(encoding="ascii"))
        except (OSError, ValueError):  # none yet, or one that was damaged
            return {}
        return found if isinstance(found, dict) else {}

    def _save(self) -> None:
        if self._new == self._old:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._file, json.dumps(self._new, separators=(",", ":")))
        except OSError as error:
            logging.getLogger(__name__).info("no notes are kept of %s: %s", self._root, error)
