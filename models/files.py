"""Files and folders that are written complete or not at all, and by one process at a time."""

import contextlib
import fcntl
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


@contextlib.contextmanager
def held(path: str | os.PathLike, said: str = "") -> Iterator[None]:
    """Holds a lock for one process at a time; the system lets go of it even after a kill. The file goes at the end.

    Args:
      path: of the lock, a file of its own: on a network's volume a folder cannot be locked. Its folder must exist.
      said: printed if another process has to be waited for.
    """
    while True:
        file = open(path, "a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if said:
                print(said, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                break
        file.close()  # who held it took the file away: the lock is another one by now
    with file:
        try:
            yield
        finally:
            os.unlink(path)
