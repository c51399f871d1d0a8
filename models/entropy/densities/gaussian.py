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
LIKELIHOOD_FLOOR = 2.0**-14  # of symbols in an alphabet: what the coder's tables give a slot at least
_ESCAPE_BITS = 4.0  # what a symbol outside costs at least beside its slot: one nibble
STEP = math.log(MAX_SCALE / MIN_SCALE) / (LEVELS - 1)


def level_scales() -> np.ndarray:
    """The standard deviations of the coder's tables: [LEVELS] float64, log-spaced from MIN_SCALE to MAX_SCALE."""
    return MIN_SCALE * np.exp(STEP * np.arange(LEVELS, dtype=np.float64))


def scale_of(level):
    """Standard deviation (unit: quantisation steps) of a real-valued level, any shape, bounded to [0, LEVELS - 1]."""
    return MIN_SCALE * ops.exp(STEP * upper_bound(lower_bound(level, 0.0), LEVELS - 1.0))


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


def reach(scales):
    """How far from zero the alphabet of a scale goes in the coder's tables (`tables.gaussian_tables`), any shape."""
    least = ops.where(scales < 0.13, 1.0, 3.0)
    return ops.maximum(ops.minimum(5.1 * scales, ops.maximum(3.67 * scales, 40.0)), least)


def floor(distance, scales):
    """Probability of the least likely symbols, as the coder charges for them: [...] float32.

    Args:
      distance: [...] float32, magnitude of latent minus mean.
      scales: [...] float32.

    Within the alphabet LIKELIHOOD_FLOOR; outside a symbol is escaped and takes a nibble of 3 payload bits more for
    each factor 8 of its distance from the alphabet's edge. This tail is what draws far outliers in: the Gaussian has no
    gradient in float32 beyond 13 standard deviations.
    """
    outside = ops.clip(distance - reach(scales), 0.0, 2.0**30)  # farther no symbol goes
    bits = _ESCAPE_BITS * ops.minimum(outside, 1.0) + _ESCAPE_BITS / math.log(8.0) * ops.log1p(outside / 4.0)
    return LIKELIHOOD_FLOOR * ops.exp(-math.log(2.0) * bits)


def likelihood(offsets, scales):
    """Probability mass of the unit interval around an offset under N(0, scale).

    Args:
      offsets: [...] float, latent minus mean, in quantisation steps.
      scales: [...] float, standard deviations.

    Returns:
      [...] float32, at least `floor`; -log2 of it is bits. The symmetric form on -|offset| keeps the digits of the
      tails. Below the floor both the Gaussian's gradient and the floor's are passed on. Reference: arXiv:1802.01436,
      eq. 6.
    """
    distance, scales = ops.abs(ops.cast(offsets, "float32")), ops.cast(scales, "float32")
    inverse = 1.0 / scales
    mass = _upper_tail((distance - 0.5) * inverse) - _upper_tail((distance + 0.5) * inverse)
    least = floor(distance, ops.stop_gradient(scales))
    fixed = ops.stop_gradient(least)
    return lower_bound(mass - fixed, 0.0) + ops.where(mass < fixed, least, fixed)


def bits_each(offsets, scales):
    """-log2 of `likelihood`: [...] float32."""
    return ops.log(likelihood(offsets, scales)) / -math.log(2)


def bits(offsets, scales):
    """-log2 of `likelihood` summed over all but the first axis: [B] float32, bits an example."""
    return sum_bits(likelihood(offsets, scales))


def sum_bits(likelihoods):
    """-log2 of likelihoods [B, ...], summed over all but the first axis: [B] float32, bits an example."""
    flat = ops.reshape(ops.log(likelihoods), (ops.shape(likelihoods)[0], -1))
    return ops.sum(flat, axis=1) / -math.log(2)
