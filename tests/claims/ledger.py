"""Finished runs of an experiment: a JSON line each, with what it came from; what is there is not done again."""

import hashlib
import json
import os
import pathlib
import subprocess
import types
from collections.abc import Mapping
from typing import Any

import click

_ROOT = pathlib.Path(__file__).parents[2]


class VersionError(click.ClickException):
    """Lines of one file come from several versions of a script, so that they cannot be compared."""


def folder_of(work: str | os.PathLike, short: bool) -> pathlib.Path:
    """Where records and states of runs of one length are."""
    return pathlib.Path(work) / ("short" if short else "long")


class Ledger:
    """The lines of a file; `done` has them by their keys.

    Each has `commit` (with "+" where files differed from it), `script` (digest of the scripts that made it), `config`
    (digest of its options) and `seconds` beside its keys and its figures.
    """

    def __init__(
        self, path: str | os.PathLike, keys: tuple[str, ...], *scripts: types.ModuleType, short: bool | None = None
    ):
        """
        Args:
          path: of the file, which need not be there; a line that an interruption cut off at its end is taken away.
          keys: names of the fields that tell runs apart.
          scripts: the modules that decide what a run does and what is measured.
          short: whether this is but a look, with fewer steps; None only reads the lines, or has one length.

        Raises:
          VersionError: the file holds lines of another version of the scripts, or of another length.
        """
        self.path, self.keys = pathlib.Path(path), keys
        self.script = digest(*(pathlib.Path(script.__file__).read_text(encoding="utf-8") for script in scripts))
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []
        if lines and not lines[-1].endswith("\n"):
            whole = "".join(lines := lines[:-1])
            part = self.path.with_name(self.path.name + ".part")
            part.write_text(whole, encoding="utf-8")
            part.replace(self.path)
        rows = [json.loads(line) for line in lines]
        if others := [row for row in rows if row.get("script") != self.script]:
            raise VersionError(
                f"{self.path}: {len(others)} of {len(rows)} lines are of another version of the script; "
                "a page is made from one: move the file away, or go back to that version"
            )
        if short is not None and any(row.get("short") != short for row in rows):
            raise VersionError(f"{self.path}: short runs and long ones do not mix: give each a file")
        self.length = {} if short is None else {"short": short}
        self.done = {tuple(row[key] for key in keys): row for row in rows}

    def add(self, options: Mapping[str, Any], seconds: float, **figures: Any) -> dict[str, Any]:
        """Writes a finished run's line and returns it; `figures` hold its keys."""
        made = {"commit": commit(), "script": self.script, "config": digest(json.dumps(options, sort_keys=True))}
        row = figures | self.length | made | {"seconds": round(seconds, 1)}
        key = tuple(row[name] for name in self.keys)
        line = json.dumps(row) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
        self.done[key] = json.loads(line)
        return row


def digest(*texts: str) -> str:
    """Twelve hexadecimal digits."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def commit() -> str:
    """Of the sources: nine digits, "+" behind them where tracked files differ; empty where there is no history."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=9", "HEAD") + "+" * bool(git("status", "--porcelain", "-uno"))
    except (OSError, subprocess.CalledProcessError):
        return ""
