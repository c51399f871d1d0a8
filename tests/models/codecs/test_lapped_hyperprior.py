"""The lapped hyperprior: what its start returns and expects, its tiles, and that its rates go on where others end."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.codecs import lapped_hyperprior as lapped
from models.contract import registry
from models.entropy.densities import gaussian
from tests.models.kinds import photograph, png

RECIPE = registry.get("lapped_hyperprior")
SIZES = {"channels": 8, "enhancement_filters": 4, "crop_size": 64, "batch_size": 2, "store": False}


@pytest.fixture(scope="module")
def made():
    """Model and server of an untrained codec."""
    config = RECIPE.make_config("small", SIZES)
    model = RECIPE.build(config)
    return model, RECIPE.signatures(model, config)


def psnr_db(picture, decoded) -> float:
    return 10 * np.log10(255**2 / np.square(picture.astype(float) - decoded).mean())


def test_the_cosine_basis_is_orthonormal_and_ordered():
    basis, variance, _ = lapped.cosine_basis()
    flat = basis.reshape(-1, 192)
    assert np.allclose(flat.T @ flat, np.eye(192)) and (np.diff(variance[3:]) <= 0).all()
    assert np.ptp(basis[..., 0]) < 1e-12  # the mean of a block's brightness
    blocks = (photograph(256, 256) / 255).reshape(32, 8, 32, 8, 3).transpose(0, 2, 1, 3, 4).reshape(1024, -1)
    found = (blocks @ flat).var(axis=0)
    assert np.corrcoef(np.log(found), np.log(variance))[0, 1] > 0.8


def test_the_start_returns_the_whole_picture(made):
    model, _ = made
    x = tf.constant(photograph(64, 96)[None] / 255, tf.float32)
    y = model.analysis(x)
    assert y.shape == (1, 8, 12, 192)
    assert psnr_db(255 * np.array(x), 255 * np.array(model.synthesis(y))) > 60


def test_fewer_latents_keep_what_is_expected_to_matter_most():
    model = RECIPE.build(RECIPE.make_config("small", SIZES | {"latents": 48}))
    x = tf.constant(photograph(64, 96)[None] / 255, tf.float32)
    found = psnr_db(255 * np.array(x), 255 * np.array(model.synthesis(model.analysis(x))))
    basis, *_ = lapped.cosine_basis()
    blocks = (np.array(x)[0] - 0.5).reshape(8, 8, 12, 8, 3).transpose(0, 2, 1, 3, 4).reshape(96, -1)
    kept = basis.reshape(-1, 192)[:, :48]
    assert found == pytest.approx(psnr_db(255 * blocks, 255 * (blocks @ kept @ kept.T)), abs=0.1) and 20 < found < 50


def test_the_start_expects_the_scales_of_a_photographs_latents(made):
    """It costs less than if every channel had its own scale in all of the picture, side information included."""
    model, _ = made
    picture = tf.constant(photograph(256, 256)[None] / 255, tf.float32)
    gain, _ = model.gain_units.gains(tf.constant([3.0]))
    y = model.analysis(picture) * gain
    y_hat, bits = model.code(y, False)
    assert np.abs(np.array(y_hat - y)).max() < 0.5001 and (np.array(y_hat)[..., 3:] % 1 == 0).all()
    scales = np.maximum(np.array(y).std(axis=(1, 2)), gaussian.MIN_SCALE)[:, None, None]
    assert float(bits[0]) < float(gaussian.bits(np.rint(y), tf.constant(scales, tf.float32))[0])


def test_random_starts_have_no_basis():
    model = RECIPE.build(RECIPE.make_config("small", SIZES | {"start": "random", "latents": 12}))
    assert np.abs(np.array(model.analysis.layers[1].kernel)[0]).max() > 0


def test_tiles_do_not_show(made, monkeypatch):
    model, server = made
    kernel = model.synthesis.layers[-1].last.kernel
    before = np.array(kernel)
    kernel.assign(0.2 * np.random.default_rng(0).normal(size=kernel.shape))
    size = 8 * 20, 8 * 27 - 3
    picture = photograph(*size)
    whole = server.payload.analyse(tf.constant(picture)).numpy()
    drawn = server.payload.synthesise(tf.constant(np.rint(whole)), *size).numpy().astype(int)
    monkeypatch.setattr(server.payload, "tile", 7)
    assert np.allclose(server.payload.analyse(tf.constant(picture)), whole, atol=1e-3)
    assert np.abs(server.payload.synthesise(tf.constant(np.rint(whole)), *size).numpy() - drawn).max() <= 1
    kernel.assign(before)


@pytest.mark.parametrize("size", [(1, 1), (13, 37), (64, 72)])
def test_every_quality_of_any_size_comes_back_and_is_better_than_the_one_before(made, size):
    _, server = made
    picture, found = photograph(*size), []
    for quality in (0, 50, 100):
        encoded = tf.constant([png(picture)])
        stream = server.functions["compress_at"](encoded, tf.constant([quality]))["bitstream_bytes"]
        (decoded,) = server.functions["decompress"](stream)["image_bytes"].numpy()
        decoded = np.asarray(Image.open(io.BytesIO(decoded)))
        assert decoded.shape == picture.shape
        found.append((len(stream.numpy()[0]), psnr_db(picture, decoded)))
    if min(size) > 8:
        assert sorted(found) == found and found[-1][1] > 40 and found[0][1] > 28
