"""Finds the recipes: every module below this folder whose source assigns RECIPE. Adding a system is adding a file."""

import difflib
import functools
import importlib
import pathlib
import re
from collections.abc import Mapping

from models.recipe import Recipe

_ASSIGNS = re.compile(r"^RECIPE\b.*=", re.MULTILINE)
_ROOT = pathlib.Path(__file__).parent


class RegistryError(LookupError):
    """No such recipe, two of one name, or a recipe's file that does not import."""


@functools.cache
def recipes() -> Mapping[str, Recipe]:
    """All recipes by name, in alphabetical order.

    Raises:
      RegistryError: two files register one name, a file does not import, or its RECIPE is none; the message names the
        files.
    """
    found: dict[str, Recipe] = {}
    for path in sorted(_ROOT.rglob("*.py")):
        if not _ASSIGNS.search(path.read_text(encoding="utf-8")):
            continue
        module = ".".join(("models", *path.relative_to(_ROOT).with_suffix("").parts))
        try:
            recipe = importlib.import_module(module).RECIPE
        except Exception as error:
            raise RegistryError(f"{path} does not import: {type(error).__name__}: {error}") from error
        if not isinstance(recipe, Recipe):
            raise RegistryError(f"{path}: RECIPE is an {type(recipe).__name__}, not a Recipe")
        if recipe.name in found:
            raise RegistryError(f"two recipes are named '{recipe.name}': {found[recipe.name].source} and {path}")
        found[recipe.name] = recipe
    return dict(sorted(found.items()))


def get(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
      RegistryError: unknown name; the message lists the known ones and the nearest.
    """
    known = recipes()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0)
        raise RegistryError(f"no recipe '{name}'; did you mean '{near[0]}'? There are: {', '.join(known)}")
    return known[name]
