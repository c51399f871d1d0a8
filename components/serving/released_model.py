"""The served form of released weights, made once and kept in the user's cache (or in the folder KOMPAKT_CACHE)."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import time

import platformdirs

from components import closure
from models.contract import registry
from models.files import replacing
from models.publishing import released

_KEPT_DAYS = 30  # unused, after which a served form that no longer follows the code is removed


def folder_of(name: str) -> pathlib.Path:
    """Where the served form of released weights is kept: a folder that follows the weights and the code that makes it.

    Raises:
      ReleaseError: no such weights, or the file is damaged.
    """
    path = released.path_of(name)
    about = released.describe(path)
    recipes = {about["recipe"]} | registry.named_in(about["config"])
    code = closure.digest("models.publishing.released", "models.publishing.export", names=recipes)
    made_of = hashlib.sha256(path.read_bytes() + code.encode())
    cache = pathlib.Path(os.environ.get("KOMPAKT_CACHE") or platformdirs.user_cache_dir("kompakt"))
    return cache / name / made_of.hexdigest()[:16]


def is_prepared(name: str) -> bool:
    """Whether the served form of released weights is there already. Raises ReleaseError as `folder_of`."""
    return (folder_of(name) / "saved_model.pb").is_file()


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
        with contextlib.suppress(OSError):  # a cache may be read-only
            os.utime(target)
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_unused(target.parent)
        with replacing(target) as part:
            announce(f"preparing the released model '{name}', once (about 40 seconds) ...")
            from models.publishing.export import export

            export(*released.unpack(released.path_of(name)), str(part))
    except OSError as error:
        if not (target / "saved_model.pb").is_file():  # else another process was faster
            cache = target.parent.parent
            raise released.ReleaseError(
                f"the cache {cache} cannot be written ({error.strerror}); set KOMPAKT_CACHE to another folder"
            ) from error
    return target


def _remove_unused(folder: pathlib.Path) -> None:
    """Removes what was not used for long: forms that earlier code or weights made, and what a killed process left."""
    for path in folder.iterdir():
        if time.time() - path.stat().st_mtime > _KEPT_DAYS * 86400:
            shutil.rmtree(path, ignore_errors=True)
