"""What the cache answers, for real: one tiny pipeline that is repeated after one change and another."""

import json
import pathlib
import shutil

import pytest

from components import closure
from components.serving import configuration
from tests.pipeline.runners.tiny_runs import TinyRun, class_folders

pytestmark = pytest.mark.slow

BEHIND = {"Pusher", "Report"}
JUDGED = {"Evaluator", "ServingCheck", *BEHIND}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("caches")
    run = TinyRun(root, "small_cnn", class_folders(root / "pictures"), width=4)
    assert {"TfdsExampleGen", "Trainer", "Baseline", *JUDGED} < run.done()
    return run


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """Adds a line to a file of a copy of the sources, which the digests are taken of."""
    for folder in closure.OWN:
        shutil.copytree(closure.ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(closure, "ROOT", tmp_path)

    def change(file: str) -> None:
        with open(tmp_path / file, "a") as opened:
            opened.write("\n")

    return change


def test_nothing_is_done_again_unchanged_nor_for_a_file_that_nothing_imports(tiny, edit):
    before = tiny.versions()
    edit("models/classifiers/new.py")
    edit("models/codecs/codec.py")
    assert tiny.done() == set()
    assert tiny.versions() == before == [tiny.named]


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("components/evaluation/evaluator.py", {"Evaluator", *BEHIND}),
        ("components/report/page.css", {"Report"}),
        ("components/serving/check.py", {"ServingCheck", *BEHIND}),
    ],
)
def test_edited_code_is_run_again_and_the_same_model_is_not_pushed_twice(tiny, edit, file, wanted):
    before = tiny.versions()
    edit(file)
    assert tiny.done() == wanted
    assert tiny.versions()[0] == tiny.named and len(tiny.versions()) == len(before)


def test_a_newer_model_to_start_from_is_trained_from(tiny, tmp_path_factory):
    source = tmp_path_factory.mktemp("others")
    shutil.copytree(tiny.versions()[0], source / "1")
    assert {"Trainer", *JUDGED} <= tiny.done(init=source)
    one = tiny.named
    assert tiny.done(init=source) == set()
    shutil.copytree(one, source / "2")
    assert {"Trainer", *JUDGED} <= tiny.done(init=source)
    assert fingerprint(tiny.named) != fingerprint(one)
    assert tiny.versions()[:2] == [tiny.named, one]


def test_the_run_names_the_newest_version_after_another_model_was_pushed(tiny):
    """The tests above have pushed two other models after the first."""
    before = tiny.versions()
    assert BEHIND <= tiny.done() <= {"Baseline", "Evaluator", *BEHIND}
    newest = tiny.versions()[0]
    assert tiny.versions() == [newest, *before] and tiny.named == newest
    assert fingerprint(newest) == fingerprint(before[-1]) != fingerprint(before[0])
    configured = configuration.read(tiny.out / "serving" / "small_cnn.config" / "models.config")["small_cnn"]
    assert int(pathlib.Path(newest).name) in configured.versions
    assert tiny.done() == set() and tiny.named == newest


def fingerprint(version: str) -> str:
    return json.loads((pathlib.Path(version) / "assets.extra" / "kompakt.json").read_text())["fingerprint"]
