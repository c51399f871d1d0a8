"""The modules of this repository as texts: which there are, what they import and define."""

import ast
import functools
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ("pipeline", "components", "tuning", "models")


def python_files(*folders: str) -> list[pathlib.Path]:
    """Paths of all modules below the folders, relative to the root."""
    return sorted(p.relative_to(ROOT) for folder in folders for p in (ROOT / folder).rglob("*.py"))


@functools.cache
def tree(path: pathlib.Path) -> ast.Module:
    """Syntax tree of a module given relative to the root."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def imports(path: pathlib.Path) -> set[str]:
    """Dotted names of everything a module imports anywhere in it, relative imports made absolute."""
    return names_imported(tree(path), path)


def names_imported(part: ast.AST, path: pathlib.Path = pathlib.Path()) -> set[str]:
    """The same of a part of a module; `path` is for relative imports."""
    names = set()
    for node in ast.walk(part):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join((*path.parent.parts[: len(path.parent.parts) - node.level + 1],)) if node.level else ""
            module = ".".join(filter(None, (package, node.module)))
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def tops(path: pathlib.Path) -> set[str]:
    """First parts of the names a module imports."""
    return {name.partition(".")[0] for name in imports(path)}


def definitions(node: ast.AST) -> list:
    """All functions and classes below a node, methods and nested ones included."""
    return [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
