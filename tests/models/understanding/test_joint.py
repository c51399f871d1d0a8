"""Joint training, of a classifier and of a segmenter: where it starts, what the hinge charges, and that both that are
pushed fit each other."""

import dataclasses
import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.evaluation.aggregates.iou import AGGREGATE
from components.report.section import Notes, Run
from components.report.sections import joint as section
from components.training import trainer
from models.contract import registry
from models.contract.recipe import ConfigError
from models.contract.training import Files
from models.publishing import pushed
from models.publishing.export import export
from models.records import pictures as picture_records
from models.understanding import codecs, joint
from models.understanding.reader import Reader
from tests.models.kinds import KINDS, photograph, tiny

pytestmark = pytest.mark.slow

RECIPE, SEGMENTS = registry.get("joint_codes"), registry.get("joint_segments")


@pytest.fixture(scope="module", params=[RECIPE, SEGMENTS], ids=lambda recipe: recipe.name)
def made(records, request):
    """(recipe, model before its first step, configuration, record files)."""
    recipe = request.param
    files = records(recipe.shape)
    config = recipe.make_config("small", tiny(recipe))
    model = recipe.build(config)
    joint.prepare(model, config, Files([files["train"]], [files["validation"]], "", ""))
    return recipe, model, config, files


def test_starts_from_the_pair_with_gradients_of_one_size(made):
    recipe, model, config, files = made
    pair = pushed.load(config.model)[2]
    assert all(np.array_equal(a, b) for a, b in zip(model.pair.get_weights(), pair.get_weights(), strict=True))
    x, y = next(iter(recipe.inputs([files["train"]], config, True)))
    latents, bits = model.code(x, True)
    assert np.allclose(latents, np.rint(latents))  # hard, as a receiver has them
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(latents)
        logits = model.pair.network(latents, training=False)
        found = {"logits": logits, "x_hat": model.codec.synthesis(latents), "bits": bits}
        entropy, distortion, bpp, _ = (tf.reduce_mean(part) for part in model.parts(x, y, found))
        weighed = model.gamma * distortion
    norms = [float(tf.norm(tape.gradient(value, latents))) for value in (entropy, weighed)]
    assert 0.3 < norms[0] / norms[1] < 3 and abs(float(model.target) / float(bpp) - 1) < 0.2


def test_only_bits_above_the_target_are_charged(made):
    recipe, model, config, files = made
    x, y = next(iter(recipe.inputs([files["train"]], config, False)))
    found = model(x, training=False)
    before = model.gamma.numpy(), model.target.numpy()
    bpp = float(np.mean(found["bits"])) / (x.shape[1] * x.shape[2])
    losses = []
    for target in (bpp + 1, bpp + 2, bpp - 0.25):
        model.target.assign(target)
        losses.append(float(model.compute_loss(x, y, found)))
    assert losses[0] == losses[1]
    assert np.isclose(losses[2] - losses[0], 0.25 * config.rate_weight * before[0], rtol=1e-3)
    for variable, value in zip((model.gamma, model.target), before, strict=True):
        variable.assign(value)


def test_both_are_pushed_and_fit_each_other(made, tmp_path):
    recipe, model, config, files = made
    keras.utils.set_random_seed(1)
    for weights in model.codec.trainable_variables:  # as a training would leave them
        weights.assign(weights + 1e-3 * np.random.default_rng(1).standard_normal(weights.shape))
    export(recipe, config, model, str(tmp_path / "1"), examples=[files["train"]])
    extra = tmp_path / "1" / pushed.EXTRA
    codec, pair = pushed.load(str(extra / joint.CODEC)), pushed.load(str(tmp_path / "1"))
    signatures = tf.saved_model.load(str(extra / joint.CODEC)).signatures
    assert {"compress", "decompress", "serving_default"} <= set(signatures)
    reader = Reader(codec[0], pair[2].codec, codecs.of_about(pair[1].codec_about)[1])
    assert f"{reader.fingerprint:08x}" == pushed.describe(str(extra / joint.CODEC))["fingerprint"]
    assert reader.fingerprint != KINDS["codes"].reader.fingerprint
    stream = signatures["compress"](image_bytes=tf.io.encode_png(photograph(30, 40))[None])["bitstream_bytes"][0]
    assert np.array_equal(reader.write(tf.constant(photograph(30, 40)))[1], reader.read(stream))
    assert codec[0].name == "factorized" and json.loads((extra / "joint.json").read_text())["model"] == config.model
    run = Run(recipe.name, {}, str(tmp_path / "1"), "", [files["validation"]], 3, "", Notes())
    found = section.SECTION.measure(run)
    scenes = recipe is SEGMENTS
    assert found["count"] == (5 if scenes else 6) and found["before"]["psnr_db"] != found["after"]["psnr_db"]
    assert "The rate moved by" in section.SECTION.render(found, {})
    assert len(section.SECTION.rows(found)) == (5 if scenes else 4)
    if scenes:  # of the pair's own size, so that the figures must be those of the evaluation
        examples = tf.constant(list(picture_records.records(run.files).as_numpy_iterator()))
        answers = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"](examples=examples)
        answers = {name: value.numpy() for name, value in answers.items()}
        assert np.isclose(found["after"]["mean_iou"], AGGREGATE().of(answers), atol=1e-6)
        assert np.isclose(found["after"]["accuracy"], answers["accuracy"].mean(), atol=1e-6)
        assert np.isclose(found["after"]["bpp"], answers["bpp"].mean(), atol=1e-6)


def test_scenes_are_moved_in_training_alone(records):
    config = SEGMENTS.make_config("small", tiny(SEGMENTS) | {"rows": 16, "columns": 32, "shift": 0, "batch_size": 2})
    files = [records(SEGMENTS.shape)["train"]]
    as_they_are = [
        row for x, y in SEGMENTS.inputs(files, config, False) for row in zip(x.numpy(), y.numpy(), strict=True)
    ]
    assert len(as_they_are) == 6 and {len(x.shape) for x, _ in as_they_are} == {3}
    seen = set()
    for x, y in SEGMENTS.inputs(files, config, True).take(12):
        for pixels, classes in zip(x.numpy(), y.numpy(), strict=True):
            (place, mirrored), *_ = [
                (n, step) for n, (p, c) in enumerate(as_they_are) for step in (1, -1)
                if np.array_equal(p[:, ::step], pixels) and np.array_equal(c[:, ::step], classes)
            ]  # fmt: skip
            seen.add((place, mirrored))
    assert {place for place, _ in seen} == set(range(6)) and {mirrored for _, mirrored in seen} == {1, -1}


def test_scenes_are_cut_to_what_the_codec_takes(records):
    given = SEGMENTS.make_config("small", tiny(SEGMENTS) | {"classes": 0, "rows": 0, "columns": 0})
    found = SEGMENTS.adapt(given, [records(SEGMENTS.shape)["train"]])
    assert found.sides == (16, 32) and found.classes == 3  # the pair's are 24x40
    for options, said in (
        ({"rows": 24}, "rows=24: a joint training takes multiples of the codec's stride, 16"),
        ({"model": tiny(RECIPE)["model"]}, "code_classifier; wanted is a pushed code_segmenter"),
        ({"model": "code_classifier"}, "model=code_classifier: wanted is code_segmenter or a pushed one"),
        ({"classes": 1}, "there is nothing to tell apart"),
    ):
        with pytest.raises(ConfigError, match=said):
            joint.fitted(dataclasses.replace(found, **options))
    with pytest.raises(ConfigError, match="rows=0: it is taken from the training data"):
        SEGMENTS.build(dataclasses.replace(given, classes=3))


def test_a_pair_that_was_trained_first_keeps_its_settings():
    first = RECIPE.make_config("small", {"model_settings": "width=4", "classes": 3, "image_size": 32})
    custom = {"recipe": RECIPE.name, "config": dataclasses.asdict(first)}
    told = types.SimpleNamespace(custom_config=custom, base_model=tiny(RECIPE)["model"])
    recipe, config = trainer.options_of(told)  # what the step Trainer is given behind the step Original
    assert recipe.name == RECIPE.name and config.model == told.base_model and config.model_settings == "width=4"
    assert joint.fitted(config) == config


def test_mistakes_are_one_line(tmp_path):
    given = RECIPE.make_config("small", tiny(RECIPE))
    for options, said in (
        ({"model": str(tmp_path)}, "neither a recipe's name nor a pushed model"),
        ({"model": KINDS["codes"].codec}, "factorized; wanted is a pushed code_classifier"),
        ({"image_size": 40}, "a joint training takes multiples of the codec's stride, 16"),
        ({"classes": 4}, "it tells 3 classes apart, the data have 4"),
        ({"model": "edic"}, "model=edic: wanted is code_classifier or a pushed one"),
    ):
        with pytest.raises(ConfigError, match=said):
            joint.fitted(dataclasses.replace(given, **options))
    with pytest.raises(ConfigError, match="model_settings=width=4: the model is not trained here"):
        joint.check_given(dataclasses.replace(given, model_settings="width=4"))
    with pytest.raises(ConfigError, match="mixup=0.2: not for a joint training"):
        dataclasses.replace(given, mixup=0.2)
