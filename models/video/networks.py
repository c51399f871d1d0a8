"""The networks of a codec of clips: motion found on a pyramid, its codec, warping, motion compensation.

A flow says for every pixel of a frame where in the reference it was, in pixels: frame[p] is about reference[p + flow].
Channel 0 is the step to the right, channel 1 that downwards.
"""

import keras
from keras import layers, ops

from models.codecs import codec
from models.codecs.factorized import Factorized

STEP = 4.0  # quantisation steps a pixel of a flow that is coded without a transform
_SLOPE = 0.1  # of the leaky rectifiers between the layers of the motion codec
_EXACT = {"autocast": False}  # in half precision places beyond 2048 are not told apart
_FAR = 256.0  # pixels; a flow that is no number any more would be the end of a training


def warp(reference, flow):
    """The reference as it is seen along a flow, bilinear between pixels; beyond the edge the edge is continued.

    Args:
      reference: [B, H, W, C] float32.
      flow: [B, H, W, 2] float32, pixels, from the frame to the reference.

    Returns:
      [B, H, W, C] float32.
    """
    batch, height, width, channels = ops.shape(reference)
    rows = ops.reshape(ops.cast(ops.arange(height), "float32"), (1, -1, 1)) + flow[..., 1]
    columns = ops.reshape(ops.cast(ops.arange(width), "float32"), (1, 1, -1)) + flow[..., 0]
    rows = ops.clip(rows, 0.0, ops.cast(height - 1, "float32"))
    columns = ops.clip(columns, 0.0, ops.cast(width - 1, "float32"))
    top, left = ops.stop_gradient(ops.floor(rows)), ops.stop_gradient(ops.floor(columns))
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    top, left = ops.cast(top, "int32"), ops.cast(left, "int32")
    bottom, beside = ops.minimum(top + 1, height - 1), ops.minimum(left + 1, width - 1)
    flat = ops.reshape(reference, (-1, channels))
    starts = ops.reshape(ops.arange(batch, dtype="int32") * (height * width), (-1, 1, 1))

    def at(row, column):
        return ops.take(flat, starts + row * width + column, axis=0)

    above = at(top, left) * (1.0 - right) + at(top, beside) * right
    below = at(bottom, left) * (1.0 - right) + at(bottom, beside) * right
    return above * (1.0 - down) + below * down


def halved(x):
    """Means of 2x2 positions: [B, H, W, C], sides even -> [B, H/2, W/2, C]."""
    return ops.average_pool(x, 2, 2, "valid", data_format="channels_last")


def doubled(x):
    """Bilinear, twice the sides: [B, H, W, C] -> [B, 2H, 2W, C]; written out, since no resize runs everywhere."""
    for axis in (1, 2):
        first, last = (ops.take(x, ops.convert_to_tensor([n]), axis=axis) for n in (0, -1))
        length = ops.shape(x)[axis]
        inner = ops.take(x, ops.arange(length - 1), axis=axis), ops.take(x, ops.arange(1, length), axis=axis)
        before, behind = ops.concatenate([first, inner[0]], axis), ops.concatenate([inner[1], last], axis)
        pair = ops.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * behind], axis + 1)
        shape = list(ops.shape(x))
        shape[axis] = 2 * length
        x = ops.reshape(pair, shape)
    return x


def _convolution(filters: int, kernel: int, **kwargs) -> layers.Layer:
    return layers.Conv2D(filters, kernel, padding="same", data_format="channels_last", **kwargs)


@keras.saving.register_keras_serializable("kompakt")
class FlowPyramid(layers.Layer):
    """Motion from coarse to fine: each level corrects the flow of the one below (arXiv:1611.00850).

    Args:
      width: int, filters of the levels' layers: width, twice that, width, half of it.
      kernel: int, side of the kernels.
      levels: int, resolutions, each half of the one above.

    `call` takes a frame and a reference, [B, H, W, 3] float32 in [0, 1], sides multiples of 2^(levels-1), and returns
    the flows of all levels, the finest last: [B, H, W, 2] float32, pixels of their resolution.
    """

    def __init__(self, width: int = 32, kernel: int = 7, levels: int = 4, **kwargs):
        super().__init__(**kwargs | _EXACT)
        self.width, self.kernel, self.levels = width, kernel, levels
        small = keras.initializers.RandomNormal(stddev=1e-2)
        self.networks = [
            keras.Sequential(
                [
                    keras.Input((None, None, 8)),
                    *(
                        _convolution(w, kernel, activation="relu")
                        for w in (width, 2 * width, width, max(width // 2, 1))
                    ),
                    _convolution(2, kernel, kernel_initializer=small),
                ],
                name=f"level_{n}",
            )
            for n in range(levels)
        ]

    def build(self, *shapes):
        """All is made already."""

    def call(self, frame, reference):
        """See the class."""
        pyramid = [(frame, reference)]
        for _ in range(self.levels - 1):
            pyramid.append(tuple(halved(x) for x in pyramid[-1]))
        flow, flows = ops.zeros_like(pyramid[-1][0][..., :2]), []
        for network, (frame, reference) in zip(self.networks, pyramid[::-1], strict=True):
            flow = 2.0 * doubled(flow) if flows else flow
            seen = ops.concatenate([frame, warp(reference, flow), flow], -1)
            flow = ops.clip(flow + ops.cast(network(seen), "float32"), -_FAR, _FAR)
            flows.append(flow)
        return flows

    def compute_output_shape(self, frame, reference):
        sides = [(frame[1] >> n, frame[2] >> n) if frame[1] else (None, None) for n in range(self.levels)]
        return [(frame[0], *pair, 2) for pair in sides[::-1]]

    def get_config(self):
        return super().get_config() | {"width": self.width, "kernel": self.kernel, "levels": self.levels}


@keras.saving.register_keras_serializable("kompakt")
class MotionCodec(Factorized):
    """The codec of flows [B, H, W, 2] in pixels: eight 3x3 convolutions each way and a factorised prior.

    As the co-author's code has it (leaky rectifiers); the paper's figure has fewer layers and GDN. Most latents of
    motion stay zero, so the prior starts narrow.
    """

    PRIOR_SCALE = 2.0

    def transforms(self, config):
        """Strides 2, 1, 2, 1, ... and their mirror."""
        leaky, n = layers.LeakyReLU, config.channels
        down: list = [keras.Input((None, None, 2))]
        up: list = [keras.Input((None, None, config.latents)), layers.Rescaling(1 / codec.GAIN)]
        for level in range(4):
            last = level == 3
            down += [_convolution(n, 3, strides=2), leaky(_SLOPE), _convolution(config.latents if last else n, 3)]
            down += [] if last else [leaky(_SLOPE)]
            transposed = layers.Conv2DTranspose(n, 3, strides=2, padding="same", data_format="channels_last")
            up += [transposed, leaky(_SLOPE), _convolution(2 if last else n, 3)]
            up += [] if last else [leaky(_SLOPE)]
        return (
            keras.Sequential([*down, layers.Rescaling(codec.GAIN)], name="analysis"),
            keras.Sequential(up, name="synthesis"),
        )


@keras.saving.register_keras_serializable("kompakt")
class RawMotion(Factorized):
    """No codec of flows: they are rounded to quarters of a pixel and coded as they are, for the ablation."""

    stride = 1

    def transforms(self, config):
        """Scaling alone."""
        return tuple(
            keras.Sequential([keras.Input((None, None, 2)), layers.Rescaling(scale)], name=name)
            for scale, name in ((STEP, "analysis"), (1 / STEP, "synthesis"))
        )


@keras.saving.register_keras_serializable("kompakt")
class PreActivated(layers.Layer):
    """x + conv(relu(conv(relu(x)))), 3x3, of as many channels: [B, H, W, C] -> [B, H, W, C] (arXiv:1603.05027)."""

    def build(self, input_shape):
        self.first, self.second = (_convolution(input_shape[-1], 3, dtype=self.dtype_policy) for _ in range(2))
        self.first.build(input_shape)
        self.second.build(input_shape)

    def call(self, x):
        return x + self.second(ops.relu(self.first(ops.relu(x))))


@keras.saving.register_keras_serializable("kompakt")
class Compensation(layers.Layer):
    """What the warped reference lacks of the frame, added to it (arXiv:1812.00101, figure 4; as the code has it).

    Args:
      channels: int, of all layers.

    `call` takes the warped reference and the reference, [B, H, W, 3] float32, sides multiples of 4; returns the same
    shape. The last layer starts small, so that the prediction starts as the warped reference.
    """

    def __init__(self, channels: int = 64, **kwargs):
        super().__init__(**kwargs | _EXACT)
        self.channels = channels

    def build(self, *shapes):
        near_zero = keras.initializers.RandomNormal(stddev=1e-3)
        self.entry = _convolution(self.channels, 3, activation="relu", dtype=self.dtype_policy)
        self.blocks = [PreActivated(dtype=self.dtype_policy, name=f"block_{n}") for n in range(6)]
        self.exit = _convolution(3, 3, kernel_initializer=near_zero, dtype=self.dtype_policy)
        self.entry.build((None, None, None, 6))
        for layer in (*self.blocks, self.exit):
            layer.build((None, None, None, self.channels))

    def call(self, warped, reference):
        """See the class."""
        b0, b1, b2, b3, b4, b5 = self.blocks
        whole = b0(self.entry(ops.concatenate([warped, reference], -1)))
        half = b1(halved(whole))
        quarter = b3(b2(halved(half)))
        half = b4(doubled(quarter) + half)
        return warped + ops.cast(self.exit(b5(doubled(half) + whole)), "float32")

    def compute_output_shape(self, warped, reference):
        return warped

    def get_config(self):
        return super().get_config() | {"channels": self.channels}
