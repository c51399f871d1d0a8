"""Finds things that are a file each in a folder of their own, by the file's name."""

import difflib
import importlib
import pkgutil
import types


def names_in(package: types.ModuleType) -> list[str]:
    """Names of the modules of a package, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg)


def find(package: types.ModuleType, name: str, what: str) -> types.ModuleType:
    """The module of that name in a package.

    Args:
      what: what such a module holds, for the message.

    Raises:
      LookupError: there is none; the message lists those there are and the nearest.
    """
    known = names_in(package)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0)
        nearest = f" (nearest: {near[0]})" if near else ""
        raise LookupError(f"no {what} '{name}'; there are {', '.join(known)}{nearest}")
    return importlib.import_module(f"{package.__name__}.{name}")
