"""Finds the recipes: every module below models/ whose source assigns RECIPE. Adding a system is adding a file."""

import ast
import difflib
import functools
import importlib
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from models.contract.errors import KompaktError
from models.contract.recipe import Recipe

_ASSIGNS = re.compile(r"^RECIPE\b.*=", re.MULTILINE)
_WORD = re.compile(r"[\w-]+")
_NAMED = re.compile(r"^RECIPE\b[^=]*= Recipe\(\s*name=[\"']([\w-]+)[\"']", re.MULTILINE)
_ROOT = pathlib.Path(__file__).parent.parent


class RegistryError(KompaktError, LookupError):
    """No such recipe, two of one name, or a recipe's file that does not import."""


class Headline(NamedTuple):
    """What is told of a recipe in a list; its family is the room where its file lies."""

    name: str
    family: str
    data: str
    presets: tuple[str, ...]
    summary: str


def _sources(root: pathlib.Path) -> Iterator[tuple[pathlib.Path, str]]:
    """The files below `root` that assign RECIPE, with their texts."""
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if _ASSIGNS.search(text):
            yield path, text


def headlines() -> list[Headline]:
    """What a list shows of all recipes, by name.

    It is read from the sources, which takes no libraries and no seconds, as long as each says plainly what is wanted.

    Raises:
      RegistryError: as `recipes`.
    """
    try:
        return sorted(_headline(path, text) for path, text in _sources(_ROOT))
    except (SyntaxError, ValueError, KeyError, AttributeError):
        return [Headline(r.name, _family(r.source), r.data, tuple(r.presets), r.summary) for r in recipes().values()]


@functools.cache
def modules(root: pathlib.Path = _ROOT) -> dict[str, str]:
    """The recipes' modules with the recipes' names, read from the sources; "" for a name that is not said plainly."""
    return {
        ".".join((root.name, *path.relative_to(root).with_suffix("").parts)): "".join(_NAMED.findall(text)[:1])
        for path, text in _sources(root)
    }


def named_in(options: Mapping[str, Any]) -> set[str]:
    """The recipes whose names stand as words in the text options of a configuration."""
    words = {word for value in options.values() if isinstance(value, str) for word in _WORD.findall(value)}
    return words & set(modules().values())


def _family(path: str | pathlib.Path) -> str:
    room = pathlib.Path(path).resolve().parent.relative_to(_ROOT.resolve())
    return room.parts[0] if room.parts else ""


def _headline(path: pathlib.Path, source: str) -> Headline:
    """Raises ValueError, KeyError or AttributeError where the source does not say it plainly."""
    assigned = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    (call,) = (node.value for node in assigned if getattr(node.targets[0], "id", "") == "RECIPE")
    said = {keyword.arg: keyword.value for keyword in call.keywords}
    name, summary = (ast.literal_eval(said[key]) for key in ("name", "summary"))
    data = ast.literal_eval(said["data"]) if "data" in said else Recipe.data
    return Headline(name, _family(path), data, tuple(ast.literal_eval(key) for key in said["presets"].keys), summary)


@functools.cache
def recipes() -> Mapping[str, Recipe]:
    """All recipes by name, in alphabetical order.

    Raises:
      RegistryError: two files register one name, a file does not import, or its RECIPE is none; the message names the
        files.
    """
    found: dict[str, Recipe] = {}
    for path, _ in _sources(_ROOT):
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
