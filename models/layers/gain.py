"""Gain units: one codec for many rates, by channel-wise gains around the quantiser."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("kompakt")
class GainUnits(keras.layers.Layer):
    """Gains of latents before and after quantisation, for rate points that lie a factor 2 of lambda apart.

    Asymmetric gained codecs (Cui et al., arXiv:2003.02012): each rate point has a gain and an inverse gain for every
    channel; between points both are interpolated exponentially. The first gains fall with the square root of lambda
    from one at the last point, as the step of a uniform quantiser at high rate does.

    Args:
      rates: int, rate points, the last one with the largest lambda.
      channels: int, channels of the latents.
      tied: whether the inverse gains are just that. Where latents are large against a step, all that the two differ by
        in training is an error.
    """

    def __init__(self, rates: int, channels: int, tied: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.rates, self.channels, self.tied = rates, channels, tied
        start = keras.initializers.Constant(0.0)
        shape = (rates, channels)
        self.log_gains = self.add_weight(shape=shape, initializer=start, name="log_gains", dtype="float32")
        self.log_inverses = None
        if not tied:
            self.log_inverses = self.add_weight(shape=shape, initializer=start, name="log_inverses", dtype="float32")

    def gains(self, rate):
        """Of real-valued rate points [B] float32 in [0, rates - 1]: (gains, inverse gains), float32 [B, 1, 1, C]."""
        steps = ops.expand_dims(ops.cast(rate, "float32"), 1) - ops.arange(self.rates, dtype="float32")
        weights = ops.maximum(1.0 - ops.abs(steps), 0.0)
        first = 0.5 * math.log(2.0) * ops.expand_dims(rate - (self.rates - 1.0), 1)
        gains = ops.matmul(weights, self.log_gains) + first
        inverses = -gains if self.tied else ops.matmul(weights, self.log_inverses) - first
        return tuple(ops.exp(values)[:, None, None, :] for values in (gains, inverses))

    def get_config(self):
        return super().get_config() | {"rates": self.rates, "channels": self.channels, "tied": self.tied}
