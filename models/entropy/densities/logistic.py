"""Discretised logistic mixtures: bits of integers with ends, as pixels and indexes are, under K logistics each.

    P(v) = sum_k weight_k * (sg((v + 1/2 - mean_k) / scale_k) - sg((v - 1/2 - mean_k) / scale_k))

with the logistic function sg; the smallest and the largest value get the whole tail beyond them. `mixture_cdf` is the
same distribution in integers. Reference: arXiv:1701.05517 (section 2.1); arXiv:1811.12817 (section 3.4).
"""

import math

from keras import ops

from models.entropy.densities.gaussian import LEVELS
from models.layers.bounds import lower_bound, upper_bound

MIN_SCALE, MAX_SCALE = 0.04, 128.0  # of the coder's levels; the standard deviation is 1.81 times the scale
_STEP = math.log(MAX_SCALE / MIN_SCALE) / (LEVELS - 1)


def scale_of(level):
    """Scale (unit: steps between values) of a real-valued level, any shape, bounded to [0, LEVELS - 1]."""
    return MIN_SCALE * ops.exp(_STEP * upper_bound(lower_bound(level, 0.0), LEVELS - 1.0))


def level_of(scale: float) -> float:
    """The inverse of `scale_of`, of a number."""
    return math.log(scale / MIN_SCALE) / _STEP


def log_mass(values, means, scales, low: float, high: float):
    """Natural logarithm of the mass of a single logistic in the unit interval around a value.

    Written as products of logistic functions, so that neither tail loses its digits: the logarithm falls linearly with
    the distance, and so it has a gradient everywhere.

    Args:
      values: [...] float, integers from low to high. means, scales: [...] float that broadcast with them; scales > 0.
      low, high: the ends.

    Returns:
      [...] float32, at most 0.
    """
    values, means, scales = (ops.cast(v, "float32") for v in (values, means, scales))
    inverse = 1.0 / scales
    above, below = (values + 0.5 - means) * inverse, (values - 0.5 - means) * inverse
    up, down = ops.softplus(-above), ops.softplus(below)  # of the mass beyond the upper edge, and before the lower
    inside = ops.log1p(-ops.exp(-inverse)) - up - down
    return ops.where(values < low + 0.5, -up, ops.where(values > high - 0.5, -down, inside))


def bits_each(values, means, scales, logits, low: float, high: float):
    """Bits of values under mixtures of K logistics.

    Args:
      values: [..., M] float or integer, integers from low to high.
      means, scales, logits: [..., K, M] float; the logits are logarithms of the weights up to a constant.
      low, high: the ends.

    Returns:
      [..., M] float32.
    """
    logits = ops.cast(logits, "float32")
    log_weights = logits - ops.logsumexp(logits, axis=-2, keepdims=True)
    masses = log_mass(ops.expand_dims(ops.cast(values, "float32"), -2), means, scales, low, high)
    return ops.logsumexp(log_weights + masses, axis=-2) / -math.log(2)
