"""The lapped hyperprior: what its start returns and expects, its tiles, and that its rates go on where others end."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.codecs.lapped import basis
from models.contract import registry
from models.entropy.densities import gaussian
from tests.models.kinds import photograph, png

RECIPE = registry.get("lapped_hyperprior")
SIZES = {"channels": 8, "enhancement_filters": 4, "crop_size": 64, "batch_size": 2, "store": False}


@pytest.fixture(scope="module", params=[0, 24])
def made(request):
    """Model and server of an untrained codec, without and with a second transform."""
    config = RECIPE.make_config("small", SIZES | {"grouped": request.param})
    model = RECIPE.build(config)
    return model, RECIPE.signatures(model, config)


def psnr_db(picture, decoded) -> float:
    return 10 * np.log10(255**2 / np.square(picture.astype(float) - decoded).mean())


def test_the_cosine_basis_is_orthonormal_and_ordered():
    columns, variance, _ = basis.cosine_basis()
    flat = columns.reshape(-1, 192)
    assert np.allclose(flat.T @ flat, np.eye(192)) and (np.diff(variance[3:]) <= 0).all()
    assert np.ptp(columns[..., 0]) < 1e-12  # the mean of a block's brightness
    blocks = (photograph(256, 256) / 255).reshape(32, 8, 32, 8, 3).transpose(0, 2, 1, 3, 4).reshape(1024, -1)
    found = (blocks @ flat).var(axis=0)
    assert np.corrcoef(np.log(found), np.log(variance))[0, 1] > 0.8


def test_the_second_basis_finds_what_neighbouring_blocks_have_in_common():
    columns, variance, colours = basis.cosine_basis()
    again, expected = basis.grouped_basis(12)
    assert np.allclose(again.T @ again, np.eye(192)) and expected.shape == (16, 12)
    assert np.allclose(expected.sum(0)[colours[:12] == 1].sum(), 16 * variance[:12][colours[:12] == 1].sum())
    blocks = (photograph(256, 256) / 255 - 0.5).reshape(32, 8, 32, 8, 3).transpose(0, 2, 1, 3, 4).reshape(32, 32, -1)
    first = (blocks @ columns.reshape(-1, 192))[..., :12].reshape(8, 4, 8, 4, 12).transpose(0, 2, 1, 3, 4)
    second = first.reshape(64, -1) @ again
    bits = [np.log2(np.square(values).mean(0) + 1e-4).sum() / 2 for values in (first.reshape(64, -1), second)]
    assert bits[1] < bits[0] - 100  # of 192 numbers
    even = np.tile(np.eye(12)[:3], 16) @ again  # pictures of one grey or colour
    assert np.allclose(np.abs(even[:, :3]), 4 * np.eye(3)) and np.abs(even[:, 3:]).max() < 1e-4


def test_a_second_transform_tells_its_scales_by_place():
    model = RECIPE.build(RECIPE.make_config("small", SIZES | {"grouped": 24}))
    y = tf.random.stateless_normal((1, 6, 9, 192), (1, 2))
    z_hat = tf.round(model.hyper_latents(y))
    (mean, level), (_, plain) = model.told(z_hat, y), model.split(model.hyper_synthesis(z_hat)[:, :6, :9])
    added = np.array(level - plain)[0]
    assert not np.array(mean).any() and not added[..., 24:].any()
    assert np.allclose(added[:4, :4, :24], model.place_levels, atol=1e-4)
    assert np.allclose(added[4:, 4:8], added[:2, :4], atol=1e-4) and np.allclose(added[:, 8], added[:, 0], atol=1e-4)
    assert np.ptp(np.array(model.place_levels)[..., 0]) > 10


def test_what_is_served_tells_the_same_levels(made):
    """A picture whose width no chunk divides: by exact integers, of all positions at once, and in streams."""
    model, server = made
    y = 8 * tf.random.stateless_normal((1, 8, 12, 192), (3, 4))
    latents, z_hat = server.payload.latents, tf.round(model.hyper_latents(y))
    mean, level = latents.means_and_levels(latents.parameters(z_hat, tf.constant(8), tf.constant(12)))
    wanted = model.told(z_hat, y)
    assert np.abs(np.clip(np.array(wanted[1]), 0, 63) - level.numpy()).max() < 0.52
    assert np.abs(np.array(wanted[0] - mean)).max() < 0.05
    sections, y_hat = latents.encode(y)
    assert np.array_equal(latents.decode(sections, tf.constant(8), tf.constant(12)), y_hat)
    assert np.abs(np.array(y - y_hat)).max() < 1.0001


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
    columns, *_ = basis.cosine_basis()
    blocks = (np.array(x)[0] - 0.5).reshape(8, 8, 12, 8, 3).transpose(0, 2, 1, 3, 4).reshape(96, -1)
    kept = columns.reshape(-1, 192)[:, :48]
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
    size = 8 * 20, 8 * 28 - 3
    picture = photograph(*size)
    whole = server.payload.analyse(tf.constant(picture)).numpy()
    drawn = server.payload.synthesise(tf.constant(np.rint(whole)), *size).numpy().astype(int)
    monkeypatch.setattr(server.payload, "tile", 8)
    assert np.allclose(server.payload.analyse(tf.constant(picture)), whole, atol=1e-3)
    assert np.abs(server.payload.synthesise(tf.constant(np.rint(whole)), *size).numpy() - drawn).max() <= 1
    kernel.assign(before)


@pytest.mark.parametrize("made", [24], indirect=True)
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
