"""Gaussian mixture entropy model: the bits of latents under K Gaussians that side information predicts.

Training sees noise in place of rounding and continuous parameters; `mixture_cdf` is the same distribution in integers.
Reference: arXiv:2002.03370 (section 3.2); arXiv:2001.01568, eq. 8.
"""

import math

from keras import ops

from models.entropy.densities import gaussian


def likelihood(latents, means, scales, logits):
    """Probability mass of the unit interval around a latent under a mixture of K Gaussians.

    Args:
      latents: [..., M] float, in quantisation steps.
      means: [..., K, M] float, likewise, for latents [..., M].
      scales: [..., K, M] float, standard deviations.
      logits: [..., K, M] float, natural log of the weights up to a constant.

    Returns:
      [..., M] float32 in (0, 1], at least the weighted mean of the components' `gaussian.floor`; -log2 of it is bits.
    """
    offsets = ops.expand_dims(ops.cast(latents, "float32"), -2) - ops.cast(means, "float32")
    weights = ops.softmax(ops.cast(logits, "float32"), axis=-2)
    return ops.sum(weights * gaussian.likelihood(offsets, scales), axis=-2)


def bits_each(latents, means, scales, logits):
    """-log2 of `likelihood`: [..., M] float32."""
    return ops.log(likelihood(latents, means, scales, logits)) / -math.log(2)


def bits(latents, means, scales, logits):
    """-log2 of `likelihood` summed over all but the first axis: [B] float32, bits an example."""
    return gaussian.sum_bits(likelihood(latents, means, scales, logits))
