"""Better integers for the latents of one picture: an encoder's search, of which decoders know nothing.

An encoder that was trained for all pictures is not the best for any one of them, the amortisation gap
(arXiv:2006.04240). There, continuous latents follow the gradient of rate and distortion, with a soft rounding. Here
integers take steps of one: what a step costs in bits is known, and what it does to the error is foreseen from
the gradient and the curvature, the latter a mean over a channel's positions.
"""

from collections.abc import Callable

import tensorflow as tf

from models.codecs.serving.latents import quantise

FLAT = 0.5  # least curvature, bits: of channels that hardly say anything
# Of all steps that seem to pay, a part is taken at a time: neighbours would correct the same error twice. For the same
# reason curvature is first taken for less than it is, and for all of it in the end, when few steps are left.
SHARE, TRUST = 0.5, 0.8


def refine(
    values: tf.Tensor,
    bits: Callable[[tf.Tensor], tf.Tensor],
    slope: Callable[[tf.Tensor], tf.Tensor],
    passes: tf.Tensor,
    error_bits: float | None = None,
) -> tf.Tensor:
    """Integers for latents at less rate and distortion in all than `quantise` gives, from which the search starts.

    Args:
      values: [1, h, w, M] float32.
      bits: what integers of that shape cost each.
      slope: gradient of the error, expressed in bits, by the integers, of their shape.
      passes: int32 scalar, 1 or more; each takes one gradient, and two more are taken before.
      error_bits: as of `quantise`.

    Returns:
      [1, h, w, M] float32.
    """
    first = quantise(values, bits, error_bits)
    signs = tf.where(_uniform(values, -1) < 0.5, -1.0, 1.0)
    change = signs * (slope(first + signs) - slope(first - signs)) / 2.0
    curvature = tf.maximum(tf.reduce_mean(change, (0, 1, 2), keepdims=True) / 2.0, FLAT)
    last = tf.cast(tf.maximum(passes - 1, 1), tf.float32)

    def one(number, integers):
        steep, own = slope(integers), bits(integers)
        bent = curvature * (TRUST + (1.0 - TRUST) * tf.cast(number, tf.float32) / last)
        up, down = bits(integers + 1.0) - own + steep + bent, bits(integers - 1.0) - own - steep + bent
        taken = (tf.minimum(up, down) < 0.0) & (_uniform(values, number) < SHARE)
        return number + 1, integers + tf.where(taken, tf.where(up < down, 1.0, -1.0), 0.0)

    _, found = tf.while_loop(lambda number, _: number < passes, one, (0, first), parallel_iterations=1)
    return tf.ensure_shape(found, values.shape)


def _uniform(like: tf.Tensor, number) -> tf.Tensor:
    """Random numbers in [0, 1) of a tensor's shape, the same for the same number."""
    return tf.random.stateless_uniform(tf.shape(like), [0, number])
