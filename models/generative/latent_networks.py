"""Networks between pictures of one size and latent vectors (arXiv:1805.11057, from its published code).

    pixels --trunk--> features --head--> codes, or a latent vector;   codes, noise --mapper--> latent vector
    latent vector --generator--> pixels --critic--> a number

Features and codes are 4x4 whatever the size: a picture of side 4 * 2^n has n levels. Pixels lie in [-1, 1]. What is
normalised behind a convolution has no bias, which the mean would take away.
"""

import functools

import keras

from models.training import replicas

GRID = 4  # side of the features, and of the codes
_SLOPE = 0.2  # of the critic's leaky rectifiers
_INITIAL = 0.02  # standard deviation of the first weights


def levels(side: int) -> int:
    """How often a side is halved down to the grid."""
    return (side // GRID).bit_length() - 1


def conv(filters: int, kernel: int = 4, strides: int = 2, **kwargs) -> keras.layers.Layer:
    """Convolution [B, H, W, C] -> [B, H / strides, W / strides, filters]."""
    return keras.layers.Conv2D(filters, kernel, strides, **_COMMON | {"kernel_initializer": _initial()} | kwargs)


def deconv(filters: int, kernel: int = 4, strides: int = 2, **kwargs) -> keras.layers.Layer:
    """Transposed convolution [B, H, W, C] -> [B, strides H, strides W, filters]."""
    given = _COMMON | {"kernel_initializer": _initial()} | kwargs
    return keras.layers.Conv2DTranspose(filters, kernel, strides, **given)


_COMMON = {"padding": "same", "data_format": "channels_last"}


def _initial() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=_INITIAL)


def normalised(together: bool = True, **kwargs) -> keras.layers.Layer:
    """Batch normalisation that follows its batches as the published code's does.

    Args:
      together: whether devices that share a batch share its statistics.
    """
    shared = together and replicas.count() > 1
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=shared, **kwargs)


_rectified = functools.partial(keras.layers.Activation, "relu")


@keras.saving.register_keras_serializable("kompakt")
class NormalisedResidualBlock(keras.layers.Layer):
    """x + norm(conv(relu(norm(conv(x))))), 3x3, of as many channels: [B, H, W, C] -> [B, H, W, C]."""

    def build(self, input_shape):
        own = {"use_bias": False, "dtype": self.dtype_policy}
        self.first, self.second = (conv(input_shape[-1], 3, 1, **own) for _ in range(2))
        self.norms = [normalised(dtype=self.dtype_policy) for _ in range(2)]
        for layer in (self.first, self.second, *self.norms):
            layer.build(input_shape)

    def call(self, x, training=None):
        """As the class says; `training` as of batch normalisation."""
        y = keras.ops.relu(self.norms[0](self.first(x), training=training))
        return x + self.norms[1](self.second(y), training=training)


def trunk(side: int, channels: int, together: bool = True) -> keras.Sequential:
    """Pixels [B, S, S, 3] -> features [B, 4, 4, channels 2^(n - 1)]; `together` as of `normalised`."""
    layers = [keras.Input((side, side, 3)), conv(channels), _rectified()]
    for level in range(1, levels(side)):
        layers += [conv(channels << level, use_bias=False), normalised(together), _rectified()]
    return keras.Sequential(layers, name="trunk")


def code_head(channels: int, depth: int) -> keras.Sequential:
    """Features [B, 4, 4, `channels`] -> what is quantised, [B, 4, 4, depth]."""
    return keras.Sequential([keras.Input((GRID, GRID, channels)), conv(depth, 3, 1)], name="code_head")


def latent_head(channels: int, latents: int, together: bool = True) -> keras.Sequential:
    """Features [B, 4, 4, `channels`] -> latent vectors [B, latents], of mean 0 and variance 1 over a batch."""
    return keras.Sequential([keras.Input((GRID, GRID, channels)), *_to_vector(latents, together)], name="latent_head")


def _to_vector(latents: int, together: bool = True) -> list[keras.layers.Layer]:
    # What the prior has is not learned: neither a mean nor a scale is.
    return [conv(latents, GRID, 1, padding="valid", use_bias=False), keras.layers.Reshape((latents,)),
            normalised(together, center=False, scale=False)]  # fmt: skip


def mapper(depth: int, channels: int, latents: int, blocks: int = 2) -> keras.Sequential:
    """The stochastic map B: codes and noise [B, 4, 4, depth] -> latent vectors [B, latents].

    Args:
      depth: of codes and noise together. channels: filters. blocks: residual blocks.
    """
    layers = [keras.Input((GRID, GRID, depth)), deconv(channels, 3, 1, use_bias=False), normalised(), _rectified()]
    layers += [NormalisedResidualBlock() for _ in range(blocks)]
    return keras.Sequential([*layers, *_to_vector(latents)], name="mapper")


def generator(side: int, channels: int, latents: int, together: bool = True) -> keras.Sequential:
    """Latent vectors [B, latents] -> pixels [B, S, S, 3] in [-1, 1]."""
    count = levels(side)
    layers = [keras.Input((latents,)), keras.layers.Reshape((1, 1, latents))]
    for level in range(count, -1, -1):
        filters = channels << max(level - 1, 0)
        first = {"strides": 1, "padding": "valid"} if level == count else {}
        layers += [deconv(filters, use_bias=False, **first), normalised(together), _rectified()]
    return keras.Sequential([*layers, conv(3, 3, 1), keras.layers.Activation("tanh")], name="generator")


def critic(side: int, channels: int) -> keras.Sequential:
    """Pixels [B, S, S, 3] -> numbers [B, 1], higher for what looks real."""
    layers = [keras.Input((side, side, 3)), conv(channels, 3, 1), keras.layers.LeakyReLU(_SLOPE)]
    for level in range(levels(side)):
        norm = keras.layers.LayerNormalization(axis=(1, 2, 3), epsilon=1e-5)  # batch statistics would tie examples
        layers += [conv(channels << level), norm, keras.layers.LeakyReLU(_SLOPE)]
    last = [conv(1, GRID, 1, padding="valid"), keras.layers.Reshape((1,))]
    return keras.Sequential([*layers, *last], name="critic")
