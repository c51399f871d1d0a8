"""Mixtures to test with: their integer parameters, and what these mean as real numbers."""

import numpy as np
from scipy.special import ndtr, softmax

from models.entropy.densities import gaussian


def draw(count: int, k: int, seed: int = 0, level: float = 80.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (in 1/256), levels (in quarters) and logits (in 1/256), int64 [K, N] each."""
    rng = np.random.default_rng(seed)
    means = rng.normal(0, 4, (1, count)) + rng.normal(0, 2, (k, count))
    levels = np.clip(rng.normal(level, 30, (k, count)), 0, 4 * (gaussian.LEVELS - 1))
    return tuple(np.round(v).astype(np.int64) for v in (256 * means, levels, 256 * rng.normal(0, 1.5, (k, count))))


def scales(levels: np.ndarray) -> np.ndarray:
    """Standard deviations of levels in quarters."""
    step = np.log(gaussian.MAX_SCALE / gaussian.MIN_SCALE) / (gaussian.LEVELS - 1)
    return gaussian.MIN_SCALE * np.exp(step * np.asarray(levels) / 4)


def real(parameters, places: np.ndarray) -> np.ndarray:
    """Cumulative of each mixture at places [N], float64 [N]."""
    means, levels, logits = (np.asarray(p, np.float64) for p in parameters)
    return (softmax(logits / 256, axis=0) * ndtr((places - means / 256) / scales(levels))).sum(0)


def sample(parameters, seed: int = 0) -> np.ndarray:
    """A symbol of each mixture, int32 [N]."""
    means, levels, logits = (np.asarray(p, np.float64) for p in parameters)
    rng = np.random.default_rng(seed)
    chosen = (rng.random(means.shape[1]) > np.cumsum(softmax(logits / 256, axis=0), 0)).sum(0).clip(0, len(means) - 1)
    place = np.arange(means.shape[1])
    drawn = means[chosen, place] / 256 + scales(levels)[chosen, place] * rng.normal(size=means.shape[1])
    return np.round(drawn).astype(np.int32)


def ideal_bits(parameters, symbols: np.ndarray) -> float:
    """Code length of symbols under the real mixtures."""
    mass = real(parameters, symbols + 0.5) - real(parameters, symbols - 0.5)
    return float(-np.log2(np.maximum(mass, 2.0**-40)).sum())
