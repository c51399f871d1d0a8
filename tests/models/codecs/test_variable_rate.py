"""One model of many rates: what it trains on, and that quality goes with the stream."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.serving.codec_family import CodecFamily, RateChoice
from components.serving.served_codec import ServedCodec, ServedCodecError
from models.contract import registry
from models.entropy.coder import header
from models.publishing import export
from tests.models.kinds import KINDS, photograph, png

pytestmark = pytest.mark.slow

RECIPE = registry.get("mean_scale_hyperprior")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    config = RECIPE.make_config("small", KINDS["codec"].tiny | {"rates": 3, "lmbda": 0.02})
    return RECIPE.build(config)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("variable") / "1"
    export.export(RECIPE, model.config, model, str(path))
    return path


def test_rate_points_are_walked_through_from_a_drawn_one_in_training(model):
    x = np.stack([photograph(64, 64, 10 * n) for n in range(8)]) / np.float32(255)
    seen = [np.log2(np.array(model(x, training=True)["lmbda"]) / 0.02).round(3).tolist() for _ in range(12)]
    walk = [-2.0, -1.0, 0.0] * 4
    assert {tuple(points) for points in seen} == {tuple(walk[n : n + 8]) for n in range(3)}
    outputs = model(x, training=False)
    assert np.allclose(outputs["lmbda"], np.resize([0.005, 0.01, 0.02], 8))
    mse = np.square(x - np.array(outputs["x_hat"])).mean((1, 2, 3))
    lmbda = np.array(outputs["lmbda"])
    expected = (np.array(outputs["bits"]) / 64**2 + lmbda * 255**2 * mse) * np.sqrt(0.01 / lmbda)
    assert np.isclose(float(model.compute_loss(x, None, outputs, training=False)), expected.mean(), rtol=1e-4)


def test_gains_learn(model):
    x = tf.constant(np.stack([photograph(64, 64, 10 * n) for n in range(6)]) / np.float32(255))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, None, model(x, training=True))
    weights = [v.value for v in model.gain_units.trainable_variables]
    assert all((np.abs(g).sum(1) > 0).all() for g in tape.gradient(loss, weights))


def test_higher_qualities_take_more_and_show_more(folder):
    family = CodecFamily([folder])
    source, picture = png(photograph(70, 90)), photograph(70, 90).astype(float)
    sizes, errors = [], []
    for quality in (0, 40, 100):
        stream, lmbda, *_ = family.compress(source, RateChoice(quality=quality))
        assert lmbda == pytest.approx(0.02 * 2 ** (2 * (quality / 100 - 1)))
        assert header.describe(stream)["flags"] == 4 * round(0.63 * quality)
        sizes.append(len(stream))
        decoded = tf.io.decode_png(family.decompress(stream)).numpy()
        errors.append(np.square(decoded - picture).mean())
    assert sizes[0] < sizes[1] < sizes[2] and errors[0] > errors[2]
    target = 8 * sizes[1] / (70 * 90)
    stream = family.compress(source, RateChoice(target_bpp=target)).stream
    assert abs(len(stream) / sizes[1] - 1) < 0.02


def test_default_and_wrong_qualities(folder):
    signatures = tf.saved_model.load(str(folder)).signatures
    source = tf.constant([png(photograph(40, 50)), png(np.dstack([photograph(30, 20), photograph(30, 20)[..., :1]]))])
    plain = signatures["compress"](image_bytes=source)["bitstream_bytes"]
    same = signatures["compress_at"](image_bytes=source, quality=tf.constant([50, 50]))["bitstream_bytes"]
    assert np.array_equal(plain, same)
    decoded = signatures["decompress"](bitstream_bytes=same)["image_bytes"]
    assert [tf.io.decode_png(d).shape for d in decoded] == [(40, 50, 3), (30, 20, 4)]
    for wrong in (-1, 101):
        with pytest.raises(tf.errors.InvalidArgumentError, match="a quality must be 0 to 100"):
            signatures["compress_at"](image_bytes=source, quality=tf.constant([50, wrong]))


def test_refined_streams_cost_less_and_are_read_like_any(folder):
    codec, source, picture = ServedCodec(folder), png(photograph(70, 90)), photograph(70, 90).astype(float)
    for quality in (0, 100):
        costs = []
        for passes in (0, 8):
            stream = codec.compress(source, quality, passes)
            decoded = tf.io.decode_png(codec.decompress(stream)).numpy()
            lmbda = 0.02 * 2 ** (2 * (quality / 100 - 1))
            costs.append(8 * len(stream) / (70 * 90) + lmbda * np.square(decoded - picture).mean())
        assert costs[1] < 0.99 * costs[0]
    assert codec.compress(source, refine=8) == codec.compress(source, 50, 8) != codec.compress(source)
    for wrong in (-1, 101):
        with pytest.raises(ServedCodecError, match="passes must be 0 to 100"):
            codec.compress(source, 50, wrong)


def test_a_variable_model_is_a_family_of_its_own(folder):
    with pytest.raises(ServedCodecError, match="give it alone"):
        CodecFamily([folder, folder])
