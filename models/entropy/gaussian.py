"""Gaussian conditional entropy model: the bits of latents whose mean and scale side information predicts.

Training sees noise in place of rounding and a continuous scale; the coder works with `LEVELS` integer tables of
zero-mean Gaussians, so the network speaks in table indexes from the start (arXiv:1802.01436, section 6.3).
"""

import math

import numpy as np
from keras import ops

from models.layers.bounds import lower_bound, upper_bound

LEVELS = 64
MIN_SCALE, MAX_SCALE = 0.11, 256.0
# About what the coder charges for the least likely symbols: its tables give a slot 2^-14 at least, escapes take some
# bits more. A smaller floor would promise costs that nobody pays.
LIKELIHOOD_FLOOR = 2.0**-16
_STEP = math.log(MAX_SCALE / MIN_SCALE) / (LEVELS - 1)


def level_scales() -> np.ndarray:
    """The standard deviations of the coder's tables: [LEVELS] float64, log-spaced from MIN_SCALE to MAX_SCALE."""
    return MIN_SCALE * np.exp(_STEP * np.arange(LEVELS, dtype=np.float64))


def scale_of(level):
    """Standard deviation (unit: quantisation steps) of a real-valued level, any shape, bounded to [0, LEVELS - 1]."""
    return MIN_SCALE * ops.exp(_STEP * upper_bound(lower_bound(level, 0.0), LEVELS - 1.0))


def _erfc(x):
    """Complementary error function of x >= 0 with a relative error below 1.2e-7 (Chebyshev fit; stays > 0 in tails,
    where 1 - erf(x) has no digits left in float32)."""
    t = 1.0 / (1.0 + 0.5 * x)
    coefficients = (0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196,
                    1.00002368, -1.26551223)  # fmt: skip
    series = coefficients[0]
    for c in coefficients[1:]:
        series = series * t + c
    return t * ops.exp(-ops.square(x) + series)


def _upper_tail(x):
    """P(N(0,1) > x), any shape, float32."""
    tail = 0.5 * _erfc(ops.abs(x) * (0.5**0.5))
    return ops.where(x >= 0, tail, 1.0 - tail)


def likelihood(offsets, scales):
    """Probability mass of the unit interval around an offset under N(0, scale).

    Args:
      offsets: [...] float, latent minus mean, in quantisation steps.
      scales: [...] float, standard deviations.

    Returns:
      [...] float32 in [LIKELIHOOD_FLOOR, 1]; -log2 of it is bits. The symmetric form on -|offset| keeps the digits
      of the tails; the floor passes gradients that raise it. Reference: arXiv:1802.01436, eq. 6.
    """
    distance = ops.abs(ops.cast(offsets, "float32"))
    inverse = 1.0 / ops.cast(scales, "float32")
    mass = _upper_tail((distance - 0.5) * inverse) - _upper_tail((distance + 0.5) * inverse)
    return lower_bound(mass, LIKELIHOOD_FLOOR)


def bits(offsets, scales):
    """-log2 of `likelihood` summed over all but the first axis: [B] float32, bits an example."""
    return sum_bits(likelihood(offsets, scales))


def sum_bits(likelihoods):
    """-log2 of likelihoods [B, ...], summed over all but the first axis: [B] float32, bits an example."""
    flat = ops.reshape(ops.log(likelihoods), (ops.shape(likelihoods)[0], -1))
    return ops.sum(flat, axis=1) / -math.log(2)
