"""What an output folder holds that neither a pushed model nor the newest run needs, and its removal."""

import collections
import os
import pathlib
import shutil
import time
from collections.abc import Iterable, Sequence

from ml_metadata.proto import metadata_store_pb2 as pb

from components.serving import released_model
from models.publishing import released
from pipeline.runners import history, local

_IN_USE = 3600  # seconds for which a released model's served form counts as in use


def of_run_folder(out: pathlib.Path, store) -> list[pathlib.Path]:
    """What `remove` may take of an output folder, while it is held (`local.locked`).

    Kept is what the runs gave and took whose models are still in their serving folders, and of each pipeline the newest
    run and the newest that came to its end; trainings that the newest run may go on with. Serving folders, reports and
    the record of the runs are never among what is given.

    Raises:
      RunError: the folder was moved, so that the record does not tell what is needed.
    """
    out = out.resolve()
    root = out / "artifacts"
    runs = history.read(store)
    uris = [_place(a) for a in store.get_artifacts() if a.uri]
    if uris and not any(uri.is_relative_to(root) for uri in uris):
        raise local.RunError(f"{out}: its record names {uris[-1]}; was the folder moved? Nothing was removed")
    kept = {_place(a) for run in _needed(runs) for a in run.artifacts}
    # Where TFX puts an artifact: root / step / output / number of the execution.
    found = [path for path in root.glob("*/*/*") if path.parent.name != ".system" and path not in kept]
    found += root.glob("*/.system")
    found += [path for path in out.glob(".part-*") if path.is_dir()]  # of a process that was killed
    newest = {run.pipeline: run.began for run in reversed(runs)}
    begun = min(newest.values(), default=float("-inf"))
    found += [path for path in (out / "training").glob("*") if _newest_change(path) < begun]
    return sorted(path for path in found if _inside(path, out))


def of_released_models() -> list[pathlib.Path]:
    """Served forms of released models that the code of now does not use and that no process has used for an hour."""
    found = []
    for name in released.names():
        current = released_model.folder_of(name)
        forms = current.parent.iterdir() if current.parent.is_dir() else ()
        found += [path for path in forms if path != current and time.time() - path.stat().st_mtime > _IN_USE]
    return sorted(found)


def remove(paths: Iterable[pathlib.Path], store=None) -> None:
    """Removes folders; first the record says that they are gone, so that the cache does not answer with them.

    Args:
      store: the metadata store of the output folder, if they are of one.
    """
    paths = set(paths)
    if store:
        gone = [a for a in store.get_artifacts() if _place(a) in paths]
        for artifact in gone:
            artifact.state = pb.Artifact.DELETED
        store.put_artifacts(gone)
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def freed(paths: Iterable[pathlib.Path]) -> int:
    """Bytes that go with folders; a file that has another name outside them (a hard link) stays."""
    names, facts = collections.Counter(), {}
    for path in paths:
        for file in (path, *path.rglob("*")) if path.is_dir() and not path.is_symlink() else (path,):
            about = file.lstat()
            if not file.is_dir():
                names[about.st_ino, about.st_dev] += 1
                facts[about.st_ino, about.st_dev] = about
    return sum(about.st_size for key, about in facts.items() if names[key] >= about.st_nlink)


def _needed(runs: Sequence[history.Run]) -> list[history.Run]:
    """Runs whose models are served, the newest of each pipeline, and the newest of each that came to its end."""
    found = [run for run in runs if run.pushed and os.path.isdir(run.pushed)]
    for pipeline in {run.pipeline for run in runs}:
        own = [run for run in runs if run.pipeline == pipeline]
        found += own[:1] + [run for run in own if run.state in ("pushed", "not blessed")][:1]
    return found


def _place(artifact: pb.Artifact) -> pathlib.Path:
    return pathlib.Path(artifact.uri).resolve()


def _newest_change(path: pathlib.Path) -> float:
    return max(file.lstat().st_mtime for file in (path, *path.rglob("*")))


def _inside(path: pathlib.Path, out: pathlib.Path) -> bool:
    """Whether a path lies in the folder itself, not behind a link that leads out of it."""
    return path.parent.resolve().is_relative_to(out) and path.parent.resolve() == path.parent
