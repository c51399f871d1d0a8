"""The networks of a hierarchy of scales: encoders in floating point, decoders of exact integers.

What a decoder gives steers the coder, so it must be the same everywhere: `models.layers.integer`. What an encoder
gives is coded, and may round as it likes. Reference: arXiv:1811.12817, figure 2 and its released code.
"""

import keras
from keras import layers, ops

from models.layers.conv import depth_to_space
from models.layers.integer import VALUE_BITS, IntegerConv2D, IntegerResidual, bounded
from models.lossless.mixture_parameters import OUTPUT_BITS, Parameters

_ATROUS = (1, 2, 4)


def encoder(filters: int, blocks: int, inputs: int, channels: int, name: str) -> keras.Model:
    """[B, H, W, inputs] -> (features [B, H/2, W/2, filters], values to quantise [B, H/2, W/2, channels])."""

    def conv(width, kernel=3, strides=1, variance=1.0):
        start = keras.initializers.VarianceScaling(variance, "fan_avg", "uniform")
        return layers.Conv2D(
            width, kernel, strides, padding="same", data_format="channels_last", kernel_initializer=start
        )

    given = keras.Input((None, None, inputs))
    first = x = conv(filters, 5, 2)(conv(filters)(given))
    for _ in range(blocks):
        x = layers.Add()([x, conv(filters, variance=0.1)(layers.ReLU()(conv(filters)(x)))])
    features = layers.Add()([first, conv(filters, variance=0.1)(x)])
    return keras.Model(given, (features, conv(channels, 1)(features)), name=name)


class ScaleDecoder(layers.Layer):
    """The values of a scale, and the features of the one above -> what the scale below is coded under.

    Args:
      filters, blocks: of the body.
      parameters: how the outputs are read, of the scale below.
      size: of the alphabet of the values that are given.
      features: whether those of the scale above are given.
    """

    def __init__(self, filters: int, blocks: int, parameters: Parameters, size: int, features: bool, **kwargs):
        super().__init__(**(kwargs | {"dtype": "float32"}))
        self.parameters, self.filters, self.size, self.features = parameters, filters, size, features
        # No rectifier follows the first ones: gains that keep features about one, far from where they are cut off.
        self.head = IntegerConv2D(filters, 1, gain=0.7)
        self.body = [IntegerResidual(filters) for _ in range(blocks)]
        self.last = IntegerConv2D(filters, gain=0.3)
        self.up = IntegerConv2D(4 * filters, gain=0.7)
        self.atrous = [IntegerConv2D(filters, 3, rate, gain=0.7) for rate in _ATROUS]
        self.outputs = IntegerConv2D(parameters.outputs, 1, output_bits=OUTPUT_BITS, gain=0.1)

    def build(self, input_shape):
        self.head.build(input_shape)
        wide = (*input_shape[:-1], self.filters)
        for layer in (*self.body, self.last, self.up, *self.atrous):
            layer.build(wide)
        self.outputs.build((*input_shape[:-1], len(_ATROUS) * self.filters))
        self.outputs.bias.assign(self.parameters.first_biases())

    def call(self, values, above=None):
        """Decodes a scale.

        Args:
          values: [B, h, w, C] float32, 0 to size - 1. above: [B, h, w, filters] of the scale above, or None.

        Returns:
          (features [B, 2h, 2w, filters], outputs [B, 2h, 2w, parameters.outputs]), float32.
        """
        fit = bounded if self.head.exact else lambda x: x
        # A power of two: exact. Levels then lie about one apart from end to end.
        x = self.head((values - self.size // 2) * 2.0 ** -min(max(self.size.bit_length() - 2, 0), VALUE_BITS))
        first = x = x if above is None else fit(x + above)
        for block in self.body:
            x = block(x)
        features = depth_to_space(self.up(fit(first + self.last(x))), 2)
        seen = ops.concatenate([conv(features) for conv in self.atrous], axis=-1)
        return features, self.outputs(seen)
