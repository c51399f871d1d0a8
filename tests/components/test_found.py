"""Things that are found by the names of their files: in a folder, and in folders of it."""

import importlib
import sys

import pytest

from components import found


@pytest.fixture
def package(tmp_path, monkeypatch):
    for name, text in {"__init__": "", "plain": "A = 1", "room/__init__": "", "room/inner": "A = 2"}.items():
        path = tmp_path / "things_of_tests" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("things_of_tests")
    for name in [name for name in sys.modules if name.partition(".")[0] == "things_of_tests"]:
        del sys.modules[name]


def test_modules_are_found_wherever_they_stand_below(package):
    assert found.names_in(package) == ["inner", "plain"]
    assert [found.find(package, name, "thing").A for name in ("plain", "inner")] == [1, 2]


def test_what_is_not_there_is_said_with_the_nearest(package):
    with pytest.raises(LookupError, match=r"no thing 'iner'; there are inner, plain \(nearest: inner\)"):
        found.find(package, "iner", "thing")
