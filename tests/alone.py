"""A Python that sees packages and nothing of this project, as whoever uses a pushed model has it."""

import os
import pathlib
import sys


def command(code: str, *arguments: str | os.PathLike) -> list[str]:
    """The command that runs code so; packages may have come by PYTHONPATH, which -I leaves out, as Bazel's do."""
    packages = [entry for entry in sys.path if entry and not (pathlib.Path(entry) / "components").is_dir()]
    return [sys.executable, "-I", "-c", f"import sys; sys.path += {packages!r}\n{code}", *map(os.fspath, arguments)]
