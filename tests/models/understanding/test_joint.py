"""Joint training: where it starts, what the hinge charges, and that both that are pushed fit each other."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.report.section import Notes, Run
from components.report.sections import joint as section
from models.contract import registry
from models.contract.recipe import ConfigError
from models.contract.training import Files
from models.publishing import pushed
from models.publishing.export import export
from models.understanding import codecs, joint
from models.understanding.reader import Reader
from tests.models.kinds import KINDS, photograph, tiny

RECIPE = registry.get("joint_codes")


@pytest.fixture(scope="module")
def made(records):
    """(model before its first step, configuration, record files)."""
    files = records("joint")
    config = RECIPE.make_config("small", tiny(RECIPE))
    model = RECIPE.build(config)
    joint.prepare(model, config, Files([files["train"]], [files["validation"]], "", ""))
    return model, config, files


def test_starts_from_the_pair_with_gradients_of_one_size(made):
    model, config, files = made
    pair = pushed.load(config.model)[2]
    assert all(np.array_equal(a, b) for a, b in zip(model.pair.get_weights(), pair.get_weights(), strict=True))
    x, y = next(iter(RECIPE.inputs([files["train"]], config, True)))
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
    model, config, files = made
    x, y = next(iter(RECIPE.inputs([files["train"]], config, False)))
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
    model, config, files = made
    keras.utils.set_random_seed(1)
    for weights in model.codec.trainable_variables:  # as a training would leave them
        weights.assign(weights + 1e-3 * np.random.default_rng(1).standard_normal(weights.shape))
    export(RECIPE, config, model, str(tmp_path / "1"), examples=[files["train"]])
    extra = tmp_path / "1" / pushed.EXTRA
    codec, pair = pushed.load(str(extra / joint.CODEC)), pushed.load(str(tmp_path / "1"))
    signatures = tf.saved_model.load(str(extra / joint.CODEC)).signatures
    assert {"compress", "decompress", "serving_default"} <= set(signatures)
    recipe, of_codec = codecs.of_about(pair[1].codec_about)
    reader = Reader(recipe, pair[2].codec, of_codec)
    assert f"{reader.fingerprint:08x}" == pushed.describe(str(extra / joint.CODEC))["fingerprint"]
    assert reader.fingerprint != KINDS["codes"].reader.fingerprint
    stream = signatures["compress"](image_bytes=tf.io.encode_png(photograph(30, 40))[None])["bitstream_bytes"][0]
    assert np.array_equal(reader.write(tf.constant(photograph(30, 40)))[1], reader.read(stream))
    assert codec[0].name == "factorized" and json.loads((extra / "joint.json").read_text())["model"] == config.model
    run = Run(RECIPE.name, {}, str(tmp_path / "1"), "", [files["validation"]], 3, "", Notes())
    found = section.SECTION.measure(run)
    assert found["count"] == 6 and found["before"]["psnr_db"] != found["after"]["psnr_db"]
    assert "The rate moved by" in section.SECTION.render(found, {}) and len(section.SECTION.rows(found)) == 4


def test_mistakes_are_one_line(tmp_path):
    given = RECIPE.make_config("small", tiny(RECIPE))
    for options, said in (
        ({"model": str(tmp_path)}, "neither a recipe's name nor a pushed model"),
        ({"model": KINDS["codes"].codec}, "factorized; wanted is a pushed code_classifier"),
        ({"image_size": 40}, "a joint training takes multiples of the codec's stride, 16"),
        ({"classes": 4}, "it tells 3 classes apart, the data have 4"),
        ({"model": "edic"}, "model=edic: wanted is code_classifier or a pushed one"),
        ({"model_settings": "width=4"}, "model_settings=width=4: the model is not trained here"),
    ):
        with pytest.raises(ConfigError, match=said):
            joint.fitted(dataclasses.replace(given, **options))
    with pytest.raises(ConfigError, match="mixup=0.2: not for a joint training"):
        dataclasses.replace(given, mixup=0.2)
