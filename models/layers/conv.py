"""Convolutions of the transforms: strided, transposed, sub-pixel, causally masked."""

import keras
import numpy as np
from keras import ops


def downsample(filters: int, kernel: int = 5, **kwargs) -> keras.layers.Layer:
    """Convolution with stride 2: [B, H, W, C] -> [B, ceil(H/2), ceil(W/2), filters]."""
    return keras.layers.Conv2D(filters, kernel, strides=2, padding="same", data_format="channels_last", **kwargs)


def upsample(filters: int, kernel: int = 5, **kwargs) -> keras.layers.Layer:
    """Transposed convolution with stride 2: [B, H, W, C] -> [B, 2H, 2W, filters]."""
    return keras.layers.Conv2DTranspose(
        filters, kernel, strides=2, padding="same", data_format="channels_last", **kwargs
    )


def depth_to_space(x, factor: int):
    """[B, H, W, factor*factor*C] -> [B, factor*H, factor*W, C], any dtype."""
    batch, height, width, depth = ops.shape(x)
    channels = depth // factor**2
    x = ops.reshape(x, (batch, height, width, factor, factor, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (batch, height * factor, width * factor, channels))


def space_to_depth(x, factor: int):
    """[B, H, W, C] -> [B, H / factor, W / factor, factor*factor*C], any dtype; the inverse of `depth_to_space`."""
    batch, height, width, channels = ops.shape(x)
    x = ops.reshape(x, (batch, height // factor, factor, width // factor, factor, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (batch, height // factor, width // factor, channels * factor**2))


@keras.saving.register_keras_serializable("kompakt")
class SubPixelConv2D(keras.layers.Layer):
    """Convolution to factor^2 times the channels, then depth to space (arXiv:1609.05158).

    [B, H, W, C] -> [B, factor*H, factor*W, filters].
    """

    def __init__(self, filters: int, kernel: int = 3, factor: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel, self.factor = filters, kernel, factor
        self.conv = keras.layers.Conv2D(
            filters * factor**2, kernel, padding="same", data_format="channels_last", dtype=self.dtype_policy
        )

    def build(self, input_shape):
        self.conv.build(input_shape)

    def call(self, x):
        """x: [B, H, W, C] float. Returns [B, factor*H, factor*W, filters]."""
        return depth_to_space(self.conv(x), self.factor)

    def get_config(self):
        return super().get_config() | {"filters": self.filters, "kernel": self.kernel, "factor": self.factor}


@keras.saving.register_keras_serializable("kompakt")
class MaskedConv2D(keras.layers.Conv2D):
    """Convolution that sees only what comes before in raster order: the rows above, and to the left (arXiv:1601.06759).

    Its centre is masked too (mask "A"), so the output at a position does not depend on that position. [B, H, W, C] ->
    [B, H, W, filters].
    """

    def __init__(self, filters: int, kernel_size: int = 5, **kwargs):
        super().__init__(filters, kernel_size, **({"padding": "same", "data_format": "channels_last"} | kwargs))
        height, width = self.kernel_size
        mask = np.zeros((height, width, 1, 1), "float32")
        mask[: height // 2] = 1
        mask[height // 2, : width // 2] = 1
        self.mask = mask

    @property
    def taps(self) -> list[tuple[int, int]]:
        """(row, column) offsets, relative to the centre, of the positions it sees; in the kernel's order."""
        height, width = self.kernel_size
        rows, columns = np.nonzero(self.mask[:, :, 0, 0])
        return [(int(r) - height // 2, int(c) - width // 2) for r, c in zip(rows, columns, strict=True)]

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel * ops.cast(self.mask, kernel.dtype))
