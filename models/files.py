"""Files and folders that are written complete or not at all."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A path to write to, which takes the place of `path` when the block ends; if it fails, nothing is left of it.

    It has the name of `path`, in a folder of its own beside it, so that a writer who goes by the suffix, and a name of
    the greatest length, are served as well.

    Args:
      path: a file, which may exist, or a folder, which must not exist or must be empty. Its folder must exist.
    """
    path = pathlib.Path(path)
    folder = tempfile.mkdtemp(dir=path.parent, prefix=".part-")
    try:
        part = pathlib.Path(folder) / path.name
        yield part
        os.replace(part, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a file of UTF-8, complete or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
