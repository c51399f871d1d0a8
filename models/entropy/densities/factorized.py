"""Fully factorised entropy model: one learned density a channel, the same at every position (arXiv:1802.01436, 6.1)."""

import keras
import numpy as np
from keras import ops

from models.entropy.densities.gaussian import sum_bits
from models.layers.bounds import lower_bound

# Between what the coder charges for the least likely symbols of an alphabet (14 bits) and for those outside (18 and
# more). A smaller floor would promise costs that nobody pays.
LIKELIHOOD_FLOOR = 2.0**-16


@keras.saving.register_keras_serializable("kompakt")
class FactorizedPrior(keras.layers.Layer):
    """Density of latents [B, H, W, C] with one univariate cumulative a channel, built of small monotone maps.

    Args:
      hidden: widths of the hidden maps.
      init_scale: spread of the density at the start, in quantisation steps.

    The parameters are float32 whatever the policy. `pmf` evaluates the trained density in NumPy for the coder's tables.
    """

    def __init__(self, hidden: tuple[int, ...] = (3, 3, 3, 3), init_scale: float = 10.0, **kwargs):
        super().__init__(**kwargs)
        self.hidden, self.init_scale = tuple(hidden), init_scale

    def build(self, input_shape):
        channels, widths = input_shape[-1], (1, *self.hidden, 1)
        scale = self.init_scale ** (1 / (len(widths) - 1))
        self.matrices, self.biases, self.factors = [], [], []

        def weight(name, *shape, initializer):
            return self.add_weight(
                shape=(channels, *shape), name=name, initializer=initializer, dtype="float32", autocast=False
            )

        for i, (fan_in, fan_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            start = keras.initializers.Constant(float(np.log(np.expm1(1 / scale / fan_out))))
            self.matrices.append(weight(f"matrix_{i}", fan_out, fan_in, initializer=start))
            uniform = keras.initializers.RandomUniform(-0.5, 0.5, seed=i)
            self.biases.append(weight(f"bias_{i}", fan_out, 1, initializer=uniform))
            if i < len(widths) - 2:
                self.factors.append(weight(f"factor_{i}", fan_out, 1, initializer="zeros"))

    def _logits(self, x):
        """Logits of the cumulative at x: [C, 1, N] -> [C, 1, N]."""
        for i, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = ops.matmul(ops.softplus(matrix), x) + bias
            if i < len(self.factors):
                x = x + ops.tanh(self.factors[i]) * ops.tanh(x)
        return x

    def likelihood(self, z):
        """Probability mass of the unit interval around z: [B, H, W, C] float -> same shape float32, floored."""
        shape = ops.shape(z)
        columns = ops.reshape(ops.transpose(ops.cast(z, "float32"), (3, 0, 1, 2)), (shape[3], 1, -1))
        lower, upper = self._logits(columns - 0.5), self._logits(columns + 0.5)
        # In the upper tail both sigmoids are near 1: take the difference on the side where digits are left.
        sign = ops.stop_gradient(-ops.sign(lower + upper))
        mass = ops.abs(ops.sigmoid(sign * upper) - ops.sigmoid(sign * lower))
        mass = ops.reshape(lower_bound(mass, LIKELIHOOD_FLOOR), (shape[3], shape[0], shape[1], shape[2]))
        return ops.transpose(mass, (1, 2, 3, 0))

    def call(self, z):
        """z: [B, H, W, C] float, noisy or rounded latents. Returns bits an example, [B] float32."""
        return sum_bits(self.likelihood(z))

    def compute_output_shape(self, input_shape):
        return (input_shape[0],)

    def _cumulative(self, x: np.ndarray) -> np.ndarray:
        """Logits of the cumulative in float64 NumPy: [C, N] -> [C, N]."""
        x = x[:, None, :].astype(np.float64)
        for i, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            matrix, bias = (np.asarray(ops.convert_to_numpy(v), np.float64) for v in (matrix, bias))
            x = np.logaddexp(matrix, 0) @ x + bias
            if i < len(self.factors):
                x = x + np.tanh(np.asarray(ops.convert_to_numpy(self.factors[i]), np.float64)) * np.tanh(x)
        return x[:, 0, :]

    def pmf(self, tail_mass: float = 2.0**-18, widest: int = 2048) -> tuple[list[np.ndarray], np.ndarray]:
        """The density as tables for the coder.

        Args:
          tail_mass: probability left outside a channel's alphabet (coded by escape).
          widest: largest absolute symbol considered.

        Returns:
          ([C] arrays of float64 probabilities of consecutive integers, [C] int32 first integer of each).
        """
        edges = np.arange(-widest, widest + 2) - 0.5
        channels = self.matrices[0].shape[0]
        logits = self._cumulative(np.broadcast_to(edges, (channels, edges.size)))
        below, above = 1 / (1 + np.exp(np.minimum(-logits, 700))), 1 / (1 + np.exp(np.minimum(logits, 700)))
        mass = np.where(logits[:, 1:] < 0, below[:, 1:] - below[:, :-1], above[:, :-1] - above[:, 1:])
        first = np.argmax(below[:, 1:] > tail_mass / 2, axis=1)
        last = mass.shape[1] - 1 - np.argmax((above[:, :-1] > tail_mass / 2)[:, ::-1], axis=1)
        last = np.maximum(first, last)
        tables = [np.maximum(m[a : b + 1], 0) for m, a, b in zip(mass, first, last, strict=True)]
        return tables, (first - widest).astype(np.int32)

    def get_config(self):
        return super().get_config() | {"hidden": self.hidden, "init_scale": self.init_scale}
