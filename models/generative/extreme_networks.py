"""Networks of the codec for extreme rates: encoder, residual generator, critic at several scales (arXiv:1804.02958).

Normalised is each position over its channels, as in arXiv:2006.09965, not each channel over the picture: of latents of
4x4 positions that would leave nothing, and a picture that is served tile by tile must not depend on the tiles.
"""

import keras
from keras import ops

from models.layers.conv import upsample

STRIDE = 16  # pixels a latent, each way
_HALVINGS = 4
_SLOPE = 0.2  # of the critic's leaky rectifier
_COMMON = {"padding": "same", "data_format": "channels_last"}


def convolution(filters: int, kernel: int = 3, strides: int = 1) -> keras.layers.Layer:
    """A convolution that is padded."""
    return keras.layers.Conv2D(filters, kernel, strides, **_COMMON)


def normalisation() -> keras.layers.Layer:
    """Of each position over its channels."""
    return keras.layers.LayerNormalization(axis=-1)


def rectified() -> list:
    """What follows a convolution."""
    return [normalisation(), keras.layers.ReLU()]


def encoder(inputs: int, channels: int, halvings: int = _HALVINGS) -> list:
    """c7s1-n, d2n, d4n, ...: [B, H, W, inputs] -> [B, H / 2^k, W / 2^k, 2^k n]."""
    layers = [keras.Input((None, None, inputs)), convolution(channels, 7), *rectified()]
    for level in range(1, halvings + 1):
        layers += [convolution(channels << level, 3, 2), *rectified()]
    return layers


def analysis(channels: int, latents: int) -> keras.Sequential:
    """Pixels [B, H, W, 3] on [-1, 1] -> latents [B, H/16, W/16, latents].

    The last layer is linear: rectified, two of the five centres would never be chosen.
    """
    return keras.Sequential([*encoder(3, channels), convolution(latents)], name="analysis")


def synthesis(channels: int, inputs: int, blocks: int, upsampling: str) -> keras.Sequential:
    """[B, h, w, inputs] -> pixels [B, 16h, 16w, 3] on [-1, 1]."""
    width = channels << _HALVINGS
    layers = [keras.Input((None, None, inputs)), convolution(width), *rectified()]
    layers += [NormalisedBlock(width) for _ in range(blocks)]
    for level in reversed(range(_HALVINGS)):
        layers += [*doubled(channels << level, upsampling), *rectified()]
    return keras.Sequential([*layers, convolution(3, 7), keras.layers.Activation("tanh")], name="synthesis")


def doubled(filters: int, upsampling: str) -> list:
    """Layers [B, h, w, C] -> [B, 2h, 2w, filters]: a transposed convolution, or neighbours repeated and convolved."""
    if upsampling == "transposed":
        return [upsample(filters, 3)]
    return [keras.layers.UpSampling2D(2, data_format="channels_last"), convolution(filters)]


def halo(blocks: int) -> int:
    """Latents that the networks reach beyond a position: the generator two a block, one before, two behind."""
    return 2 * blocks + 3


@keras.saving.register_keras_serializable("kompakt")
class NormalisedBlock(keras.layers.Layer):
    """x + norm(conv(relu(norm(conv(x))))), 3x3: [B, H, W, filters] of its own shape."""

    def __init__(self, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        layers = [convolution(filters), *rectified(), convolution(filters), normalisation()]
        self.body = keras.Sequential([keras.Input((None, None, filters)), *layers])

    def build(self, input_shape):
        self.built = True

    def call(self, x):
        return x + self.body(x)

    def get_config(self):
        return super().get_config() | {"filters": self.filters}


@keras.saving.register_keras_serializable("kompakt")
class Critic(keras.layers.Layer):
    """Critics of patches, one a scale, each of the picture at half the size of the one before (arXiv:1711.11585).

    Takes [B, H, W, inputs] and gives for each scale what its layers give, the scores [B, h, w, 1] last.

    Args:
      inputs: channels, those of the picture and of what it is judged beside. channels: filters of the first layer,
        doubled in each of the next three. scales: how many.
    """

    def __init__(self, inputs: int, channels: int, scales: int, **kwargs):
        super().__init__(**kwargs)
        self.inputs, self.channels = inputs, channels
        self.half = keras.layers.AveragePooling2D(3, 2, **_COMMON)
        self.scales = [self._scale(f"scale_{n}") for n in range(scales)]

    def _scale(self, name: str) -> keras.Model:
        x = keras.Input((None, None, self.inputs))
        y, found = x, []
        for level in range(4):
            y = convolution(self.channels << level, 4, 2)(y)
            y = normalisation()(y) if level else y
            y = keras.layers.LeakyReLU(_SLOPE)(y)
            found.append(y)
        return keras.Model(x, [*found, convolution(1, 4)(y)], name=name)

    def build(self, input_shape):
        self.built = True

    def call(self, x):
        found = []
        for n, scale in enumerate(self.scales):
            x = self.half(x) if n else x
            found.append(scale(x))
        return found

    def get_config(self):
        sizes = {"inputs": self.inputs, "channels": self.channels, "scales": len(self.scales)}
        return super().get_config() | sizes


def scores(found: list) -> list:
    """The scores of all scales of what a `Critic` gives."""
    return [layers[-1] for layers in found]


def features(found: list) -> list:
    """What the layers before the scores give, of all scales."""
    return [values for layers in found for values in layers[:-1]]


def on_one(x):
    """Pixels on [0, 1] -> on [-1, 1], as the networks have them."""
    return 2.0 * ops.cast(x, "float32") - 1.0
