"""BUILD as Python has it, which the subset of Starlark used there is."""

import re

from tests.sources import ROOT


def build_targets() -> dict[str, dict]:
    """Targets of BUILD by name. Starlark's subset used there is Python, so the file is simply run."""
    targets = {}

    def rule(kind):
        def add(name, **attributes):
            assert name not in targets, f"two targets are named {name}"
            targets[name] = {"kind": kind, **attributes}

        return add

    def glob(patterns, exclude=(), allow_empty=False):
        patterns, exclude = ([re.sub(r"\*\*$", "**/*", one) for one in given] for given in (patterns, exclude))
        dropped = {p for pattern in exclude for p in ROOT.glob(pattern)}
        found = {p for pattern in patterns for p in ROOT.glob(pattern) if p.is_file()} - dropped
        assert found or allow_empty, f"nothing matches {patterns}"
        return sorted(p.relative_to(ROOT).as_posix() for p in found)

    rules = {kind: rule(kind) for kind in ("py_library", "py_test", "py_binary")}
    scope = {"load": lambda *a: None, "package": lambda **k: None, "exports_files": lambda *a, **k: None}
    exec((ROOT / "BUILD").read_text(encoding="utf-8"), {**scope, **rules, "glob": glob, "all_requirements": []})
    return targets


def reachable(targets: dict[str, dict], name: str, above: tuple = ()) -> set[str]:
    """Names of a target and all it depends on; Bazel refuses cycles, and so does this."""
    assert name not in above, f"a cycle in BUILD: {' -> '.join((*above, name))}"
    deps = [d.removeprefix(":") for d in targets[name].get("deps", [])]
    return {name}.union(*(reachable(targets, dep, (*above, name)) for dep in deps))
