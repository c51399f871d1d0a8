"""Sharpness against NumPy, and a served evaluation that gives features of what was really coded and decoded."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from components.evaluation import aggregate, classic
from components.serving import served_codec
from models.generative.perception import features, metrics, served
from models.publishing import export
from tests.models.examples import photograph, png


def energy(picture):
    x = picture.astype(np.float64)
    return sum(np.square(np.diff(x, axis=axis)).mean() for axis in (0, 1))


def test_sharpness_is_the_ratio_of_gradient_energies():
    original = np.stack([photograph(40, 56, offset) for offset in (0, 60)])
    blurred = scipy.ndimage.gaussian_filter(original.astype(np.float32), (0, 1.5, 1.5, 0)).astype(np.uint8)
    noisy = np.clip(original + np.random.default_rng(1).normal(0, 20, original.shape), 0, 255).astype(np.uint8)
    for drawn, below in ((blurred, True), (noisy, False)):
        found = served.sharpness(original, drawn).numpy()
        expected = [(energy(d) + 1 / 3) / (energy(o) + 1 / 3) for o, d in zip(original, drawn, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        assert ((found < 0.8) if below else (found > 1.2)).all()
    assert np.array_equal(served.sharpness(original, original), [1, 1])


def test_flat_pictures_and_single_pixels_have_a_sharpness():
    flat = np.full((1, 8, 8, 3), 90, np.uint8)
    speck = flat.copy()
    speck[0, 4, 4] = 91
    assert served.sharpness(flat, flat)[0] == 1.0 and 1.0 < float(served.sharpness(flat, speck)[0]) < 1.3
    assert float(served.sharpness(flat[:, :1, :1], flat[:, :1, :1])[0]) == 1.0


class LowBits(tf.Module):
    """A payload that is no network: a PNG without the four lowest bits of each level."""

    fingerprint, reads, tables, section_count, variable, chooses, measures = 9, (), {}, 1, False, False, ("levels",)

    def encode(self, pixels, step):
        kept = pixels // 16
        return [tf.io.encode_png(kept)], kept

    def decode(self, sections, height, width):
        kept = tf.io.decode_png(sections[0], 3)
        return kept, kept

    def draw(self, decoded, height, width, step):
        return decoded * 16 + 8

    def measure(self, pixels, decoded, drawn, bpp, step):
        return (tf.reduce_max(tf.abs(tf.cast(pixels, tf.float32) - tf.cast(drawn, tf.float32))),)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a codec that loses low bits, saved with the perceptual server."""
    folder, module = tmp_path_factory.mktemp("low") / "1", served.PerceptualServer(LowBits())
    functions = {name: module.functions[name] for name in ("compress", "decompress", "serving_default")}
    tf.saved_model.save(module, str(folder), signatures=functions)
    assert not export.foreign_ops(str(folder))
    return folder


@pytest.mark.slow
def test_a_served_evaluation_gives_features_of_what_was_decoded(model):
    """Through TensorFlow's C library, as a server calls it."""
    codec = served_codec.ServedCodec(model)
    pictures = [photograph(72, 80), photograph(50, 67, 30), photograph(5, 9)]
    numbers = codec._model("serving_default", examples=[served_codec.record_of(p) for p in pictures])
    assert set(numbers) == {"bpp", "psnr_db", "ms_ssim", "levels", "features", "features_of_original", "sharpness"}
    for n, picture in enumerate(pictures):
        drawn = classic.decode(codec.decompress(codec.compress(png(picture))))
        assert not np.array_equal(drawn, picture)
        np.testing.assert_allclose(numbers["features"][n], features.features(drawn), atol=1e-4)
        np.testing.assert_allclose(numbers["features_of_original"][n], features.features(picture), atol=1e-4)
        np.testing.assert_allclose(numbers["sharpness"][n], served.sharpness(picture[None], drawn[None]), rtol=1e-5)
    assert numbers["sharpness"].shape == (3, 1)
    assert all(np.isfinite(values).all() for values in numbers.values())  # the check before a push asks it
    made = [aggregate.make(m.aggregate, m.name, {"least": 1.5} if m.name == "fd" else {}) for m in metrics.METRICS]
    fd, sharpness = (one.of(numbers) for one in made)
    assert fd > 0 and sharpness == pytest.approx(numbers["sharpness"].mean())


def test_vectors_are_no_numbers_of_a_picture(model):
    numbers = served_codec.ServedCodec(model).numbers(photograph(72, 80))
    assert numbers["sharpness"] > 0 and numbers["psnr_db"] > 20 and "features" not in numbers
