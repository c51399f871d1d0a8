"""Whole runs of the two shapes whose students have more than one teacher, for real and tiny, each repeated."""

import json
import pathlib

import pytest

from tests.pipeline.runners.tiny_runs import TinyRun, class_folders

pytestmark = pytest.mark.slow

ENDS = {"Evaluator", "ServingCheck", "Pusher", "Report"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return class_folders(tmp_path_factory.mktemp("chains") / "pictures")


def about(version: str) -> dict:
    return json.loads((pathlib.Path(version) / "assets.extra" / "kompakt.json").read_text())


def test_a_student_follows_the_route_of_its_teacher(tmp_path, pictures):
    settings = {"teacher": "small_cnn", "teacher_settings": "width=4", "student_settings": "width=4", "anchors": 2}
    tiny = TinyRun(tmp_path, "route", pictures, **settings)
    assert {"Teacher", "Anchors", "Trainer", "Control", "Comparison", *ENDS} <= tiny.done()
    (anchors,) = (tiny.out / "artifacts" / "Anchors" / "route").iterdir()
    assert sorted(p.name for p in (anchors / "Format-Serving").iterdir()) == ["1", "2"]  # an epoch each
    assert about(tiny.named)["recipe"] == "small_cnn" and about(tiny.named)["trained_by"]["recipe"] == "route"
    assert tiny.done() == set()
    assert tiny.versions() == [tiny.named]


def test_generations_follow_each_other_and_their_ensemble_is_pushed(tmp_path, pictures):
    settings = {"generations": 2, "push": "ensemble", "control": "false", "student_settings": "width=4"}
    settings |= {"steps": 40, "steps_per_epoch": 20, "learning_rate": 0.01}  # a teacher that is mostly wrong is refused
    tiny = TinyRun(tmp_path, "born_again", pictures, **settings)
    assert {"Generation-0", "Generation-1", "Trainer", "Ensemble", "Comparison", *ENDS} <= tiny.done()
    assert about(tiny.named)["recipe"] == "ensemble" and about(tiny.named)["trained_by"]["recipe"] == "born_again"
    assert len(json.loads(about(tiny.named)["config"]["members"])) == 2
    assert tiny.done() == set()
    assert tiny.versions() == [tiny.named]
