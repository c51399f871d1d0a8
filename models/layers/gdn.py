"""Generalised divisive normalisation, the activation of the codecs' transforms."""

import keras
from keras import ops

from models.layers.bounds import RootParametrization


@keras.saving.register_keras_serializable("kompakt")
class GDN(keras.layers.Layer):
    """y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2), over the channels of [B, H, W, C] (arXiv:1511.06281).

    Args:
      inverse: bool, multiply instead of divide (IGDN, the synthesis' activation).
      simplified: bool, the denominator is beta_i + sum_j gamma_ij |x_j|, which needs no square and no root
        (arXiv:1912.08771, section 4); about a third cheaper on a CPU.

    Parameters stay float32 under mixed precision: the sum under the root vanishes in half precision.
    """

    def __init__(self, inverse: bool = False, simplified: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.inverse, self.simplified = inverse, simplified
        self._beta, self._gamma = RootParametrization(1e-6), RootParametrization()

    def build(self, input_shape):
        channels = input_shape[-1]
        beta, gamma = self._beta.store(ops.ones(channels)), self._gamma.store(0.1 * ops.eye(channels))
        self.beta = self.add_weight(shape=(channels,), name="beta", dtype="float32", autocast=False)
        self.gamma = self.add_weight(shape=(channels, channels), name="gamma", dtype="float32", autocast=False)
        self.beta.assign(beta)
        self.gamma.assign(gamma)

    def call(self, x):
        """x: [B, H, W, C] float. Returns the same shape and dtype."""
        dtype = x.dtype
        x = ops.cast(x, "float32")
        gamma = ops.reshape(self._gamma.use(self.gamma), (1, 1, *self.gamma.shape))
        pool = ops.conv(ops.abs(x) if self.simplified else ops.square(x), gamma, data_format="channels_last")
        pool = pool + self._beta.use(self.beta)
        if not self.simplified:
            pool = ops.sqrt(pool) if self.inverse else ops.rsqrt(pool)
            return ops.cast(x * pool, dtype)
        return ops.cast(x * pool if self.inverse else x / pool, dtype)

    def get_config(self):
        return super().get_config() | {"inverse": self.inverse, "simplified": self.simplified}
