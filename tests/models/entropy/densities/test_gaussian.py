"""The Gaussian entropy model against SciPy, far into its tails, and the gradients at its floor."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import ndtr

from models.entropy.coder import bit_fields
from models.entropy.densities import gaussian, tables


def exact(offsets, scales):
    """Probability mass of the unit interval, float64, from the tail in which digits are left."""
    distance = np.abs(np.float64(offsets))
    return ndtr((0.5 - distance) / scales) - ndtr((-0.5 - distance) / scales)


@pytest.fixture
def low_floor(monkeypatch):
    """Lets the tails be seen that the floor hides."""
    monkeypatch.setattr(gaussian, "LIKELIHOOD_FLOOR", 1e-9)


@pytest.mark.usefixtures("low_floor")
@pytest.mark.parametrize("scale", [0.11, 0.3, 1.0, 7.5, 60.0, 256.0])
def test_equals_scipy(scale):
    offsets = np.linspace(-6 * scale - 1, 6 * scale + 1, 401).astype("float32")
    expected = exact(offsets, scale)
    kept = expected > 2 * gaussian.LIKELIHOOD_FLOOR
    found = np.array(gaussian.likelihood(offsets, np.float32(scale)))
    assert found.dtype == "float32" and kept.sum() > 50
    assert np.allclose(found[kept], expected[kept], rtol=1e-3, atol=0)


def test_tails_are_floored_and_finite():
    found = np.array(gaussian.likelihood(np.float32([0, 5, 7, 50, 1e4, 1e30]), np.float32(1)))
    assert abs(found[0] - 0.3829249) < 1e-6 and np.isclose(found[1], gaussian.LIKELIHOOD_FLOOR)
    assert (np.diff(found[1:]) < 0).all() and found[-1] > 0 and found[2] < gaussian.LIKELIHOOD_FLOOR / 2**4


def test_alphabets_reach_as_far_as_the_coders():
    scales = gaussian.level_scales()
    half = -tables.gaussian_tables(scales).offsets
    assert (np.abs(np.array(gaussian.reach(scales.astype("float32"))) - half) <= 1).all()


@pytest.mark.parametrize("level", [5, 20, 40, 63])
def test_the_floor_is_what_the_coder_charges_for_escapes(level):
    """Within a nibble: the escape's slot, and nibbles."""
    scale, coder_tables = gaussian.level_scales()[level], tables.gaussian_tables(gaussian.level_scales())
    edge, slot = int(-coder_tables.offsets[level]), int(coder_tables.sizes[level]) - 1
    share = np.diff(coder_tables.cdfs[level])[slot] / 2**coder_tables.precision
    for distance in (edge + 1, edge + 4, edge + 20, edge + 1000, 100_000):
        nibbles = len(bit_fields.write_varints(tf.constant([2 * (distance - edge - 1)], tf.int64), payload=3))
        estimated = -np.log2(float(gaussian.likelihood(np.float32(distance), np.float32(scale))))
        assert abs(estimated - (4 * nibbles - np.log2(share))) < 4


@pytest.mark.usefixtures("low_floor")
@pytest.mark.parametrize("mean", [0.0, 0.25, -0.5])
@pytest.mark.parametrize("scale", [0.11, 1.0, 30.0])
def test_sums_to_one_over_the_integers(scale, mean):
    symbols = np.arange(-400, 401) - np.float32(mean)
    assert abs(float(np.sum(gaussian.likelihood(symbols, np.float32(scale)), dtype="float64")) - 1) < 1e-5


def gradient_of_bits(offset: float, level: float):
    """d bits / d (offset, level)."""
    offset, level = tf.Variable([[offset]]), tf.Variable([[level]])
    with tf.GradientTape() as tape:
        bits = gaussian.bits(offset, gaussian.scale_of(level))
    return [g.numpy().item() for g in tape.gradient(bits, [offset, level])]


def test_below_the_floor_the_gradient_still_leads_back():
    level = float(np.log(1 / gaussian.MIN_SCALE) / gaussian.STEP)  # scale 1
    assert exact(7.0, 1.0) < gaussian.LIKELIHOOD_FLOOR
    by_offset, by_level = gradient_of_bits(7.0, level)
    assert by_offset > 0 > by_level  # descent draws the offset in and widens the scale
    by_offset, by_level = gradient_of_bits(1e4, level)  # where the Gaussian is exactly zero
    assert by_offset > 0 and np.isfinite(by_level)


def test_gradient_is_the_derivative():
    for offset, level in ((0.3, 20.0), (3.0, 40.0), (-12.0, 45.0)):
        by_offset, by_level = gradient_of_bits(offset, level)
        scales = [gaussian.MIN_SCALE * np.exp(gaussian.STEP * (level + d)) for d in (-1e-4, 0, 1e-4)]
        slope = (np.log2(exact(offset, scales[0])) - np.log2(exact(offset, scales[2]))) / 2e-4
        assert abs(by_level - slope) < 1e-3 * max(1, abs(slope))
        slope = (np.log2(exact(offset - 1e-4, scales[1])) - np.log2(exact(offset + 1e-4, scales[1]))) / 2e-4
        assert abs(by_offset - slope) < 1e-3 * max(1, abs(slope))


def test_levels_are_the_coders_scales():
    scales = gaussian.level_scales()
    assert scales.shape == (gaussian.LEVELS,) and np.allclose(scales[[0, -1]], [0.11, 256])
    assert np.allclose(gaussian.scale_of(np.arange(gaussian.LEVELS, dtype="float32")), scales, rtol=1e-5)
    assert np.allclose(gaussian.scale_of(np.float32([-9, 99])), [0.11, 256], rtol=1e-5)
    assert gradient_of_bits(1.0, -2.0)[1] < 0 and gradient_of_bits(0.0, -2.0)[1] == 0


def test_bits_are_summed_for_each_example():
    offsets = np.random.default_rng(0).normal(size=(3, 2, 4, 5)).astype("float32")
    bits = np.array(gaussian.bits(offsets, np.float32(1)))
    expected = -np.log2(exact(offsets, 1.0)).sum((1, 2, 3))
    assert bits.shape == (3,) and np.allclose(bits, expected, rtol=1e-4)
