"""Housekeeping on what real runs left: `runs`, `compare` and `gc`."""

import json
import os
import pathlib
import shutil
import time

import pytest

from pipeline import cli
from pipeline.client.tables import aligned, size
from pipeline.runners import local
from tests.pipeline.runners.tiny_runs import TinyRun, class_folders

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder of three runs: two models that were pushed, and one whose training failed."""
    root = tmp_path_factory.mktemp("housekeeping")
    run = TinyRun(root, "small_cnn", class_folders(root / "pictures"), width=4)
    run.done()
    run.done(learning_rate=0.01)
    run.run(learning_rate=1e30)
    assert run.status == 1 and len(run.versions()) == 2
    return run


def told(capsys, *arguments) -> str:
    capsys.readouterr()
    assert cli.main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments) -> str:
    capsys.readouterr()
    assert cli.main([str(a) for a in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_runs_are_listed_with_what_came_of_them(tiny, capsys):
    header, *lines = told(capsys, "runs", tiny.out).splitlines()
    assert header.split() == ["folder", "began", "recipe", "state", "version", "figures"]
    newest, other = (pathlib.Path(path).name for path in tiny.versions())
    assert [" failed at Trainer " in line for line in lines] == [True, False, False]
    assert f" pushed             {newest}  accuracy " in lines[1] and f" {other}  accuracy " in lines[2]
    report = json.loads((tiny.out / "report.json").read_text())  # of the newest that came to its end
    assert report["recipe"] == "small_cnn" and all(" small_cnn " in line for line in lines)


def test_two_models_are_compared_by_figures_options_and_size(tiny, capsys):
    new, old = tiny.versions()
    lines = told(capsys, "compare", old, new).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows["learning_rate"] == ["0.003", "0.01"] and "width" not in rows and rows["recipe"] == ["small_cnn"] * 2
    a, b, change = map(float, rows["cross_entropy"])
    assert a != b and change == pytest.approx(b - a, abs=1e-4)
    assert rows["size"][1] == "kB"
    began = told(capsys, "runs", tiny.out).splitlines()[3].split()[1]
    assert told(capsys, "compare", f"{tiny.out}@{began}", tiny.out).splitlines() == lines


def test_a_model_away_from_its_run_has_no_figures(tiny, tmp_path, capsys):
    shutil.copytree(tiny.versions()[0], tmp_path / "alone" / "1")
    said = told(capsys, "compare", tmp_path / "alone", tiny.out)
    assert f"{tmp_path}/alone: no figures are left of it" in said and "+0.0%" in said


@pytest.mark.parametrize(("command", "count"), [("runs", 1), ("gc", 1), ("compare", 2)])
def test_wrong_folders_are_one_line(command, count, tmp_path, capsys):
    assert "no such folder" in refused(capsys, command, *[tmp_path / "absent"] * count)
    if command != "compare":
        assert f"{tmp_path}: no metadata.sqlite here" in refused(capsys, command, tmp_path)
    damaged = tmp_path / "metadata.sqlite"
    damaged.write_bytes(b"no database" * 999)
    assert f"{damaged}: cannot be used" in refused(capsys, command, *[tmp_path] * count)
    assert [p.name for p in tmp_path.iterdir()] == [damaged.name], "nothing else was made there"


def test_a_folder_without_model_or_run_is_told(tmp_path, capsys):
    assert "neither a pushed model nor the --out folder" in refused(capsys, "compare", tmp_path, tmp_path)
    assert "OUT, --cache, or both" in refused(capsys, "gc")


@pytest.fixture
def copy(tiny, tmp_path):
    """The folder of the runs, put aside, which is put back behind a test that removes of it."""
    shutil.copytree(tiny.out, tmp_path / "kept", symlinks=True)
    yield tiny
    shutil.rmtree(tiny.out)
    shutil.move(tmp_path / "kept", tiny.out)


def everything(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_what_is_served_is_kept_and_what_nothing_needs_goes(copy, capsys, tmp_path):
    out, old = copy.out, pathlib.Path(copy.versions()[1])
    models = sorted((out / "artifacts/Trainer/model").iterdir(), key=lambda path: int(path.name))
    stale = out / "training" / "given-up"
    stale.mkdir()
    (stale / "state").write_text("x" * 5000)
    (tmp_path / "else").mkdir()
    (out / "training" / "link").symlink_to(tmp_path / "else")
    for path in (stale / "state", stale):
        os.utime(path, (1, 1))
    served = everything(out / "serving")
    told(capsys, "gc", out)
    assert not stale.exists() and (tmp_path / "else").is_dir()
    assert everything(out / "serving") == served and all(model.exists() for model in models[:2])
    shutil.rmtree(old)  # no longer served: what made it goes
    before = everything(out)
    (tmp_path / "other name").symlink_to(out)
    said = told(capsys, "gc", tmp_path / "other name", "--dry-run")
    assert "to remove" in said and "would free" in said and everything(out) == before
    assert told(capsys, "gc", out).splitlines()[-1] == said.splitlines()[-1].replace("would free", "freed")
    assert not models[0].exists() and models[1].exists()
    assert told(capsys, "gc", out) == "nothing to remove\n"
    again = copy.done(learning_rate=0.01)  # its baseline is no longer there, all before is answered by the cache
    assert again <= {"Baseline", "Evaluator", "Pusher", "Report"} and copy.versions() == [copy.named]
    assert {"Trainer", "Pusher"} < copy.done(), "what was removed is made again"


def test_nothing_is_removed_of_a_folder_in_use_or_moved(copy, capsys, tmp_path):
    before = everything(copy.out)
    with local.locked(copy.out):
        assert "another run is using it" in refused(capsys, "gc", copy.out)
    moved = shutil.copytree(copy.out, tmp_path / "moved")
    assert "was the folder moved? Nothing was removed" in refused(capsys, "gc", moved)
    assert everything(copy.out) == everything(moved) == before


def test_served_forms_of_released_models_that_no_code_makes_any_more_go(tmp_path, monkeypatch, capsys):
    from components.serving import released_model
    from models.publishing import released

    monkeypatch.setenv("KOMPAKT_CACHE", str(tmp_path))
    current = released_model.folder_of(released.names()[0])
    folders = {name: current.parent / name for name in ("0" * 16, "1" * 16, current.name)}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"x" * 1500)
        if name != "1" * 16:  # which another process may be using
            os.utime(folder, (time.time() - 4000,) * 2)
    assert told(capsys, "gc", "--cache", "--dry-run").endswith("would free 1.5 kB\n") and all(
        map(os.path.isdir, folders.values())
    )
    assert told(capsys, "gc", "--cache").endswith("freed 1.5 kB\n")
    assert {name for name, folder in folders.items() if folder.is_dir()} == {"1" * 16, current.name}


def test_columns_and_sizes():
    assert aligned([("a", "10"), ("bcd", "2")], right=(1,)) == "a    10\nbcd   2"
    assert [size(n) for n in (0, 999, 1500, 23_400_000, 5e12)] == ["0 B", "999 B", "1.5 kB", "23.4 MB", "5000.0 GB"]
