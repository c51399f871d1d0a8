"""The code that a step runs, as a digest: its module with all of ours that it imports, and the files that they read.

Nothing is imported for it: the sources are parsed. Of a module count its packages, every import in it, those within
functions included, and what its texts name: one of our modules ("components.training.trainer.run_fn"), or a file beside
the module or in the folder above ("page.css").

What a module finds at run time is taken from the same texts: `import_module(f"components.datasets.{name}.builder")` may
be any module of that pattern (which may begin with `{__package__}`), the registry's may be any recipe. Of such
candidates those count that the caller names; if it names none of them, all. A package that holds nothing itself and is
imported by its own name is there to be searched: all of it counts, and `import_module(f"{package.__name__}.{name}")`
elsewhere adds nothing. Of any other computed import all counts that lies in the module's folder and below.
"""

import ast
import functools
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from models.contract import registry

ROOT = pathlib.Path(__file__).resolve().parent.parent
OWN = ("pipeline", "components", "tuning", "models")
_REGISTRY = registry.__name__
_DOTTED = re.compile(rf"(?<![\w./-])(?:{'|'.join(OWN)})(?:\.\w+)+")
_FILE = re.compile(r"[\w-]+(\.[\w-]+)+")
_LOADERS = ("import_module", "__import__")


class _Read(NamedTuple):
    """What a source says: dotted names that it imports or names, of them those that it binds; texts that may be files;
    patterns; whether it imports what only running it would tell; and whether it is nothing but a docstring."""

    names: tuple[str, ...]
    bound: tuple[str, ...]
    texts: tuple[str, ...]
    patterns: tuple[str, ...]
    computed: bool
    empty: bool


def digest(*modules: str, names: Collection[str] = ()) -> str:
    """Sixteen hexadecimal digits that follow the names and contents of `files(*modules, names=names)`."""
    contents = [(path, hashlib.sha256(_bytes(path)).hexdigest()) for path in files(*modules, names=names)]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]


def files(*modules: str, names: Collection[str] = ()) -> list[str]:
    """The files of the modules' closure, relative to the project, sorted.

    Args:
      modules: dotted names of ours. names: recipes, data sets and others that the step finds by a name.

    Raises:
      FileNotFoundError: no such module.
    """
    for module in modules:
        if not _file(module):
            raise FileNotFoundError(f"no module {module}")
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [package for module in modules for package in _prefixes(module)]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        path = _file(module)
        if path is None or path in found:
            continue
        found.add(path)
        read = _read(_bytes(path).decode())
        folder = os.path.dirname(path)
        beside = [os.path.join(f, text) for text in read.texts for f in (folder, os.path.dirname(folder))]
        beside = [file for file in beside if os.path.isfile(ROOT / file)]
        found |= {file for file in beside if not file.endswith(".py")}
        waiting += [_module(file) for file in beside if file.endswith(".py")]
        waiting += [m for name in read.names for m in _prefixes(_absolute(name, path))]
        waiting += [m for c in _found_at_run_time(module, path, read) for m in _named(c, names)]
        waiting += [m for name in read.bound for m in _searched(_absolute(name, path))]
    return sorted(found)


def modules_of(component: Any) -> tuple[str, ...]:
    """Our modules that a TFX component runs: its executor's, and those that its parameters name ("...run_fn")."""
    executor = getattr(component.executor_spec, "executor_class", None)
    found = {executor.__module__} if executor and executor.__module__.partition(".")[0] in OWN else set()
    for value in component.exec_properties.values():
        for name in _DOTTED.findall(value) if isinstance(value, str) else ():
            found |= set([m for m in _prefixes(name) if _file(m)][-1:])
    return tuple(sorted(found))


def _bytes(path: str) -> bytes:
    return (ROOT / path).read_bytes()


def _file(module: str) -> str | None:
    """The file of a module of ours, relative to the project."""
    if module.partition(".")[0] not in OWN:
        return None
    path = module.replace(".", "/")
    return next((file for file in (f"{path}.py", f"{path}/__init__.py") if os.path.isfile(f"{ROOT}/{file}")), None)


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _below(folder: str) -> list[str]:
    """All modules of a folder and below."""
    return [_module(path.relative_to(ROOT).as_posix()) for path in (ROOT / folder).rglob("*.py")]


def _prefixes(name: str) -> list[str]:
    """A dotted name's packages, and itself: all are run when it is imported; what is no module is passed over."""
    parts = name.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def _absolute(name: str, path: str) -> str:
    """A name as `_imported` gives it, without the dots that a relative import begins with."""
    level = len(name) - len(name.lstrip("."))
    folders = path.split("/")[:-1]
    package = folders[: len(folders) - level + 1] if level else ()
    return ".".join(filter(None, (*package, name.lstrip("."))))


def _found_at_run_time(module: str, path: str, read: _Read) -> Iterator[dict[str, set[str]]]:
    """For each import by a computed name the modules that it may be, with the names by which they are found."""
    if module == _REGISTRY:
        yield {m: {name} for m, name in registry.modules(ROOT / "models").items()}
        return
    for pattern in read.patterns:
        if pattern.startswith("\\."):
            pattern = re.escape(os.path.dirname(path).replace("/", ".")) + pattern
        modules = {module: re.fullmatch(pattern, module) for module in _below(re.match(r"\w+", pattern)[0])}
        yield {m: set(matched.groups()) for m, matched in modules.items() if matched}
    if read.computed:
        yield {module: {""} for module in _below(os.path.dirname(path))}


def _searched(package: str) -> list[str]:
    """All modules of a package that holds nothing itself; [] for anything else."""
    path = _file(package)
    if path is None or not path.endswith("__init__.py") or not _read(_bytes(path).decode()).empty:
        return []
    return _below(os.path.dirname(path))


def _named(candidates: dict[str, set[str]], names: Collection[str]) -> list[str]:
    """Of candidates those that are named, or whose name is unknown, with their packages; if none is named, all."""
    wanted = [module for module, found_by in candidates.items() if found_by & set(names)]
    wanted = [*wanted, *(m for m, found_by in candidates.items() if "" in found_by)] if wanted else list(candidates)
    return [m for module in wanted for m in _prefixes(module)]


@functools.lru_cache(maxsize=1024)
def _read(source: str) -> _Read:
    names, bound, texts, patterns, computed = [], [], [], [], False
    tree = ast.parse(source)
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imported = _imported(node)
            bound += imported
            names += imported if isinstance(node, ast.Import) else [_origin(node), *imported]
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and _FILE.fullmatch(node.value):
                texts.append(node.value)
        elif isinstance(node, ast.If) and _last(node.test) == "TYPE_CHECKING":
            waiting += node.orelse  # the rest is never run
        else:
            if isinstance(node, ast.JoinedStr):
                patterns += _pattern(node)
            elif isinstance(node, ast.Call):
                computed = computed or _is_computed_import(node)
            waiting += ast.iter_child_nodes(node)
    names += [text for text in texts if _DOTTED.fullmatch(text)]
    empty = len(tree.body) <= (ast.get_docstring(tree) is not None)
    return _Read(tuple(names), tuple(bound), tuple(texts), tuple(patterns), computed, empty)


def _last(node: ast.AST) -> str:
    """The last part of a dotted name."""
    return getattr(node, "attr", getattr(node, "id", ""))


def _origin(node: ast.ImportFrom) -> str:
    return "." * node.level + (node.module or "")


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Dotted names that an import binds, which may be modules; a relative one begins with its dots."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not node.level and node.module.partition(".")[0] not in OWN:
        return []
    origin = _origin(node)
    return [f"{origin}.{alias.name}" if node.module else f"{origin}{alias.name}" for alias in node.names]


def _pattern(node: ast.JoinedStr) -> list[str]:
    """A regular expression for the modules that an f-string may name, a group for each value; [] if it names none.

    It begins with a dot where the f-string begins with the package that it stands in.
    """
    first, *rest = node.values
    parts = [re.escape(p.value) if isinstance(p, ast.Constant) else r"([\w.]+)" for p in node.values]
    if isinstance(first, ast.FormattedValue) and _last(first.value) == "__package__":
        parts[0] = ""
        named = bool(rest) and parts[1].startswith("\\.")
    else:
        named = isinstance(first, ast.Constant) and first.value.partition(".")[0] in OWN and "." in first.value
    return ["".join(parts)] if named and " " not in "".join(parts) else []


def _is_computed_import(node: ast.Call) -> bool:
    """Whether it imports something that no text, pattern or package in the sources names."""
    if _last(node.func) not in _LOADERS or not node.args:
        return False
    name = node.args[0]
    if isinstance(name, ast.JoinedStr):
        first = name.values[0]
        of_package = isinstance(first, ast.FormattedValue) and isinstance(first.value, ast.Attribute)
        return not (_pattern(name) or of_package and first.value.attr == "__name__")
    return not isinstance(name, ast.Constant)
