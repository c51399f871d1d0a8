"""What BUILD declares is what there is: Bazel shows a test nothing else, and asks its cache by nothing else.

Where a Bazel is installed, `tests/test_bazel.py` runs it.
"""

import ast
import functools
import pathlib
import re

from tests.build_file import build_targets, reachable
from tests.sources import ROOT, SOURCES, imports, names_imported, python_files, tree

_MODULE = re.compile(r"\b(?:models|components|tuning|pipeline|tests)(?:\.\w+)+")
_IMPORTED = re.compile(r"^\s*from ([\w.]+) import (\w+)", re.MULTILINE)
# What is found by its name when a program runs, by the module that looks for it: see GROUPS in BUILD.
SEEKERS = {"models/contract/registry.py": "systems", "components/kinds/registry.py": "kinds"}
# These read the sources as files, all of them, or import all that there is.
READ_SOURCES = ("tests/claims/test_imports.py", "tests/components/test_closure.py",
                "tests/models/contract/test_errors.py", "tests/models/contract/test_toy_recipe.py")  # fmt: skip
TESTS = [path.as_posix() for path in python_files("tests") if path.name.startswith("test_")]


@functools.cache
def targets() -> dict[str, dict]:
    """Targets of BUILD by name."""
    return build_targets()


@functools.cache
def home() -> dict[str, str]:
    """Library of every module of the sources."""
    libraries = [(name, t) for name, t in targets().items() if t["kind"] == "py_library" and name != "tests_shared"]
    return {s: name for name, t in libraries for s in t.get("srcs", ())}


@functools.cache
def sources_of(name: str) -> frozenset[str]:
    """The modules of a target and of all that it depends on."""
    return frozenset(s for dep in reachable(targets(), name) for s in targets()[dep].get("srcs", ()))


def file_of(name: str) -> str | None:
    """The module that a dotted name begins with, if it is one of this repository."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        for file in ("/".join(parts[:n]) + ".py", "/".join(parts[:n]) + "/__init__.py"):
            if (ROOT / file).is_file():
                return file
    return None


@functools.cache
def texts(file: str) -> set[str]:
    """The strings of a module that are not its documentation, and paths put together of some by `/`."""
    found = set()
    for node in ast.walk(tree(pathlib.Path(file))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        parts = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            parts.insert(0, str(node.right.value))
            node = node.left
            found.add("/".join(parts))
    return found - {ast.get_docstring(n, clean=False) for n in ast.walk(tree(pathlib.Path(file)))
                    if isinstance(n, (ast.Module, ast.FunctionDef, ast.ClassDef))}  # fmt: skip


@functools.cache
def used(file: str) -> frozenset[str]:
    """The modules that a module imports; of those of tests also what their strings name, code of other processes."""
    names = set(imports(pathlib.Path(file)))
    if file.startswith("tests/"):
        names |= {name for text in texts(file) for name in _MODULE.findall(text)}
        names |= {f"{one}.{name}" for text in texts(file) for one, name in _IMPORTED.findall(text)}
    return frozenset(found for name in names if (found := file_of(name)))


def by_fixtures(test: str) -> set[str]:
    """What the conftests above a test import, and those of their fixtures that it asks for."""
    asked = {node.arg for node in ast.walk(tree(pathlib.Path(test))) if isinstance(node, ast.arg)}
    names = set()
    for conftest in (folder / "conftest.py" for folder in pathlib.Path(test).parents):
        if not (ROOT / conftest).is_file():
            continue
        for node in reversed(tree(conftest).body):  # fixtures that others ask for stand above them
            is_fixture = isinstance(node, ast.FunctionDef)
            if is_fixture and node.name in asked:
                asked |= {argument.arg for argument in node.args.args}
            if not is_fixture or node.name in asked or node.name.startswith("pytest_"):
                names |= names_imported(node)
    return {found for name in names if (found := file_of(name))}


def closure(file: str) -> set[str]:
    """A module and all that it imports, of this repository, by its fixtures too."""
    seen, waiting = set(), [file, *(by_fixtures(file) if file in TESTS else ())]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += used(one)
    return seen


def target_of(test: str) -> str:
    return test.removesuffix(".py").replace("/", "_")


def declared(test: str, kind: str) -> set[str]:
    """The "srcs" or "data" that a test sees: its own, and those of all that it depends on."""
    names = reachable(targets(), target_of(test))
    return {file for name in names for file in targets()[name].get(kind, ())}


def test_every_module_is_in_one_library_and_every_test_in_one_target():
    modules = [path.as_posix() for path in python_files(*SOURCES)]
    libraries = [s for t in targets().values() if t["kind"] == "py_library" for s in t.get("srcs", ())]
    assert {m: libraries.count(m) for m in modules if libraries.count(m) != 1} == {}
    mains = [s for t in targets().values() if t["kind"] == "py_test" for s in t["srcs"] if s in TESTS]
    assert sorted(mains) == sorted(TESTS)
    beside = [s for t in targets().values() if t["kind"] == "py_library" for s in t.get("data", ())]
    assert len(beside) == len(set(beside)) and "components/report/page.css" in beside


def test_rooms_declare_what_their_modules_import():
    wrong = {}
    for file, own in home().items():
        for other in used(file):
            if home()[other] not in reachable(targets(), own):
                wrong[file] = other
    assert home() and not wrong


def test_tests_declare_what_they_import():
    """Also what their helpers import, and all of a registry that someone on the way asks."""
    wrong = {}
    for test in TESTS:
        seen = closure(test)
        wanted = seen.union(*(sources_of(group) for seeker, group in SEEKERS.items() if seeker in seen))
        missing = {file for file in wanted if not file.endswith("/__init__.py")} - declared(test, "srcs")
        if missing:
            wrong[test] = sorted(missing)[:3]
    assert not wrong


def test_tests_declare_no_more_than_they_need():
    """A room of which no test of a row imports anything is one too many; a group, if none asks its registry."""
    rows = {}
    for test in TESTS:
        if test not in READ_SOURCES:
            row = test.rpartition("/")[0], tuple(targets()[target_of(test)]["deps"])
            rows.setdefault(row, set()).update(closure(test))
    wrong = []
    for (folder, deps), seen in rows.items():
        for name in (dep.removeprefix(":") for dep in deps if dep != ":tests_shared"):
            seekers = {seeker for seeker, group in SEEKERS.items() if group == name}
            if not seen & (seekers or set(targets()[name]["srcs"])):
                wrong.append((folder, name))
    assert rows and not wrong


def test_tests_declare_the_files_that_they_name():
    """A file, no module, that a test or a helper of it names, if the repository has it, is in the test's data."""
    wrong = {}
    for test in set(TESTS) - {"tests/test_build.py", "tests/test_bazel.py"}:  # which name files without reading them
        known = declared(test, "data") | declared(test, "srcs")
        for helper in (file for file in closure(test) if file.startswith("tests/")):
            folder = helper.rpartition("/")[0]
            for text in (t for t in texts(helper) if 0 < len(t) < 100 and "\n" not in t and not t.endswith(".py")):
                found = [path for path in (text, f"{folder}/{text}") if path[0] != "/" and ".." not in path]
                wrong |= {(test, path): helper for path in found if (ROOT / path).is_file() and path not in known}
    assert not wrong


def test_few_tests_depend_on_everything():
    """What a change of one room makes run again: that of a command no test of a model."""
    everything = len(declared("tests/pipeline/test_cli.py", "srcs"))
    sizes = {test: len(declared(test, "srcs")) for test in TESTS}
    commands = {s for name in ("pipeline_commands", "components_server") for s in targets()[name]["srcs"]}
    hit = {test for test in TESTS if commands & declared(test, "srcs")}
    assert everything == max(sizes.values()) and len(hit) < len(TESTS) / 3
    assert not [test for test in hit if test.startswith("tests/models/") and "contract" not in test]
