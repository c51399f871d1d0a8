"""The served form of released weights, made once and kept in the user's cache (or in the folder KOMPAKT_CACHE)."""

import hashlib
import os
import pathlib
import shutil
import tempfile

import platformdirs

import models
from models.publishing import released


def folder_of(name: str) -> pathlib.Path:
    """Where the served form of released weights is kept: a folder that follows the weights and this code.

    Raises:
      ReleaseError: no such weights.
    """
    made_of = hashlib.sha256()
    for path in (released.path_of(name), *sorted(pathlib.Path(models.__file__).parent.rglob("*.py"))):
        made_of.update(path.read_bytes())
    cache = pathlib.Path(os.environ.get("KOMPAKT_CACHE") or platformdirs.user_cache_dir("kompakt"))
    return cache / name / made_of.hexdigest()[:16]


def directory_of(name: str, announce=lambda text: None) -> pathlib.Path:
    """The SavedModel of released weights; the first call makes it.

    Args:
      name: one of `released.names()`.
      announce: called with a line for the user before what takes long.

    Raises:
      ReleaseError: no such weights, the file is damaged, or the cache cannot be written.
    """
    target = folder_of(name)
    if (target / "saved_model.pb").is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = tempfile.mkdtemp(dir=target.parent, prefix="partial-")
    except OSError as error:
        cache = target.parent.parent
        raise released.ReleaseError(
            f"the cache {cache} cannot be written ({error.strerror}); set KOMPAKT_CACHE to another folder"
        ) from error
    announce(f"preparing the released model '{name}', once (about 40 seconds) ...")
    try:
        from models.publishing.export import export

        export(*released.unpack(released.path_of(name)), os.path.join(work, "model"))
        if not target.exists():  # another process may have been faster
            os.replace(os.path.join(work, "model"), target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target
