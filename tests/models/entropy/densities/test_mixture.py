"""The mixture's likelihood against SciPy, and that every parameter can be reached."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import ndtr, softmax

from models.entropy.densities import gaussian, mixture


def exact(latents, means, scales, logits):
    """Mass of the unit interval, float64; latents [..., M], the others [..., K, M]."""
    offsets = latents[..., None, :] - means
    masses = ndtr((offsets + 0.5) / scales) - ndtr((offsets - 0.5) / scales)
    return (softmax(logits, axis=-2) * masses).sum(-2)


def parameters(k: int, seed: int = 0, shape=(2, 3, 4, 5)):
    """Latents [*shape] and means, scales, logits [*shape[:-1], K, shape[-1]], float32."""
    rng = np.random.default_rng(seed)
    wide = (*shape[:-1], k, shape[-1])
    drawn = np.round(rng.normal(0, 3, shape)), rng.normal(0, 3, wide), rng.uniform(0.2, 5, wide), rng.normal(0, 2, wide)
    return [values.astype("float32") for values in drawn]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_equals_scipy(k):
    latents, means, scales, logits = parameters(k)
    expected = exact(*(v.astype("float64") for v in (latents, means, scales, logits)))
    found = np.array(mixture.likelihood(latents, means, scales, logits))
    seen = expected > 2 * gaussian.LIKELIHOOD_FLOOR
    assert found.shape == latents.shape and seen.mean() > 0.5
    # What lies below the floor in one component is lifted there.
    assert np.allclose(found[seen], expected[seen], rtol=1e-3, atol=1.01 * gaussian.LIKELIHOOD_FLOOR)


def test_one_component_is_the_gaussian():
    latents, means, scales, logits = parameters(1)
    expected = np.array(gaussian.likelihood(latents - means[..., 0, :], scales[..., 0, :]))
    assert np.allclose(mixture.likelihood(latents, means, scales, logits), expected, rtol=1e-6)


def test_sums_to_one_over_the_integers():
    _, means, scales, logits = parameters(3, shape=(1, 6))
    symbols = np.arange(-60, 61, dtype="float32")[:, None] * np.ones((1, 6), "float32")
    total = np.array(mixture.likelihood(symbols, means, scales, logits)).sum(0)
    assert np.allclose(total, 1, atol=121 * gaussian.LIKELIHOOD_FLOOR) and (total > 0.999).all()


@pytest.mark.slow
def test_descent_finds_a_mixture_with_means_of_both_signs():
    """Two values, each as likely as the other: two components end on them, and half the bits of one are left."""
    symbols = np.where(np.random.default_rng(0).random((1, 400, 1)) < 0.5, -6.0, 6.0).astype("float32")
    means, levels, logits = (tf.Variable(np.float32(v)) for v in ([[-1.0], [1.5]], [[30.0], [30.0]], [[0.0], [0.0]]))
    optimizer = tf.keras.optimizers.Adam(0.3)
    for _ in range(150):
        with tf.GradientTape() as tape:
            wide = [tf.broadcast_to(v, (1, 400, 2, 1)) for v in (means, gaussian.scale_of(levels), logits)]
            bits = mixture.bits(symbols, *wide)[0] / 400
        optimizer.apply_gradients([(g, v) for g, v in zip(tape.gradient(bits, [means, levels, logits]),
                                                          (means, levels, logits), strict=True)])  # fmt: skip
    assert abs(float(bits) - 1) < 0.1 and np.allclose(np.sort(means.numpy()[:, 0]), [-6, 6], atol=0.3)


def test_bits_are_summed_for_each_example():
    drawn = parameters(3)
    expected = -np.log2(np.array(mixture.likelihood(*drawn))).sum((1, 2, 3))
    assert np.allclose(mixture.bits(*drawn), expected, rtol=1e-5)
