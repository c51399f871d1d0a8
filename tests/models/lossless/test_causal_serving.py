"""The served codec: exactly the picture, whatever its size, strips, colours and adaptation; damage is refused."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.coder import joined
from models.lossless import causal_adaptation, causal_exact, causal_mixture, causal_serving, wavefront
from tests.models.examples import photograph


@pytest.fixture(scope="module")
def payload():
    """Of a small model, not trained."""
    config = causal_mixture.CausalConfig(width=8, head=4, mixtures=2)
    return causal_serving.CausalPayload(causal_mixture.build(config), config)


@pytest.fixture(scope="module")
def code(payload):
    """(pixels, passes) -> sections, bytes."""
    signature = [tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([], tf.int32)]
    graph = tf.function(lambda p, n: payload.encode(p, 0, n)[0], signature, autograph=False)
    return lambda pixels, passes=0: [s.numpy() for s in graph(pixels, passes)]


@pytest.fixture(scope="module")
def decode(payload):
    """(sections, height, width) -> pixels."""
    text, number = tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)
    graph = tf.function(
        lambda a, b, h, w: payload.decode([a, b], h, w)[0], [text, text, number, number], autograph=False
    )
    return lambda sections, height, width: graph(*sections, height, width).numpy()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "pixels",
    [noise(1, 1), noise(1, 23), noise(19, 1), noise(2, 3), noise(131, 9), photograph(50, 61),
     np.full((9, 30, 3), 255, np.uint8), np.repeat(noise(20, 31)[..., :1], 3, 2)],
    ids=lambda pixels: "x".join(map(str, pixels.shape)),
)  # fmt: skip
def test_every_picture_comes_back(code, decode, pixels):
    sections = code(pixels)
    assert np.array_equal(decode(sections, *pixels.shape[:2]), pixels)
    assert sum(map(len, sections)) < 1.6 * pixels.size + 5 * len(pixels) + 64


@pytest.mark.slow
def test_grey_takes_one_plane(code):
    grey = np.repeat(photograph(48, 64)[..., 1:2], 3, 2)
    tinted = grey.copy()
    tinted[-1, -1, 0] ^= 1
    assert len(code(grey)[1]) < 0.9 * len(code(tinted)[1])


@pytest.mark.slow
def test_strips_are_coded_on_their_own(payload, monkeypatch):
    monkeypatch.setattr(wavefront, "STRIP_PIXELS", 1)
    monkeypatch.setattr(wavefront, "BAND", 16)
    pixels = photograph(40, 20)
    sections, _ = payload.encode(tf.constant(pixels), 0)
    assert -(-40 // int(wavefront.strip_rows(tf.constant(20)))) == 3
    assert all(len(strip) > 100 for strip in joined.split(sections[1], 3).numpy())
    assert np.array_equal(payload.decode(sections, tf.constant(40), tf.constant(20))[0], pixels)


@pytest.mark.slow
def test_columns_worked_on_apart_change_nothing(payload, code, monkeypatch):
    pixels = photograph(20, 70)
    whole = code(pixels)
    monkeypatch.setattr(causal_serving, "_COLUMNS", 13)
    assert [s.numpy() for s in payload.encode(tf.constant(pixels), 0)[0]] == whole


@pytest.mark.slow
def test_adapted_weights_make_it_shorter_and_come_back(payload, code, decode):
    pixels = photograph(150, 200)
    plain, adapted = code(pixels), code(pixels, 5)
    assert sum(map(len, adapted)) < sum(map(len, plain)) and len(adapted[0]) > len(plain[0])
    assert np.array_equal(decode(adapted, 150, 200), pixels)
    colour, own = causal_adaptation.read(tf.constant(adapted[0]), causal_exact.own_size(payload.model.network))
    assert bool(colour) and np.any(own)
    assert causal_adaptation.write(colour, own).numpy() == adapted[0]
    assert code(pixels, 0) == plain


def test_a_tiny_picture_is_not_adapted(code):
    pixels = photograph(6, 7)
    assert code(pixels, 3) == code(pixels)


def test_exact_network_is_the_network(payload):
    network, exact = payload.model.network, payload.network
    rng = np.random.default_rng(5)
    features = tf.constant(np.round(rng.normal(0, 1, (40, network.trunk[0].kernel.shape[0])) * 64) / 64, tf.float32)
    beside = [tf.constant(np.round(rng.normal(0, 1, (40, n)) * 64) / 64, tf.float32) for n in (0, 3, 6)]
    weights = exact.weights(tf.zeros([causal_exact.own_size(network)], tf.int64))
    trunk, shift = exact.trunk(weights, features)
    for plane, expected in enumerate(network(features, beside)):
        got = tf.concat(exact.plane(weights, plane, trunk, shift, beside[plane]), 0)
        assert abs(tf.transpose(got).numpy() / 4096 - expected.numpy()).max() < 0.01
        permuted = tf.concat(exact.plane(weights, plane, trunk[::-1], shift[::-1], beside[plane][::-1]), 0)
        assert np.array_equal(permuted.numpy()[:, ::-1], got)


@pytest.mark.parametrize("height, width", [(24, 65535), (65535, 32), (65535, 2048), (300, 32)])
def test_sides_that_lie_are_refused_without_decoding_them(code, decode, height, width):
    """Each would take minutes otherwise: where there is nothing left to decode, decoding ends."""
    sections = code(photograph(24, 32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="damaged stream"):
        decode(sections, height, width)


@pytest.mark.slow
def test_damage_is_refused_or_changes_nothing(code, decode):
    pixels = photograph(24, 30)
    good = code(pixels, 0)
    rng = np.random.default_rng(6)
    refused = 0
    for _ in range(60):
        sections = [bytearray(s) for s in good]
        place = rng.integers(0, len(good[1]))
        sections[1][place] ^= 1 << rng.integers(0, 8)
        try:
            decode([bytes(s) for s in sections], 24, 30)
        except tf.errors.InvalidArgumentError as error:
            assert "damaged stream" in str(error)
            refused += 1
    assert refused >= 55  # the rest is the server's fingerprint to see
    for head in (b"", b"\x04", b"\x01\x00", b"\x03\x11", b"\x80"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="damaged stream"):
            decode([head, good[1]], 24, 30)


def test_its_levels_are_those_of_the_coder():
    from models.entropy.densities import logistic, mixture_cdf

    steps = (logistic.MAX_SCALE / logistic.MIN_SCALE, 4 * 63)
    assert mixture_cdf.SUBLEVELS == 4 and len(mixture_cdf.integer_tables()["mixture.inverse"]) == steps[1] + 1
    assert causal_serving._LEVELS_AN_OCTAVE == round(2**20 * steps[1] / np.log2(steps[0]) / 2**12)
    assert causal_serving._FIRST_OCTAVE == round(2**12 * np.log2(logistic.MIN_SCALE))


def test_model_and_stream_agree_about_bits(code):
    config = causal_mixture.CausalConfig(width=8, head=4, mixtures=2)
    model, pixels = causal_mixture.build(config), photograph(120, 160)
    expected = float(model(pixels[None] / np.float32(255))["bits"][0])
    stream = causal_serving.CausalPayload(model, config).encode(tf.constant(pixels), 0)[0]
    assert abs(8 * sum(len(s.numpy()) for s in stream) / expected - 1) < 0.05
