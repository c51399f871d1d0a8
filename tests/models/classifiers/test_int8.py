"""int8 files: they answer as the model they were made from, and only those get one who ask."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.classifiers import int8
from models.contract import registry
from models.publishing.export import export
from models.records import pictures as picture_records
from models.training.loop import train
from tests.models.kinds import tinted, write_records

OPTIONS = {"classes": 3, "image_size": 16, "width": 4, "batch_size": 12, "steps": 40, "steps_per_epoch": 20,
           "int8": True, "learning_rate": 1e-2}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    records = [tinted(n, f"{n}") for n in range(24)]
    return [write_records(tmp_path_factory.mktemp("tinted") / "r.gz", records)]


@pytest.fixture(scope="module")
def exported(files, tmp_path_factory):
    """A trained model and its folder."""
    folder = tmp_path_factory.mktemp("exported")
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", OPTIONS)
    model = train(recipe, config, files, files, work_dir=str(folder / "w"), log_dir=str(folder / "l"), progress=False)
    export(recipe, config, model, str(folder / "model"), examples=files)
    return model, folder / "model"


def test_the_file_answers_as_the_model(exported, files):
    model, folder = exported
    records = list(picture_records.records(files).as_numpy_iterator())
    labels = [int(picture_records.parse(tf.constant(r))[picture_records.LABEL]) for r in records]
    pixels = [
        np.array(Image.open(io.BytesIO(picture_records.parse(tf.constant(r))[picture_records.ENCODED].numpy())))
        for r in records
    ]
    p = tf.nn.softmax(model(np.stack(pixels).astype("float32") / 255.0, training=False)).numpy()
    quantized = int8.probabilities(folder / "assets.extra" / int8.FILE, files)
    assert (p.argmax(1) == labels).mean() > 0.8  # it has learned something that quantisation could lose
    assert (quantized.argmax(1) == p.argmax(1)).mean() >= 0.9
    assert np.abs(quantized - p).mean() < 0.05 and np.abs(quantized - p).max() > 0


def test_weights_are_bytes(exported):
    model, folder = exported
    content = (folder / "assets.extra" / int8.FILE).read_bytes()
    interpreter = tf.lite.Interpreter(model_content=content)
    kinds = {np.dtype(t["dtype"]).name for t in interpreter.get_tensor_details() if np.prod(t["shape"]) > 64}
    assert "int8" in kinds and "float32" not in kinds
    assert interpreter.get_input_details()[0]["dtype"] == np.uint8


def test_what_was_trained_in_half_precision_gets_one_too(exported, files, tmp_path):
    model, folder = exported
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", OPTIONS | {"precision": "mixed_float16"})
    half = recipe.build(config)
    half.set_weights(model.get_weights())
    int8.write(half, config, files, tmp_path)
    p = int8.probabilities(tmp_path / int8.FILE, files)
    np.testing.assert_allclose(p, int8.probabilities(folder / "assets.extra" / int8.FILE, files), atol=1e-6)


def test_without_the_option_there_is_none(files, tmp_path):
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", OPTIONS | {"int8": False})
    export(recipe, config, recipe.build(config), str(tmp_path / "model"), examples=files)
    assert not (tmp_path / "model" / "assets.extra" / int8.FILE).exists()
