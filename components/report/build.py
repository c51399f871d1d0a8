"""Writes the page's files, completes them with the times of the steps, rebuilds them from their numbers."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from components.report import page
from models.files import write_text


def write(data: Mapping[str, Any], path: pathlib.Path) -> pathlib.Path:
    """Writes a page (`path`, ending in .html) and beside it its numbers (.json); returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    html = page.render(data)
    write_text(path.with_suffix(".json"), json.dumps(data, indent=1))
    write_text(path, html)
    return path


def load(folder: pathlib.Path) -> dict[str, Any]:
    """The numbers of a report.

    Raises:
      FileNotFoundError: the folder holds no report.json.
      ValueError: it is no report.
    """
    path = pathlib.Path(folder) / "report.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no report.json here; give the --out folder of a run that has ended")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not the numbers of a report ({error})") from error
    if not isinstance(data, dict) or "recipe" not in data:
        raise ValueError(f"{path}: not the numbers of a report")
    return data


def finish(report_uri: str, path: str | os.PathLike, steps: Sequence[Mapping[str, Any]]) -> pathlib.Path:
    """Completes the page of a Report artifact with the steps of the run and writes it where a person looks for it.

    Args:
      report_uri: the artifact's folder.
      path: of the page (OUT/report.html); its numbers go beside it (OUT/report.json).
      steps: as for `dag.draw`: "name", "seconds", "state", "upstream".

    Returns:
      Path of the page.
    """
    return write(load(pathlib.Path(report_uri)) | {"steps": list(steps)}, pathlib.Path(path))


def rebuild(run: str | os.PathLike) -> pathlib.Path:
    """Draws `report.html` of a run's folder anew from its `report.json`. Raises as `load` does."""
    return write(load(pathlib.Path(run)), pathlib.Path(run) / "report.html")
