"""Zero-mean logistics of several scales, mixed alike for all latents: tails as heavy as the training finds them.

    P(q) = sum_k weight_k (sg((|q| + 1/2) / (ratio_k s)) - sg((|q| - 1/2) / (ratio_k s)))

with the logistic function sg. Side information tells the scale s of a latent, but not exactly, and what is known with
an error has heavier tails than a Gaussian (Wainwright, Simoncelli 2000, "Scale mixtures of Gaussians and the statistics
of natural images"). The coder has one table a level of s, as for Gaussians.
"""

import math

import keras
import numpy as np
from keras import ops

from models.entropy.densities import gaussian
from models.layers.bounds import lower_bound

LIKELIHOOD_FLOOR = 2.0**-20
_WEIGHTS, _RATIOS = (0.5, 0.35, 0.15), (0.2, 0.55, 1.4)  # the logistic's deviation is 1.81 times its scale
_TAIL, _WIDE_TAIL, _WIDE = 2.0**-20, 2.0**-10, 40  # beyond 40 symbols many slots cost more than escapes
_FARTHEST = 1 << 12
_LEAST = 3


@keras.saving.register_keras_serializable("kompakt")
class ScaleMixture(keras.layers.Layer):
    """What latents cost that lie about their means with a known scale; parameters are float32 whatever the policy."""

    def build(self, input_shape=None):
        shape = (len(_WEIGHTS),)
        logits, ratios = (keras.initializers.Constant(np.log(values)) for values in (_WEIGHTS, _RATIOS))
        self.logits = self.add_weight(shape=shape, initializer=logits, name="logits", dtype="float32", autocast=False)
        self.log_ratios = self.add_weight(
            shape=shape, initializer=ratios, name="log_ratios", dtype="float32", autocast=False
        )

    def likelihood(self, offsets, scales):
        """Probability mass of the unit interval around an offset, at least LIKELIHOOD_FLOOR.

        Args:
          offsets: [...] float, latent minus mean, in quantisation steps. scales: [...] float, positive.

        Returns:
          [...] float32.
        """
        distance, inverse = ops.abs(ops.cast(offsets, "float32")), 1.0 / ops.cast(scales, "float32")
        weights, ratios = ops.softmax(self.logits), ops.exp(-self.log_ratios)
        mass = 0.0
        for k in range(len(_WEIGHTS)):
            unit = inverse * ratios[k]
            mass += weights[k] * (ops.sigmoid((0.5 - distance) * unit) - ops.sigmoid((-0.5 - distance) * unit))
        return lower_bound(mass, LIKELIHOOD_FLOOR)

    def bits_each(self, offsets, scales):
        """-log2 of `likelihood`: [...] float32."""
        return ops.log(self.likelihood(offsets, scales)) / -math.log(2)

    def call(self, offsets, scales):
        """Bits of each example, [B] float32, of offsets and scales [B, ...]."""
        return gaussian.sum_bits(self.likelihood(offsets, scales))

    def pmf(self, scales: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """What the coder's tables for scales [T] are made of, in float64: as `tables.tables_from_pmfs` takes it."""
        logits, ratios = (np.array(v, np.float64) for v in (self.logits, self.log_ratios))
        weights = np.exp(logits - logits.max())
        units = np.exp(-ratios)[:, None, None] / np.asarray(scales, np.float64)[:, None]
        edges = np.arange(_FARTHEST + 1) + 0.5
        above = np.tensordot(weights / weights.sum(), 1 / (1 + np.exp(np.minimum(edges * units, 700.0))), 1)
        pmfs, halves = [], []
        for upper in above:  # mass beyond each edge, on one side
            near, wide = (int(np.searchsorted(-upper, -tail / 2)) for tail in (_TAIL, _WIDE_TAIL))
            half = min(max(min(near, max(wide, _WIDE)), _LEAST), _FARTHEST - 1)
            side = upper[:half] - upper[1 : half + 1]
            pmfs.append(np.concatenate([side[::-1], [1 - 2 * upper[0]], side]))
            halves.append(half)
        overflow = np.array([2 * upper[half] for upper, half in zip(above, halves, strict=True)])
        return pmfs, -np.array(halves), overflow
