"""Finds things that are a file each in a folder, or a folder in that, by the file's name."""

import difflib
import importlib
import pkgutil
import types


def names_in(package: types.ModuleType) -> list[str]:
    """Names of the modules of a package and of packages in it, sorted."""
    return sorted(_places(package))


def _places(package: types.ModuleType) -> dict[str, str]:
    """Where each module is below the package, dotted, by its name."""
    below = f"{package.__name__}."
    modules = [m.name for m in pkgutil.walk_packages(package.__path__, below) if not m.ispkg]
    return {name.rpartition(".")[2]: name.removeprefix(below) for name in modules}


def find(package: types.ModuleType, name: str, what: str) -> types.ModuleType:
    """The module of that name in a package.

    Args:
      what: what such a module holds, for the message.

    Raises:
      LookupError: there is none; the message lists those there are and the nearest.
    """
    places = _places(package)
    if name not in places:
        near = difflib.get_close_matches(name, places, 1, 0)
        nearest = f" (nearest: {near[0]})" if near else ""
        raise LookupError(f"no {what} '{name}'; there are {', '.join(sorted(places))}{nearest}")
    return importlib.import_module(f"{package.__name__}.{places[name]}")
