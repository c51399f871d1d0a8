"""What the cache's keys follow: which steps are done again after which edit, told from the pipelines themselves.

A step is done again if its parameters change, or a step before it is. What the cache really answers is shown by
`tests.pipeline.runners.test_caches` for some of the cases, and for all of them in `docs/caches.md`.
"""

import dataclasses
import json
import pathlib
import shutil

import keras
import pytest

from components import artifacts, closure
from models.contract import registry
from models.publishing import pushed
from pipeline.commands.given import pipeline_of
from pipeline.shapes import line

ALL = {"TfdsExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Trainer", "Baseline", "Evaluator",
       "ServingCheck", "Pusher", "Report"}  # fmt: skip
MODEL = {"Trainer", "Baseline", "Evaluator", "ServingCheck", "Pusher", "Report"}
STUDENTS = {"Comparison", *MODEL}
TEACHER = {"Teacher", "TeacherOutputs", *STUDENTS}
CASES = [
    # recipe, settings, file that is edited, steps that are done again
    ("small_cnn", {}, "models/classifiers/new.py", set()),
    ("small_cnn", {}, "models/classifiers/resnet.py", set()),
    ("small_cnn", {}, "models/codecs/codec.py", set()),
    ("small_cnn", {}, "pipeline/shapes/line.py", set()),
    ("small_cnn", {}, "components/kinds/pictures/pictures.py", ALL),
    ("small_cnn", {}, "components/ingest/sources.py", ALL),
    ("small_cnn", {}, "components/ingest/example_gen.py", ALL),
    ("small_cnn", {}, "components/datasets/packed/packed_dataset_builder.py", ALL),
    ("small_cnn", {}, "components/datasets/digits/digits_dataset_builder.py", set()),
    ("small_cnn", {}, "models/classifiers/small_cnn.py", MODEL),
    ("small_cnn", {}, "models/training/loop.py", MODEL),
    ("small_cnn", {}, "components/training/trainer.py", MODEL),
    ("small_cnn", {}, "components/evaluation/baseline.py", {"Baseline", "Evaluator", "Pusher", "Report"}),
    ("small_cnn", {}, "components/evaluation/evaluator.py", {"Evaluator", "Pusher", "Report"}),
    ("small_cnn", {}, "components/serving/probe.py", {"ServingCheck", "Pusher", "Report"}),
    ("small_cnn", {}, "components/native_model.py", {"ServingCheck", "Pusher", "Report"}),
    ("small_cnn", {}, "components/serving/pusher.py", {"Pusher", "Report"}),
    ("small_cnn", {}, "components/report/page.css", {"Report"}),
    ("small_cnn", {}, "tuning/tuner.py", set()),
    ("small_cnn", {"tune": 2}, "tuning/tuner.py", {"Tuner", *MODEL}),
    ("ecg_cnn", {}, "components/kinds/recordings/transform.py", {"RecordSchema", "Transform", *MODEL}),
    ("ecg_cnn", {}, "models/ecg/ecg_crnn.py", set()),
    ("distill", {"teacher": "resnet"}, "models/classifiers/resnet.py", TEACHER),
    ("distill", {"teacher": "resnet"}, "models/classifiers/densenet.py", set()),
    ("distill", {"teacher": "resnet"}, "components/training/teacher.py", {"TeacherOutputs", *STUDENTS}),
    ("distill", {"teacher": "resnet"}, "components/evaluation/comparison.py", {"Comparison"}),
    ("route", {}, "components/training/teacher.py", {"Anchors", *STUDENTS}),
    ("born_again", {"push": "ensemble"}, "components/training/ensemble.py",
     {"Ensemble", "Evaluator", "ServingCheck", "Pusher", "Report"}),
]  # fmt: skip


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of the sources, whose digests the pipelines take."""
    for folder in closure.OWN:
        ignored = shutil.ignore_patterns("__pycache__", "weights")
        shutil.copytree(closure.ROOT / folder, tmp_path / "sources" / folder, ignore=ignored)
    monkeypatch.setattr(closure, "ROOT", tmp_path / "sources")
    return tmp_path / "sources"


def options(recipe: str, tune: int = 0, **settings) -> line.Options:
    found = registry.get(recipe)
    config = found.make_config("small", settings)
    dataset = "ecg_sample" if found.data == "recordings" else "class_folders"
    return line.Options(
        recipe=found, preset="small", config=config, dataset=dataset, folder="pictures", data_digest="1",
        root="root", resume_dir="training", push_dir="serving", tune=tune,
    )  # fmt: skip


def keys(made: line.Options) -> dict[str, tuple[str, set[str]]]:
    """Of each step its parameters, as text, and the steps before it."""
    steps = pipeline_of(made).components
    return {
        s.id: (json.dumps(s.exec_properties, sort_keys=True, default=str), {u.id for u in s.upstream_nodes})
        for s in steps
    }


def run_of(made: line.Options) -> str:
    """What decides where the checkpoints of an interrupted training lie."""
    (trainer,) = (s for s in pipeline_of(made).components if s.id == "Trainer")
    return json.loads(trainer.exec_properties["custom_config"])["run"]


def again(before: dict, after: dict) -> set[str]:
    """The steps that a cache which knows the one does again for the other."""
    found = {name for name, (key, _) in after.items() if before.get(name, ("",))[0] != key}
    while more := {name for name, (_, upstream) in after.items() if upstream & found} - found:
        found |= more
    return found


@pytest.mark.parametrize(("recipe", "settings", "file", "wanted"), CASES)
def test_an_edit_is_answered_by_the_steps_that_it_concerns(sources, recipe, settings, file, wanted):
    made = options(recipe, **settings)
    before, run = keys(made), run_of(made)
    with open(sources / file, "a") as edited:
        edited.write("\n")
    assert again(before, keys(made)) == wanted
    assert (run_of(made) != run) == ("Trainer" in wanted)


def test_other_data_are_read_and_all_else_is_done_again():
    made = options("small_cnn")
    assert again(keys(made), keys(dataclasses.replace(made, data_digest="2"))) == ALL


def pushed_model(folder: pathlib.Path, seed: int) -> str:
    """What a training reads of a pushed model, small_cnn of random weights."""
    keras.utils.set_random_seed(seed)
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", {"classes": 2, "image_size": 16, "width": 4})
    pushed.save(folder, recipe, config, recipe.build(config))
    return str(folder.parent)


def test_a_newer_model_where_training_starts_from_is_noticed(tmp_path):
    made = options("small_cnn", init=pushed_model(tmp_path / "serving" / "1", 1))
    before, run = keys(made), run_of(made)
    (tmp_path / "serving" / "1" / "variables").mkdir()  # of no concern: it is not read
    assert again(before, keys(made)) == set()
    pushed_model(tmp_path / "serving" / "2", 2)
    assert again(before, keys(made)) == MODEL and run_of(made) != run
    shutil.copytree(tmp_path / "serving" / "1", tmp_path / "serving" / "3")
    assert again(before, keys(made)) == set() and run_of(made) == run


def test_another_teacher_at_the_same_path_is_noticed(tmp_path, sources):
    made = options("distill", teacher=pushed_model(tmp_path / "teachers" / "one", 1) + "/one")
    before, run = keys(made), run_of(made)
    with open(sources / "models/classifiers/small_cnn.py", "a") as edited:  # the code that the teacher is built by
        edited.write("\n")
    assert "TeacherOutputs" in again(before, keys(made))
    before, run = keys(made), run_of(made)
    pushed_model(tmp_path / "teachers" / "one", 2)
    assert again(before, keys(made)) == {"GivenTeacher", "TeacherOutputs", *STUDENTS} and run_of(made) != run


def test_an_older_comparable_model_changed_in_place_is_noticed(tmp_path):
    made = dataclasses.replace(options("small_cnn"), push_dir=str(tmp_path / "serving"))
    version = tmp_path / "serving" / "1"
    pushed_model(version, 1)
    (version / "saved_model.pb").write_text("a graph")
    origin = artifacts.origin_of(made.recipe, made.config, "another run")
    artifacts.write_origin(str(version), origin)
    before = keys(made)
    pushed_model(version, 2)
    assert again(before, keys(made)) == {"Baseline", "Evaluator", "Pusher", "Report"}
