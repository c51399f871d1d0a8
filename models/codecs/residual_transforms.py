"""Transforms of stride 8 with residual blocks, and the map that says how many channels a place of them spends.

Mentzer, Agustsson, Tschannen, Timofte, Van Gool, arXiv:1801.04260 (figure 2 and section 3.1): two strided convolutions,
groups of three residual blocks with a skip a group and one over all of them, and a strided convolution; the way back is
the mirror. Pixels are brought to mean zero and variance one by fixed numbers, those of the training pictures there.

    x --analysis--> [.., K + 1] --map--> y = K sigmoid(2 + first / 16), mask_k = min(max(y - k, 0), 1)
                                    '--> z = other channels times mask
"""

import keras
import numpy as np
from keras import ops

from models.training import replicas

STRIDE = 8  # pixels a latent, each way
_MEAN = (121.85, 113.59, 100.64)  # of red, green, blue on [0, 255]
_VARIANCE = (4746.4, 4454.1, 4812.2)
_BLOCKS = 3  # of a group
# Before the decoder is any good, all that its inputs do is noise, and a map that learns as fast as the rest shuts for
# good. So it starts open, and learns slower.
_PACE, _OPEN = 1 / 16, 2.0


def halo(groups: int) -> int:
    """Latents around a tile that the transforms see: each convolution at a quarter of the sides reaches 4 pixels."""
    return 4 + 3 * groups


def analysis(channels: int, groups: int, outputs: int, normalised: bool) -> keras.Model:
    """Pixels [B, H, W, 3] in [0, 1] -> [B, H/8, W/8, outputs]."""
    inputs = keras.Input((None, None, 3))
    variance = [v / 255.0**2 for v in _VARIANCE]
    x = keras.layers.Normalization(mean=[m / 255.0 for m in _MEAN], variance=variance)(inputs)
    x = _convolution(x, max(channels // 2, 1), 5, normalised, strides=2)
    x = _convolution(x, channels, 5, normalised, strides=2)
    x = _residual(x, channels, groups, normalised)
    y = keras.layers.Conv2D(outputs, 5, strides=2, padding="same", data_format="channels_last", name="latents")(x)
    return keras.Model(inputs, y, name="analysis")


def synthesis(channels: int, groups: int, latents: int, normalised: bool) -> keras.Model:
    """Quantised latents [B, h, w, latents] -> pixels [B, 8h, 8w, 3], not clipped."""
    inputs = keras.Input((None, None, latents))
    x = _convolution(inputs, channels, 3, normalised, strides=2, transposed=True)
    x = _residual(x, channels, groups, normalised)
    x = _convolution(x, max(channels // 2, 1), 5, normalised, strides=2, transposed=True)
    small = keras.initializers.VarianceScaling(0.01)
    y = keras.layers.Conv2DTranspose(
        3, 5, strides=2, padding="same", data_format="channels_last", kernel_initializer=small, name="pixels"
    )(x)
    deviation = np.sqrt(_VARIANCE) / 255.0
    y = keras.layers.Rescaling(deviation.tolist(), [m / 255.0 for m in _MEAN], dtype="float32")(y)
    return keras.Model(inputs, y, name="synthesis")


def _convolution(
    x, filters: int, kernel: int, normalised: bool, *, strides: int = 1, transposed: bool = False,
    rectified: bool = True, scale: float = 2.0,
):  # fmt: skip
    """A convolution, normalisation if wanted, and a ReLU; `scale` is of the first weights' variance."""
    layer = keras.layers.Conv2DTranspose if transposed else keras.layers.Conv2D
    x = layer(
        filters, kernel, strides=strides, padding="same", data_format="channels_last", use_bias=not normalised,
        kernel_initializer=keras.initializers.VarianceScaling(scale),
    )(x)  # fmt: skip
    if normalised:
        x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=replicas.count() > 1)(x)
    return keras.layers.ReLU()(x) if rectified else x


def _residual(x, channels: int, groups: int, normalised: bool):
    """Groups of blocks and one more block without activation, with their skips."""
    first = x
    for _ in range(groups):
        before = x
        for _ in range(_BLOCKS):
            x = _block(x, channels, normalised)
        x = keras.layers.Add()([before, x])
    return keras.layers.Add()([first, _block(x, channels, normalised, rectified=False)])


def _block(x, channels: int, normalised: bool, rectified: bool = True):
    """Two convolutions, added to what they are given: at first they add little, so that depth costs nothing."""
    y = _convolution(x, channels, 3, normalised, rectified=rectified)
    return keras.layers.Add()([x, _convolution(y, channels, 3, normalised, rectified=False, scale=0.1)])


@keras.saving.register_keras_serializable("kompakt")
class ImportanceMap(keras.layers.Layer):
    """Masks trailing channels: [B, h, w, K + 1] -> (masked latents, mask), [B, h, w, K] float32 each.

    A decoder needs no map: masked latents are zero, and so are decoded as the centre next to zero.

    Args:
      binary: whether the mask that is applied is rounded up, with the gradient of the one that is not.
    """

    def __init__(self, binary: bool = False, **kwargs):
        super().__init__(**kwargs | {"dtype": "float32"})
        self.binary = binary

    def call(self, features):
        """See the class."""
        features = ops.cast(features, "float32")
        first, latents = features[..., :1], features[..., 1:]
        channels = latents.shape[-1]
        kept = channels * ops.sigmoid(_PACE * first + _OPEN)
        mask = ops.clip(kept - ops.arange(channels, dtype="float32"), 0.0, 1.0)
        if self.binary:
            mask = mask + ops.stop_gradient(ops.ceil(mask) - mask)
        return latents * mask, mask

    def get_config(self):
        return super().get_config() | {"binary": self.binary}


class MaskedAnalysis(keras.layers.Layer):
    """An analysis whose trailing channels a map masks: pixels [B, H, W, 3] in [0, 1] -> [B, H/8, W/8, K] float32.

    Args:
      transform: the analysis. importance: the map, or None, and nothing is masked.
    """

    def __init__(self, transform: keras.Model, importance: ImportanceMap | None, **kwargs):
        super().__init__(**kwargs)
        self.transform, self.importance = transform, importance
        self.built = True

    def call(self, x):
        """See the class."""
        return self.with_mask(x)[0]

    def with_mask(self, x):
        """(masked latents, mask), both [B, H/8, W/8, K] float32."""
        features = ops.cast(self.transform(x), "float32")
        return (features, ops.ones_like(features)) if self.importance is None else self.importance(features)
