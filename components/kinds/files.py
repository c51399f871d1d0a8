"""Names of a user's files, whatever bytes they are made of; and the error that says what is wrong with the data."""

import os

from models.contract.errors import KompaktError

_JUNK = ("__MACOSX",)  # what archives of macOS carry beside their files


class DataError(KompaktError, ValueError):
    """Data that cannot be used as it was asked for; the text is one line that says what is wrong and what to do."""


def is_hidden(path: str) -> bool:
    """Whether a relative path, with "/", is that of a hidden file, one in a hidden folder, or one of macOS's own."""
    return any(part.startswith(".") or part in _JUNK for part in path.split("/"))


def bytes_of_path(path: str) -> bytes:
    """A path in the bytes of the file system, which need not be text; Beam cannot carry such a path as `str`."""
    return os.fsencode(path)


def path_of_bytes(path: bytes) -> str:
    """The inverse of `bytes_of_path`."""
    return os.fsdecode(path)


def printable(path: str) -> str:
    """A path as text that can be written as UTF-8: bytes of a name that are not become escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
