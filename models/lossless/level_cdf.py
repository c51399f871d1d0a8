"""Mixtures of logistics over the 256 levels of a sub-pixel, in integers, as fine as `lane_coder` takes them.

cdf(v) = (F(v) * share) / F's whole + v      for 0 < v < 256, cdf(0) = 0, cdf(256) = 2^PRECISION
"""

from typing import NamedTuple

import tensorflow as tf

from models.entropy.densities.mixture_cdf import CDF_BITS, INVERSE_BITS, MEAN_BITS, Z_HALF, MixtureCdf, divide
from models.entropy.lanes import bit_and, const, shift_left, shift_right
from models.lossless.lane_coder import PRECISION, WHOLE

LEVELS = 256
_SHARE_BITS = CDF_BITS + 14
_DIGIT = 2  # bits of a level that one look finds


class Fields(NamedTuple):
    """N distributions, int64; the first three are [K, N], `share` is [N]."""

    means: tf.Tensor  # in 2^-MEAN_BITS levels
    inverses: tf.Tensor  # of scales
    weights: tf.Tensor
    share: tf.Tensor  # 2^-_SHARE_BITS


def fields(mixtures: MixtureCdf, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> Fields:
    """Of a network's outputs, int64 [K, N] as `MixtureCdf.mixtures` takes them."""
    weights = mixtures.weights(logits)
    whole = shift_left(tf.reduce_sum(weights, 0), const(CDF_BITS))
    share = divide(const((WHOLE - LEVELS) << _SHARE_BITS), whole)
    return Fields(means, mixtures.inverses(levels), weights, share)


def _inside(mixtures: MixtureCdf, of: Fields, levels: tf.Tensor) -> tf.Tensor:
    """cdf of levels int64 [..., N] from 1 to 255."""
    shape = tf.concat([tf.shape(of.means)[:1], tf.ones(tf.rank(levels) - 1, tf.int32), tf.shape(of.means)[1:]], 0)
    means, inverses, weights = (tf.reshape(values, shape) for values in of[:3])
    edges = shift_left(levels, const(MEAN_BITS)) - (1 << MEAN_BITS - 1)
    z = shift_right((edges - means) * inverses, const(INVERSE_BITS)) + Z_HALF
    return shift_right(mixtures.rise(z, weights) * of.share, const(_SHARE_BITS)) + levels


def intervals(mixtures: MixtureCdf, of: Fields, levels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Frequencies and starts of levels int64 [N], int64 [N] each, in 2^-PRECISION."""
    both = tf.stack([levels, levels + 1])
    found = _inside(mixtures, of, tf.clip_by_value(both, 1, LEVELS - 1))
    starts = tf.where(levels > 0, found[0], 0)
    return tf.where(levels < LEVELS - 1, found[1], WHOLE) - starts, starts


def search(mixtures: MixtureCdf, of: Fields, states: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The levels that states int64 [N] hold, and these without them: (levels, states) int64 [N] each."""
    numbers = bit_and(states, WHOLE - 1)
    levels, starts = tf.zeros_like(states), tf.zeros_like(states)
    ends, steps = starts + WHOLE, tf.range(1, 1 << _DIGIT, dtype=tf.int64)[:, None]
    for shift in range(8 - _DIGIT, -1, -_DIGIT):
        candidates = levels + shift_left(steps, const(shift))
        found = _inside(mixtures, of, candidates)
        reached = found <= numbers
        levels += shift_left(tf.reduce_sum(tf.cast(reached, tf.int64), 0), const(shift))
        starts = tf.maximum(starts, tf.reduce_max(tf.where(reached, found, 0), 0))
        ends = tf.minimum(ends, tf.reduce_min(tf.where(reached, const(WHOLE), found), 0))
    return levels, (ends - starts) * shift_right(states, const(PRECISION)) + numbers - starts
