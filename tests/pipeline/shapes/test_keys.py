"""What the cache's keys follow: which steps are done again after which edit, told from the pipelines themselves.

A step is done again if its parameters change, or a step before it is. What the cache really answers is shown by
`tests.pipeline.runners.test_caches` for some of the cases, and for all of them in `docs/caches.md`.
"""

import dataclasses
import importlib
import io
import json
import pathlib
import shutil
import sys

import keras
import pytest
from rich.console import Console

import components
from components import artifacts, closure
from models.contract import registry
from models.publishing import pushed
from pipeline import shapes
from pipeline.arguments.given import pipeline_of
from pipeline.runners import local
from pipeline.shapes import line
from tests.pipeline.runners.tiny_runs import class_folders

ALL = {"TfdsExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Trainer", "Baseline", "Evaluator",
       "ServingCheck", "Pusher", "Report"}  # fmt: skip
MODEL = {"Trainer", "Baseline", "Evaluator", "ServingCheck", "Pusher", "Report"}
STUDENTS = {"Comparison", *MODEL}
TEACHER = {"Teacher", "TeacherOutputs", *STUDENTS}
CODES = {"Codes", *MODEL}
CASES = [
    # recipe, settings, file that is edited, steps that are done again
    ("small_cnn", {}, "models/classifiers/new.py", set()),
    ("small_cnn", {}, "models/classifiers/resnet.py", set()),
    ("small_cnn", {}, "models/codecs/codec.py", set()),
    ("small_cnn", {}, "models/distillation/terms/objective.py", {"Report"}),
    ("factorized", {}, "models/distillation/route.py", set()),
    ("factorized", {}, "models/classifiers/classifier.py", {"Report"}),  # a section's, all of which count
    ("small_cnn", {}, "pipeline/shapes/line.py", set()),
    ("small_cnn", {}, "components/kinds/pictures/pictures.py", ALL),
    ("small_cnn", {}, "components/ingest/sources.py", ALL),
    ("small_cnn", {}, "components/ingest/example_gen.py", ALL),
    ("small_cnn", {}, "components/kinds/pictures/folder_source.py", ALL),
    ("small_cnn", {}, "components/kinds/pictures/datasets/digits/digits_dataset_builder.py", set()),
    ("small_cnn", {}, "components/kinds/recordings/recordings.py", set()),
    ("small_cnn", {}, "models/classifiers/small_cnn.py", MODEL),
    ("small_cnn", {}, "models/training/loop.py", MODEL),
    ("small_cnn", {}, "components/training/trainer.py", MODEL),
    ("small_cnn", {}, "components/evaluation/baseline.py", {"Baseline", "Evaluator", "Pusher", "Report"}),
    ("small_cnn", {}, "components/evaluation/evaluator.py", {"Evaluator", "Pusher", "Report"}),
    ("small_cnn", {}, "components/serving/probe.py", {"ServingCheck", "Pusher", "Report"}),
    ("small_cnn", {}, "components/serving/pusher.py", {"Pusher", "Report"}),
    ("small_cnn", {}, "components/report/page.css", {"Report"}),
    ("small_cnn", {}, "tuning/tuner.py", set()),
    ("small_cnn", {"tune": 2}, "tuning/tuner.py", {"Tuner", *MODEL}),
    ("ecg_cnn", {}, "components/kinds/recordings/transform.py", {"RecordSchema", "Transform", *MODEL}),
    ("ecg_cnn", {}, "models/ecg/ecg_crnn.py", set()),
    ("distill", {"teacher": "resnet"}, "models/classifiers/resnet.py", TEACHER),
    ("distill", {"teacher": "resnet"}, "models/classifiers/densenet.py", set()),
    ("distill", {"teacher": "resnet"}, "components/training/teacher.py", {"TeacherOutputs", *STUDENTS}),
    ("distill", {"teacher": "resnet"}, "components/evaluation/comparison.py", {"Comparison", "Report"}),
    ("route", {}, "components/training/teacher.py", {"Anchors", *STUDENTS}),
    ("code_classifier", {}, "components/training/codes.py", {"GivenCodec", *CODES}),
    ("code_classifier", {}, "models/codecs/edic.py", {"GivenCodec", *CODES}),
    ("code_classifier", {}, "models/codecs/factorized.py", set()),
    ("code_classifier", {"codec": "factorized"}, "models/codecs/factorized.py", {"Codec", *CODES}),
    ("joint_codes", {}, "models/understanding/code_classifier.py", {"GivenCodec", "Codes", "Original", *MODEL}),
    ("code_classifier", {}, "models/understanding/joint.py", set()),
    ("code_student", {}, "models/understanding/code_student.py", {"TeacherOutputs", *MODEL}),
    ("code_student", {"teacher": "densenet"}, "models/classifiers/densenet.py", {"Teacher", "TeacherOutputs", *MODEL}),
    ("joint_codes", {}, "models/understanding/balance.py", MODEL),
    ("joint_segments", {}, "models/understanding/code_segmenter.py", {"GivenCodec", "Codes", "Original", *MODEL}),
    ("coupleface", {"anchors": 2}, "models/faces/coupleface.py", {"Anchors", *MODEL}),
    ("born_again", {"push": "ensemble"}, "components/training/ensemble.py",
     {"Ensemble", "Evaluator", "ServingCheck", "Pusher", "Report"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the sources."""
    root = tmp_path_factory.mktemp("sources")
    for folder in closure.OWN:
        shutil.copytree(closure.ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    return root


@pytest.fixture
def edit(copied, monkeypatch):
    """Changes a file of the copy, whose digests the pipelines take; it is as before when the test ends."""
    monkeypatch.setattr(closure, "ROOT", copied)
    edited = {}

    def change(file: str) -> None:
        path = copied / file
        edited[path] = path.read_bytes() if path.exists() else None
        with open(path, "a") as opened:
            opened.write("\n")

    yield change
    for path, content in edited.items():
        path.unlink() if content is None else path.write_bytes(content)


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


def run_of(known: dict) -> str:
    """What decides where the checkpoints of an interrupted training lie, of `keys`."""
    return json.loads(json.loads(known["Trainer"][0])["custom_config"])["run"]


def again(before: dict, after: dict) -> set[str]:
    """The steps that a cache which knows the one does again for the other."""
    found = {name for name, (key, _) in after.items() if before.get(name, ("",))[0] != key}
    while more := {name for name, (_, upstream) in after.items() if upstream & found} - found:
        found |= more
    return found


@pytest.mark.parametrize(("recipe", "settings", "file", "wanted"), CASES)
def test_an_edit_is_answered_by_the_steps_that_it_concerns(edit, recipe, settings, file, wanted):
    made = options(recipe, **settings)
    before = keys(made)
    edit(file)
    after = keys(made)
    assert again(before, after) == wanted
    assert (run_of(before) != run_of(after)) == ("Trainer" in wanted)


GREETING = """from tfx.dsl.component.experimental.annotations import Parameter
from tfx.dsl.component.experimental.decorators import component

@component
def Greeting(words: Parameter[str]) -> None:
    print(words)
"""


def test_a_new_component_gets_its_key_without_saying_anything(edit, copied, monkeypatch):
    monkeypatch.setattr(components, "__path__", [*components.__path__, str(copied / "components")])
    edit("components/greeting.py")
    (copied / "components" / "greeting.py").write_text(GREETING)
    greeting = importlib.import_module("components.greeting")
    digests = []
    for _ in range(2):
        step = greeting.Greeting(words="good day")
        line.sign(step, ())
        digests.append(step.exec_properties[line.SOURCES])
        edit("components/greeting.py")
    assert digests[0] != digests[1]


SHAPE = '''"""The data are looked at, and nothing is trained."""

from pipeline.shapes import line


def create_pipeline(options):
    ingest = line.ingest_of(options)
    return line.assemble(options, [ingest, *line.validate(ingest.outputs["examples"], options.recipe)])
'''


@pytest.mark.slow
def test_a_new_shape_is_a_new_file(tmp_path, monkeypatch):
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "glance.py").write_text(SHAPE)
    monkeypatch.setattr(shapes, "__path__", [*shapes.__path__, str(tmp_path / "shapes")])
    folder = str(class_folders(tmp_path / "pictures", 12))
    made = options("small_cnn")
    made = dataclasses.replace(
        made, recipe=dataclasses.replace(made.recipe, shape="glance"), folder=folder, data_digest="",
        root=str(tmp_path / "artifacts"), metadata=str(tmp_path / "metadata.sqlite"),
    )  # fmt: skip
    for state in ("done", "cached"):
        steps = local.run(pipeline_of(made), Console(file=io.StringIO()))
        names = ["TfdsExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator"]
        assert [(s.name, s.state) for s in steps] == [(name, state) for name in names]
    sys.modules.pop("pipeline.shapes.glance")


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
    before = keys(made)
    (tmp_path / "serving" / "1" / "variables").mkdir()  # of no concern: it is not read
    assert keys(made) == before
    pushed_model(tmp_path / "serving" / "2", 2)
    after = keys(made)
    assert again(before, after) == MODEL and run_of(after) != run_of(before)
    shutil.copytree(tmp_path / "serving" / "1", tmp_path / "serving" / "3")
    assert keys(made) == before


def test_another_teacher_at_the_same_path_is_noticed(tmp_path, edit):
    made = options("distill", teacher=pushed_model(tmp_path / "teachers" / "one", 1) + "/one", student="resnet")
    before = keys(made)
    edit("models/classifiers/small_cnn.py")  # by which the teacher is built again
    after = keys(made)
    assert again(before, after) == {"TeacherOutputs", *STUDENTS, "GivenTeacher"}
    pushed_model(tmp_path / "teachers" / "one", 2)
    last = keys(made)
    assert again(after, last) == {"GivenTeacher", "TeacherOutputs", *STUDENTS} and run_of(last) != run_of(after)


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
