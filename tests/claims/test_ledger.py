"""Lines of finished runs: what they say of themselves, an interruption, another version of the script."""

import json
import types

import pytest

from tests.claims.ledger import Ledger, VersionError


@pytest.fixture
def script(tmp_path):
    module = types.ModuleType("script")
    module.__file__ = str(tmp_path / "script.py")
    (tmp_path / "script.py").write_text("steps = 3\n")
    return module


def ledger(tmp_path, script):
    return Ledger(tmp_path / "out" / "runs.jsonl", ("run", "seed"), script)


def test_what_was_done_is_known_the_next_time(tmp_path, script):
    first = ledger(tmp_path, script)
    assert first.done == {}
    row = first.add({"steps": 3}, 1.26, run="kd", seed=1, accuracy=0.5)
    other = first.add({"steps": 4}, 2.0, run="kd", seed=2, accuracy=0.25)
    assert row["seconds"] == 1.3 and row["config"] != other["config"] and row["script"] == other["script"]
    assert ledger(tmp_path, script).done == first.done == {("kd", 1): row, ("kd", 2): other}


def test_a_line_that_was_cut_off_is_done_again(tmp_path, script):
    first = ledger(tmp_path, script)
    row = first.add({}, 1, run="kd", seed=1)
    with first.path.open("a") as file:
        file.write('{"run": "kd", "se')
    again = ledger(tmp_path, script)
    assert again.done == {("kd", 1): row}
    again.add({}, 1, run="kd", seed=2)
    assert [json.loads(line)["seed"] for line in first.path.read_text().splitlines()] == [1, 2]


def test_lines_of_another_version_are_no_page(tmp_path, script):
    ledger(tmp_path, script).add({}, 1, run="kd", seed=1)
    (tmp_path / "script.py").write_text("steps = 4\n")
    with pytest.raises(VersionError, match="1 of 1 lines are of another version"):
        ledger(tmp_path, script)


def test_short_runs_and_long_ones_do_not_mix(tmp_path, script):
    def opened(short):
        return Ledger(tmp_path / "runs.jsonl", ("run",), script, short=short)

    assert opened(True).add({}, 1, run="kd")["short"] is True
    assert opened(True).done == opened(None).done != {}
    with pytest.raises(VersionError, match="do not mix"):
        opened(False)


def test_a_run_without_its_key_is_no_line(tmp_path, script):
    first = ledger(tmp_path, script)
    with pytest.raises(KeyError, match="seed"):
        first.add({}, 1, run="kd")
    assert not first.path.exists()
