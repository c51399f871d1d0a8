"""Channel attention: the whole picture decides how much each channel counts."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kompakt")
class ChannelAttention(keras.layers.Layer):
    """x * 2 sigmoid(W2 relu(W1 mean(x))), the mean over the picture: [B, H, W, C] -> same shape (arXiv:2002.03370).

    Args:
      reduction: int, the hidden layer has C / reduction units, but 8 at least (the paper leaves both open).

    The second layer starts near zero and the gate is doubled, so that the layer starts close to the identity. A served
    codec sees a large picture in tiles, and the mean is then the tile's.
    """

    def __init__(self, reduction: int = 16, **kwargs):
        super().__init__(**kwargs)
        self.reduction = reduction

    def build(self, input_shape):
        channels = input_shape[-1]
        self.squeeze = keras.layers.Dense(
            max(channels // self.reduction, 8), activation="relu", dtype=self.dtype_policy, name="squeeze"
        )
        near_zero = keras.initializers.RandomNormal(stddev=1e-3)
        self.excite = keras.layers.Dense(channels, kernel_initializer=near_zero, dtype=self.dtype_policy, name="excite")
        self.squeeze.build((None, channels))
        self.excite.build((None, self.squeeze.units))

    def call(self, x):
        """x: [B, H, W, C] float. Returns the same shape and dtype."""
        # The mean over many positions overflows and rounds in half precision.
        mean = ops.cast(ops.mean(ops.cast(x, "float32"), axis=(1, 2)), x.dtype)
        gate = 2.0 * ops.sigmoid(self.excite(self.squeeze(mean)))
        return x * ops.cast(gate, x.dtype)[:, None, None, :]

    def get_config(self):
        return super().get_config() | {"reduction": self.reduction}
