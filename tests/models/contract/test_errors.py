"""Errors for the user have one base, by which the command line knows them."""

import ast
import builtins
import pathlib

import models
from models.contract.errors import KompaktError
from models.contract.recipe import ConfigError
from models.contract.registry import RegistryError
from models.training.loop import TrainingError

ROOT = pathlib.Path(models.__file__).parent.parent
STANDS_ALONE = "components/native_model.py"  # without the project; who imports it makes errors of ours of its own


def built_in(base: ast.expr) -> bool:
    found = getattr(builtins, ast.unparse(base), None)
    return isinstance(found, type) and issubclass(found, BaseException)


def test_every_error_of_the_project_can_be_told():
    errors, strangers = 0, []
    for folder in ("models", "tuning", "components", "pipeline"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.ClassDef) or path.relative_to(ROOT).as_posix() == STANDS_ALONE:
                    continue
                errors += "KompaktError" in map(ast.unparse, node.bases)
                if any(map(built_in, node.bases)) and "KompaktError" not in map(ast.unparse, node.bases):
                    if node.name != "KompaktError":
                        strangers.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert errors > 10 and not strangers


def test_whose_fault_it_is_decides_the_exit_code():
    assert [error.status for error in (KompaktError, ConfigError, RegistryError, TrainingError)] == [2, 2, 2, 1]
