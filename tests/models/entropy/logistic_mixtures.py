"""Logistic mixtures over alphabets with ends to test with: integer parameters, and what these mean as real numbers."""

import numpy as np
from scipy.special import expit, softmax

from models.entropy.densities import gaussian, logistic


def draw(count: int, k: int, size: int, seed: int = 0, level: float = 100.0):
    """Means (in 1/256), levels (in quarters) and logits (in 1/256), int64 [K, N] each; some means lie outside."""
    rng = np.random.default_rng(seed)
    means = rng.uniform(-2, size + 2, (1, count)) + rng.normal(0, 2, (k, count))
    levels = np.clip(rng.normal(level, 30, (k, count)), 0, 4 * (gaussian.LEVELS - 1))
    return tuple(np.round(v).astype(np.int64) for v in (256 * means, levels, 256 * rng.normal(0, 1.5, (k, count))))


def scales(levels: np.ndarray) -> np.ndarray:
    """Scales of levels in quarters."""
    step = np.log(logistic.MAX_SCALE / logistic.MIN_SCALE) / (gaussian.LEVELS - 1)
    return logistic.MIN_SCALE * np.exp(step * np.asarray(levels) / 4)


def cumulative(parameters, places: np.ndarray) -> np.ndarray:
    """Of each mixture at places [N], float64 [N]."""
    means, levels, logits = (np.asarray(p, np.float64) for p in parameters)
    return (softmax(logits / 256, axis=0) * expit((places - means / 256) / scales(levels))).sum(0)


def mass(parameters, symbols: np.ndarray, size: int) -> np.ndarray:
    """Of symbols [N], whose ends have the tails, float64 [N]."""
    above = np.where(symbols < size - 1, cumulative(parameters, symbols + 0.5), 1)
    return above - np.where(symbols > 0, cumulative(parameters, symbols - 0.5), 0)


def sample(parameters, size: int, seed: int = 0) -> np.ndarray:
    """A symbol of each mixture, int32 [N]."""
    means, levels, logits = (np.asarray(p, np.float64) for p in parameters)
    rng = np.random.default_rng(seed)
    chosen = (rng.random(means.shape[1]) > np.cumsum(softmax(logits / 256, axis=0), 0)).sum(0).clip(0, len(means) - 1)
    place = np.arange(means.shape[1])
    drawn = means[chosen, place] / 256 + scales(levels)[chosen, place] * rng.logistic(size=means.shape[1])
    return np.clip(np.round(drawn), 0, size - 1).astype(np.int32)
