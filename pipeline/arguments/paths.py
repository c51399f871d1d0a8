"""Paths that commands are given: of this machine, written as text, and of folders that can be made."""

import contextlib
import os
import pathlib
import re
import tempfile

import click

from pipeline.arguments.errors import UserError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_PATTERN = re.compile(r"[*?\[\]\\]")  # TensorFlow and Beam take paths with one of these for patterns


class _LocalPath(click.Path):
    """A path of this machine. `pathlib` would make a folder `gs:` of an address, and `.` of nothing."""

    def convert(self, value, param, ctx):
        text = os.fspath(value)
        if not text:
            self.fail("the path is empty", param, ctx)
        if _ADDRESS.match(text):
            self.fail(f"{text} is an address; wanted is a path of this machine (mount or copy it)", param, ctx)
        return super().convert(value, param, ctx)


PATH = _LocalPath(path_type=pathlib.Path)


def shown(path: str | os.PathLike) -> str:
    """A path as text that every terminal takes: bytes of a name that are no UTF-8 become escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def must_be_writable(option: str, folder: pathlib.Path) -> None:
    """Finds out by trying whether a folder can be made and written, and leaves nothing.

    Args:
      option: that gave the folder, for the message.

    Raises:
      UserError: the folder cannot be made, or not be written.
    """
    made = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    if os.path.isfile(folder):  # no path is too long for it
        raise UserError(f"{option} {shown(folder)}: is a file; wanted is a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"{option} {shown(folder)}: cannot be written ({error.strerror})") from error
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # not made, or in use by another process by now
                path.rmdir()


def must_be_text(option: str, path: pathlib.Path) -> None:
    """Raises UserError for a path that is not UTF-8, which no step of a pipeline could be told."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{option} {shown(path)}: the path is not UTF-8") from error


def must_be_plain(option: str, path: pathlib.Path) -> None:
    """Raises UserError for a path to which the libraries of a pipeline cannot write what they read again."""
    must_be_text(option, path)
    if found := _PATTERN.search(os.fspath(path)):
        raise UserError(f"{option} {path}: TensorFlow and Beam take a path with '{found.group()}' for a pattern; "
                        "choose another")  # fmt: skip
