"""The step that makes one model of several: it answers their mean, and says what trained it."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components import artifacts
from components.evaluation.classifier_answers import probabilities
from components.report.sections import confusions
from components.training import ensemble
from models.classifiers import int8
from models.contract import registry
from models.contract.recipe import ConfigError
from models.publishing import export, pushed
from tests.models.kinds import photograph, png, tinted, write_records

LAST = {"recipe": "x", "config": {"int8": False}}


def member(folder, seed, classes=3):
    """The artifact of an untrained classifier."""
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", {"classes": classes, "image_size": 16, "width": 4, "seed": seed})
    keras.utils.set_random_seed(seed)
    artifact = standard_artifacts.Model()
    artifact.uri = str(folder / f"model-{seed}")
    export.export(recipe, config, recipe.build(config), f"{artifact.uri}/Format-Serving", trained_by=LAST)
    return artifact


def artifacts_of(folder):
    """An Examples artifact with nine training pictures, and an empty Model artifact."""
    examples, model = standard_artifacts.Examples(), standard_artifacts.Model()
    examples.uri, model.uri = str(folder / "examples"), str(folder / "model")
    examples.split_names = json.dumps(["train"])
    (folder / "examples" / "Split-train").mkdir(parents=True)
    write_records(folder / "examples" / "Split-train" / "r.gz", [tinted(n, f"{n}") for n in range(9)])
    return examples, model


@pytest.mark.slow
def test_one_model_comes_of_several(tmp_path):
    examples, model = artifacts_of(tmp_path)
    members = [member(tmp_path, seed) for seed in (1, 2)]
    settings = {"int8": True, "origin": {"run": "r"}}
    ensemble.Executor().Do(
        {"examples": [examples], "member_0": [members[0]], "member_1": [members[1]]},
        {"model": [model]},
        {"settings": json.dumps(settings)},
    )
    path = artifacts.saved_model_dir(model)
    picture = tf.constant([png(photograph(20, 30))])
    found, *each = (
        tf.saved_model.load(p).signatures["predict"](image_bytes=picture)["probabilities"]
        for p in (path, *map(artifacts.saved_model_dir, members))
    )
    np.testing.assert_allclose(found, np.mean(each, 0), atol=1e-5)
    about = pushed.describe(path)
    assert about["recipe"] == "ensemble" and about["trained_by"] == {"recipe": "x", "config": {"int8": True}}
    assert json.loads(pathlib.Path(path, artifacts.ORIGIN).read_text()) == {"run": "r"}
    files = artifacts.split_files([examples], "train")
    measured = confusions.measure_int8(path, files)
    assert measured["size_bytes"] == (pathlib.Path(path) / pushed.EXTRA / int8.FILE).stat().st_size
    p, labels = probabilities(path, files)
    assert measured["float_accuracy"] == (p.argmax(1) == labels).mean()
    assert confusions.measure_int8(artifacts.saved_model_dir(members[0]), files) is None


@pytest.mark.slow
def test_the_garrote_chooses_members_and_weighs_them(tmp_path):
    """The second member is the first one's network turned so that it names the right class; noise gets no weight."""
    examples, _ = artifacts_of(tmp_path)
    files = artifacts.split_files([examples], "train")
    paths = [artifacts.saved_model_dir(member(tmp_path, seed)) for seed in (1, 2)]
    recipe, config, model = pushed.load(paths[1])
    classes = model.network.layers[-1]
    embedding = keras.Model(model.network.inputs, classes.input)
    pixels, labels = (np.concatenate(part) for part in zip(*model_batches(recipe, config, files), strict=True))
    inputs = np.column_stack([np.array(embedding(pixels)), np.ones(len(pixels))])
    solution = np.linalg.lstsq(inputs, 20 * labels, rcond=None)[0]
    classes.set_weights([solution[:-1], solution[-1]])
    export.export(recipe, config, model, str(tmp_path / "good"), trained_by=LAST)
    paths[1] = str(tmp_path / "good")
    ensemble.combine(paths, files, str(tmp_path / "model"), int8=False, origin={"run": "r"}, judged=files)
    about = pushed.describe(str(tmp_path / "model"))["config"]
    weights, names = json.loads(about["weights"]), json.loads(about["members"])
    assert len(weights) == len(names) in (1, 2) and weights[-1] > 0.7 and sum(weights) == pytest.approx(1, abs=2e-3)
    picture = tf.constant([png(photograph(20, 30))])
    found, *each = (
        tf.saved_model.load(p).signatures["predict"](image_bytes=picture)["probabilities"]
        for p in (str(tmp_path / "model"), *paths[-len(weights) :])
    )
    np.testing.assert_allclose(found, np.tensordot(weights, each, 1) / sum(weights), atol=1e-5)


def model_batches(recipe, config, files):
    """Pixels and labels of the records, batch by batch."""
    return [(x.numpy(), y.numpy()) for x, y in recipe.inputs(files, config, False)]


def test_members_of_other_classes_are_refused(tmp_path):
    paths = [artifacts.saved_model_dir(member(tmp_path, n, classes=2 + n)) for n in (1, 2)]
    with pytest.raises(ConfigError, match="another classes"):
        ensemble.combine(paths, [], str(tmp_path / "model"), int8=False, origin={})
    assert not (tmp_path / "model").exists()
