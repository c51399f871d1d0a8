"""A student of codes sees codes, its teacher the pictures they are of."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts as artifacts

from components.training import codes, teacher
from models.classifiers import inputs as classifier_inputs
from models.contract import registry
from models.contract.recipe import ConfigError
from models.publishing import pushed
from models.records import kept
from models.training import loop
from tests.models.kinds import KINDS, tinted, write_records

pytestmark = pytest.mark.slow

RECIPE, KIND = registry.get("code_student"), KINDS["code_student"]
OPTIONS = {"image_size": 32, "batch_size": 6, "steps": 8, "steps_per_epoch": 4, "blocks": "1", "learning_rate": 0.01}


def artifact(kind, folder, splits=()):
    made = kind()
    made.uri = str(folder)
    if splits:
        made.split_names = json.dumps(splits)
    return made


@pytest.fixture(scope="module")
def teacher_model(tmp_path_factory):
    """A pushed classifier that tells the tint of a picture."""
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", {"classes": 3, "image_size": 32})
    keras.utils.set_random_seed(2)
    folder = tmp_path_factory.mktemp("teacher") / "Format-Serving"
    pushed.save(folder, recipe, config, recipe.build(config))
    return folder


@pytest.fixture(scope="module")
def taught(teacher_model, tmp_path_factory):
    """Records as `Codes` and then `TeacherOutputs` write them, by split, and the options that read them."""
    folder = tmp_path_factory.mktemp("taught")
    for split, count in {"train": 12, "validation": 4}.items():
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
        write_records(folder / "examples" / f"Split-{split}" / "r.gz", [tinted(n, f"{split}{n}") for n in range(count)])
    examples = artifact(artifacts.Examples, folder / "examples", ["train", "validation"])
    with_codes, taught = (artifact(artifacts.Examples, folder / name) for name in ("codes", "taught"))
    codec, model = artifact(artifacts.Model, folder / "codec"), artifact(artifacts.Model, teacher_model.parent)
    codes.take(KIND.codec, "", str(folder / "codec" / "Format-Serving"))
    codes.write_codes(examples, codec, with_codes, RECIPE.name, json.dumps({"image_size": 32, "codec": KIND.codec}))
    told = {"image_size": 32, "terms": RECIPE.make_config("small", {}).terms}
    teacher.write_outputs(with_codes, model, taught, json.dumps(told))
    files = {split: [f"{folder}/taught/Split-{split}/data-00000-of-00001.gz"] for split in ("train", "validation")}
    config = RECIPE.make_config("small", OPTIONS | {"codec": str(folder / "codec" / "Format-Serving")})
    return files, RECIPE.adapt(config, files["train"])


def test_the_teacher_saw_the_pictures_and_the_student_sees_the_codes(taught, teacher_model):
    files, config = taught
    seen, y = next(iter(RECIPE.inputs(files["validation"], config, False)))
    assert set(y) == {"labels", "teacher/logits"} and seen.shape == (4, 2, 2, config.depth)
    pictures, labels = next(iter(classifier_inputs.inputs(files["validation"], config, False)))
    logits = pushed.load(str(teacher_model))[2](pictures, training=False)
    np.testing.assert_allclose(y["teacher/logits"], logits, atol=1e-4)
    assert np.array_equal(y["labels"], labels)
    assert set(kept.beside(files["train"])) == {"teacher/logits"} and config.classes == 3
    model = RECIPE.build(config)
    taken = model.term_inputs(seen, y, model(seen))
    assert np.array_equal(taken[1][0], y["teacher/logits"])


def test_what_it_is_taught_shows_in_it_and_its_codec_stays(taught, tmp_path):
    """With the teacher's word alone it follows the teacher, right or wrong."""
    files, config = taught
    config = dataclasses.replace(config, terms="logits(temperature=1)", steps=60, steps_per_epoch=60)
    model = loop.train(RECIPE, config, files["train"], files["validation"], work_dir=str(tmp_path / "work"),
                       log_dir=str(tmp_path / "logs"), progress=False)  # fmt: skip
    ((x, y),) = RECIPE.inputs(files["train"], dataclasses.replace(config, batch_size=12), False)
    said = tf.nn.softmax(y["teacher/logits"])
    untrained = RECIPE.build(config)
    near = [float(tf.reduce_mean(tf.abs(tf.nn.softmax(m(x)["logits"]) - said))) for m in (model, untrained)]
    assert near[0] < 0.5 * near[1]
    for ours, theirs in zip(model.codec.get_weights(), untrained.codec.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)
    recipe, alone, own = RECIPE.served(model, config)
    assert recipe.name == "code_classifier" and alone is model.student and own.codec == ""


def test_mistakes_are_one_line():
    for options, said in (
        ({"terms": "ce"}, "terms: none of them looks at a teacher"),
        ({"terms": "ce + coupleface"}, "terms: coupleface looks at the training pictures first"),
        ({"flip": True}, "flip=True: codes are read as they are kept"),
        ({"terms": "logits(heat=3)"}, "heat"),
    ):
        with pytest.raises(ConfigError, match=said):
            RECIPE.make_config("small", options)
