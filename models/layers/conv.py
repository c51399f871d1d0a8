"""Convolutions: strided, transposed, sub-pixel, causally masked in two and three dimensions, in residual blocks."""

import keras
import numpy as np
from keras import ops

_SLOPE = 0.2  # of the leaky rectifier in residual blocks


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


@keras.saving.register_keras_serializable("kompakt")
class MaskedConv3D(keras.layers.Conv3D):
    """Convolution over volumes that sees what comes before in the order depth, row, column (arXiv:1801.04260, 3.2).

    Of the kernel's last slice it sees the rows above and what is to the left, and the position itself only where
    `sees_centre` is true; the slices before are seen whole. Nothing is padded: [B, D, H, W, C] -> [B, D - d + 1,
    H - h + 1, W - w + 1, filters] for a kernel of d x h x w, whose output belongs to the last slice's centre.
    """

    def __init__(self, filters: int, kernel_size=(2, 3, 3), sees_centre: bool = True, **kwargs):
        super().__init__(filters, kernel_size, **({"padding": "valid", "data_format": "channels_last"} | kwargs))
        _, height, width = self.kernel_size
        mask = np.ones((*self.kernel_size, 1, 1), "float32")
        mask[-1, height // 2, width // 2 + int(sees_centre) :] = 0
        mask[-1, height // 2 + 1 :] = 0
        self.sees_centre, self.mask = sees_centre, mask

    @property
    def taps(self) -> list[tuple[int, int, int]]:
        """(slice, row, column) offsets of the positions it sees, relative to the output's; in the kernel's order."""
        depth, height, width = self.kernel_size
        offsets = np.argwhere(self.mask[..., 0, 0]) - (depth - 1, height // 2, width // 2)
        return [(int(s), int(r), int(c)) for s, r, c in offsets]

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel * ops.cast(self.mask, kernel.dtype))

    def get_config(self):
        return super().get_config() | {"sees_centre": self.sees_centre}


@keras.saving.register_keras_serializable("kompakt")
class ResidualBlock(keras.layers.Layer):
    """x + conv(leaky(conv(x))), 3x3, of as many channels: [B, H, W, C] -> [B, H, W, C] (arXiv:1703.00395, figure 2).

    The second convolution starts small, so that a new block hardly changes what passes it.
    """

    def build(self, input_shape):
        common = {"padding": "same", "data_format": "channels_last", "dtype": self.dtype_policy}
        self.first = keras.layers.Conv2D(input_shape[-1], 3, **common)
        self.second = keras.layers.Conv2D(
            input_shape[-1], 3, kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3), **common
        )
        self.first.build(input_shape)
        self.second.build(input_shape)

    def call(self, x):
        return x + self.second(keras.activations.leaky_relu(self.first(x), _SLOPE))
