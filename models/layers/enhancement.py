"""Decoder-side enhancement: a residual network that corrects what the synthesis has drawn."""

import keras
from keras import ops

from models.layers.conv import depth_to_space, space_to_depth


@keras.saving.register_keras_serializable("kompakt")
class Enhancement(keras.layers.Layer):
    """x + scale F(x), F of residual blocks: pixels [B, H, W, 3] -> the same, H and W multiples of `factor`.

    Args:
      filters: int, channels of the blocks.
      factor: int, F works on the picture folded by this factor (2: half resolution, a quarter of the cost).
      blocks: int, residual blocks of two 3x3 convolutions.
      scale: of F; a small one keeps the steps of an optimizer small where x is good already.

    F's last convolution starts near zero, so that the layer starts close to the identity. It reaches
    2 (blocks + 1) * factor pixels. After arXiv:2002.03370, section 3.3, which leaves the layers open.
    """

    def __init__(self, filters: int = 48, factor: int = 2, blocks: int = 3, scale: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.factor, self.blocks, self.scale = filters, factor, blocks, scale

    def build(self, input_shape):
        depth = 3 * self.factor**2

        def convolution(filters, inputs, name, **kwargs):
            layer = keras.layers.Conv2D(
                filters, 3, padding="same", data_format="channels_last", dtype=self.dtype_policy, name=name, **kwargs
            )
            layer.build((None, None, None, inputs))
            return layer

        near_zero = keras.initializers.RandomNormal(stddev=1e-4)
        self.first = convolution(self.filters, depth, "first")
        # One flat list: Keras does not save the weights of layers in nested lists.
        self.inner = [convolution(self.filters, self.filters, f"inner_{i}") for i in range(2 * self.blocks)]
        self.last = convolution(depth, self.filters, "last", kernel_initializer=near_zero)

    def call(self, x):
        """x: [B, H, W, 3] float. Returns the same shape and dtype."""
        values = self.first(space_to_depth(x, self.factor))
        for one, two in zip(self.inner[::2], self.inner[1::2], strict=True):
            values = values + two(ops.relu(one(values)))
        return x + self.scale * depth_to_space(self.last(values), self.factor)

    def compute_output_shape(self, input_shape):
        # JAX cannot see by itself that folding a picture of unknown size leaves nothing over.
        return input_shape

    def get_config(self):
        own = {"filters": self.filters, "factor": self.factor, "blocks": self.blocks, "scale": self.scale}
        return super().get_config() | own
