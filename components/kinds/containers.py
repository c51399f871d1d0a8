"""Files of a folder or inside an archive, read one by one; nothing is unpacked to disk."""

import functools
import lzma
import os
import pathlib
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from components.kinds.files import DataError, printable

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz")
MAX_BYTES = 1 << 28  # of one file: hours of many leads, and an end to archives that unpack to terabytes
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)


class Member(NamedTuple):
    """One file: its path in the folder or archive, with "/"; its size in bytes; a function that reads it.

    The function raises OSError for whatever is wrong, and is valid until the next member is asked for.
    """

    path: str
    size_bytes: int
    read: Callable[[], bytes]


def is_archive(path: str) -> bool:
    """Whether a name is that of an archive that can be read."""
    return path.lower().endswith(ARCHIVES)


def members(place: str) -> Iterator[Member]:
    """The files of a folder, sorted by path (links to folders are not followed), or of an archive, in its order.

    Raises:
      DataError: the archive is damaged or encrypted.
    """
    if not is_archive(place) or os.path.isdir(place):
        yield from _folder(place)
        return
    try:
        yield from _zip(place) if place.lower().endswith(".zip") else _tar(place)
    except _DAMAGE as error:
        raise DataError(f"the archive {printable(place)!r} cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def _guarded(read: Callable[[], bytes]) -> bytes:
    """What `read` gives; whatever an archive raises becomes an OSError."""
    try:
        return read()
    except _DAMAGE as error:
        raise OSError(_reason(error)) from None


def _folder(root: str) -> Iterator[Member]:
    for folder, below, files in os.walk(root):
        below.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)

            try:
                size = os.path.getsize(path)
            except OSError:  # A link to nowhere: reading says so.
                size = 0
            yield Member(os.path.relpath(path, root).replace(os.sep, "/"), size, pathlib.Path(path).read_bytes)


def _zip(path: str) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                read = functools.partial(_guarded, functools.partial(archive.read, info))
                yield Member(info.filename, info.file_size, read)


def _tar(path: str) -> Iterator[Member]:
    with tarfile.open(path, "r|*") as archive:
        for info in archive:
            if info.isfile():
                read = functools.partial(_guarded, lambda info=info: archive.extractfile(info).read())
                yield Member(info.name.removeprefix("./"), info.size, read)
