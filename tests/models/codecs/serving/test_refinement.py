"""The search for better latents: cheaper in all than rounding, however they are coupled; and the codec's gradient."""

import numpy as np
import pytest
import tensorflow as tf

from models.codecs.serving import transforms
from models.codecs.serving.latents import quantise
from models.codecs.serving.refinement import refine
from models.contract import registry
from tests.models.kinds import KINDS, photograph, tiny

RANDOM = np.random.default_rng(1)
VALUES = tf.constant(RANDOM.normal(0, 2, (1, 12, 12, 4)).astype("float32"))


def bits(q):
    """Dear far from zero, as a narrow distribution is."""
    return 3.0 * tf.abs(q)


def error(q):
    """Of sums of neighbours, so that one latent can make up for another; channels differ in what they are worth."""
    off = (q - VALUES) * tf.constant([1.0, 2.0, 3.0, 0.0])
    return 2.0 * tf.reduce_sum(tf.square(off + 0.5 * tf.roll(off, 1, 2) + 0.5 * tf.roll(off, 1, 3)))


def slope(q):
    with tf.GradientTape() as tape:
        tape.watch(q)
        value = error(q)
    return tape.gradient(value, q)


def cost(q):
    return float(tf.reduce_sum(bits(q)) + error(q))


def test_integers_of_less_cost_than_those_chosen_one_by_one():
    first = cost(quantise(VALUES, bits))
    costs = [first] + [cost(refine(VALUES, bits, slope, tf.constant(n))) for n in (1, 4, 16)]
    assert costs == sorted(costs, reverse=True) and costs[-1] < 0.75 * first
    found = refine(VALUES, bits, slope, tf.constant(16))
    assert np.array_equal(found, tf.round(found))
    # No single step of one is worth taking any more, but for a few that the last passes left.
    base, better = cost(found), 0
    for place in range(0, 576, 5):
        step = tf.reshape(tf.one_hot(place, 576), VALUES.shape)
        better += min(cost(found + step), cost(found - step)) < base - 1e-3
    assert better <= 6


def test_a_channel_that_draws_nothing_is_not_paid_for():
    kept = np.abs(refine(VALUES, bits, slope, tf.constant(16))).sum((0, 1, 2))
    assert kept[3] < np.abs(tf.round(VALUES)[..., 3]).sum() / 4


@pytest.fixture(scope="module")
def server():
    recipe = registry.get("hyperprior")
    model = recipe.build(config := recipe.make_config("small", KINDS["codec"].tiny))
    return recipe.signatures(model, config)


def test_the_slope_is_that_of_the_error_in_bits(server, monkeypatch):
    pixels = tf.constant(photograph(90, 250))
    y = tf.round(server.payload.analyse(pixels))
    target = server.payload.target(pixels, 0)
    with tf.GradientTape() as tape:
        tape.watch(y)
        x_hat = server.payload.model.synthesis(y)[0, :90, :250]
        squares = tf.reduce_sum(tf.square(255.0 * x_hat - tf.cast(pixels, tf.float32)))
        worth = server.payload.model.config.lmbda / 3 * squares  # bits per pixel + lambda MSE, of all pixels
    expected = tape.gradient(worth, y)
    np.testing.assert_allclose(server.payload.slope(y, target), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    monkeypatch.setattr(server.payload, "gradient_tile", 6)
    np.testing.assert_allclose(server.payload.slope(y, target), expected, rtol=0.02, atol=0.02 * np.abs(expected).max())


@pytest.mark.slow
def test_a_picture_too_large_for_the_search_is_refused(server, monkeypatch):
    monkeypatch.setattr(transforms, "MOST_REFINED", 99)
    encoded = tf.io.encode_png(photograph(10, 10))
    with pytest.raises(tf.errors.InvalidArgumentError, match="refinement takes pictures of 99 pixels"):
        server.write_stream(encoded, tf.constant(0), tf.constant(1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"),
    [("hyperprior", 0.99), ("edic", 0.99), ("lapped_hyperprior", 1.001), ("factorized", 0.0), ("autoregressive", 0.0)],
)
def test_which_codecs_refine(name, most):
    """Behind a transform that is nearly orthonormal `quantise` leaves nothing to be found, and little is lost."""
    recipe = registry.get(name)
    model = recipe.build(config := recipe.make_config("small", tiny(recipe)))
    functions = recipe.signatures(model, config).functions
    assert ("compress_refined" in functions) == bool(most)
    if not most:
        return
    source = tf.constant([tf.io.encode_png(photograph(33, 50)).numpy()] * 2)
    plain = functions["compress"](image_bytes=source)["bitstream_bytes"].numpy()
    answer = functions["compress_refined"](image_bytes=source, passes=tf.constant([0, 8]))
    none, some = answer["bitstream_bytes"].numpy()
    assert none == plain[0] != some

    def spent(stream):
        decoded = tf.io.decode_png(functions["decompress"](bitstream_bytes=[stream])["image_bytes"][0])
        error = np.square(decoded.numpy().astype(float) - photograph(33, 50)).mean()
        return 8 * len(stream) / (33 * 50) + config.lmbda * error

    assert spent(some) < most * spent(none)
