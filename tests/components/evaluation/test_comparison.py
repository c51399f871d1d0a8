"""Teachers as artifacts and the table of models side by side, on models whose answers are known."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.evaluation import classifier_answers, comparison
from components.training import teacher
from models.contract import registry
from models.contract.recipe import ConfigError
from models.distillation import route
from models.publishing import export
from models.records import kept
from models.records import pictures as picture_records
from tests.models.kinds import tinted, write_records

pytestmark = pytest.mark.slow

CONFIG = {"classes": 3, "image_size": 16, "width": 4, "batch_size": 4}


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """An Examples artifact of 12 training, 4 validation and 9 test pictures."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path_factory.mktemp("examples"))
    artifact.split_names = json.dumps(list(picture_records.SPLITS))
    for split, count in zip(picture_records.SPLITS, (12, 4, 9), strict=True):
        folder = pathlib.Path(artifact.uri) / f"Split-{split}"
        folder.mkdir()
        write_records(folder / "r.gz", [tinted(n, f"{split} {n}") for n in range(count)])
    return artifact


def model_of(folder, seed):
    """An untrained classifier, exported as the Trainer does; its artifact."""
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", CONFIG | {"seed": seed})
    keras.utils.set_random_seed(seed)
    artifact = standard_artifacts.Model()
    artifact.uri = str(folder / f"model-{seed}")
    export.export(recipe, config, recipe.build(config), f"{artifact.uri}/Format-Serving")
    return artifact


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [model_of(folder, seed) for seed in (1, 2)]


def test_the_table_tells_what_the_models_answer(examples, models):
    files = [f"{examples.uri}/Split-test/r.gz"]
    paths = [f"{m.uri}/Format-Serving" for m in models]
    rows = comparison.compare(
        {"teacher": paths[0], "student_0": paths[0], "student_1": paths[1], "control_0": paths[1]}, files, ensemble=True
    )
    assert [r["role"] for r in rows] == ["teacher", "student", "student", "control", "ensemble"]
    teacher_row, same, other, control, ensemble = rows
    assert same["agreement"] == 1 and abs(same["kl_to_teacher"]) < 1e-6 and other["kl_to_teacher"] > 1e-4
    p, labels = classifier_answers.probabilities(paths[1], files)
    t, _ = classifier_answers.probabilities(paths[0], files)
    assert other["accuracy"] == control["accuracy"] == (p.argmax(1) == labels).mean()
    assert other["agreement"] == (p.argmax(1) == t.argmax(1)).mean()
    assert other["kl_to_teacher"] == pytest.approx((t * np.log(t / p)).sum(1).mean(), rel=1e-3)
    assert other["cross_entropy"] == pytest.approx(-np.log(p[np.arange(9), labels]).mean(), rel=1e-4)
    assert ensemble["accuracy"] == (((p + t) / 2).argmax(1) == labels).mean()
    assert ensemble["parameters"] == same["parameters"] + other["parameters"] > 0
    assert ensemble["cross_entropy"] <= (same["cross_entropy"] + other["cross_entropy"]) / 2
    assert teacher_row["seed"] == 1 and other["seed"] == 2 and all(r["latency_ms"] > 0 for r in rows)
    table = comparison.summary(rows)
    assert [r["role"] for r in table] == ["teacher", "student", "control", "ensemble"]
    mean, spread = table[1]["accuracy"]
    both = [same["accuracy"], other["accuracy"]]
    assert mean == np.mean(both) and spread == pytest.approx(np.std(both, ddof=1)) and table[0]["accuracy"][1] is None


def test_a_teacher_without_these_classes_is_compared_with_nobody(examples, models, tmp_path):
    pixels = keras.Input((24, 24, 3))
    keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels)).save(tmp_path / "teacher.keras")
    files, student = [f"{examples.uri}/Split-test/r.gz"], f"{models[0].uri}/Format-Serving"
    paths = {"teacher": str(tmp_path / "teacher.keras"), "student_0": student}
    (with_itself,) = comparison.compare({"teacher": student, "student_0": student}, files)[1:]
    for_itself, row = comparison.compare(paths, files, output="embedding")
    compared = ("agreement", "kl_to_teacher")
    assert all(row[name] is None for name in compared) and all(with_itself[name] is not None for name in compared)
    same = {name: value for name, value in with_itself.items() if name not in (*compared, "latency_ms")}
    assert same.items() <= row.items()
    assert for_itself["role"] == "teacher" and for_itself["accuracy"] is None and for_itself["size_bytes"] > 0
    assert [entry["agreement"] for entry in comparison.summary([for_itself, row])] == [(None, None)] * 2


def options() -> str:
    """The options with which `pipeline.shapes.student` makes the teacher's outputs."""
    return json.dumps({"classes": 3, "image_size": 16, "student_settings": "width=4", "terms": "ce + logits + cckd"})


def test_a_teachers_outputs_stand_beside_their_pictures(examples, models, tmp_path):
    outputs = standard_artifacts.Examples()
    outputs.uri = str(tmp_path / "outputs")
    teacher.write_outputs(examples, models[0], outputs, options())
    kept_outputs = kept.loads((tmp_path / "outputs" / kept.FILE).read_text())
    shapes = {"teacher/embedding": (16,), "teacher/logits": (3,)}
    assert kept_outputs == {name: kept.Output("float32", shape) for name, shape in shapes.items()}
    network = route.teachers.load(f"{models[0].uri}/Format-Serving").features(["embedding"])
    (file,) = (tmp_path / "outputs" / "Split-train").iterdir()
    records = [tf.train.Example.FromString(r) for r in picture_records.records([str(file)]).as_numpy_iterator()]
    originals = list(picture_records.records([f"{examples.uri}/Split-train/r.gz"]))
    assert len(records) == len(originals) == 12
    for record, original in zip(records, originals, strict=True):
        pixels = picture_records.decode(picture_records.parse(original)[picture_records.ENCODED])
        said = network(tf.cast(pixels, tf.float32)[None] / 255.0)
        told = kept.parse(tf.constant(record.SerializeToString()), kept_outputs)
        for name in ("logits", "embedding"):
            record.features.feature.pop(f"teacher/{name}")
            np.testing.assert_allclose(told[f"teacher/{name}"], said[name][0], rtol=1e-4, atol=1e-5)
        assert record == tf.train.Example.FromString(original.numpy())


def test_a_given_teacher_is_copied_and_a_changed_one_noticed(models, tmp_path):
    path = f"{models[0].uri}/Format-Serving"
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "copy")
    teacher.take(path, teacher.digest(path), model.uri)
    assert teacher.digest(str(tmp_path / "copy" / "Format-Serving")) == teacher.digest(path)
    with pytest.raises(ConfigError, match="changed while the pipeline started"):
        teacher.take(path, "0" * 16, model.uri)
    with pytest.raises(ConfigError, match="neither a recipe's name nor a path that exists"):
        teacher.digest(str(tmp_path / "nothing"))


@pytest.mark.parametrize("positions, epochs", [("all", ["1", "2", "3", "4"]), ("2", ["2", "4"])])
def test_anchors_are_picked_from_the_route(tmp_path, positions, epochs):
    for epoch in range(1, 5):
        (tmp_path / "run" / "route" / str(epoch) / "assets.extra").mkdir(parents=True)
    teacher.pick(str(tmp_path / "run"), str(tmp_path / "anchors"), positions)
    assert sorted(p.name for p in (tmp_path / "anchors" / "Format-Serving").iterdir()) == epochs
    with pytest.raises(ConfigError, match="no route there"):
        teacher.pick(str(tmp_path / "none"), str(tmp_path / "more"), positions)
