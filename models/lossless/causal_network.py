"""The network of `causal_mixture`: from what is known of a pixel to a mixture of logistics for each of its planes.

    features -> trunk -> head of green -> its mixture
                   |---> head of red less green, given green ---> its mixture
                   '---> head of blue less green, given both ---> its mixture

Means are given in scales of the position beside its prediction, standard deviations in octaves of the scale: a
neighbourhood of twice the contrast looks the same.
"""

import math

import keras
from keras import ops

from models.lossless import causal_features

SLOPE = 0.125  # of activations below zero, a power of two for exact arithmetic
LEAST_LOG, MOST_LOG = math.log2(0.04), 7.0  # of scales of logistics, octaves of a level
CHANNELS = (1, 0, 2)  # of red, green and blue the one that each plane gives
_LEVELS = 255


class CausalNetwork(keras.layers.Layer):
    """Dense layers between features [N, FEATURES] and the mixtures of three planes."""

    def __init__(self, width: int, head: int, mixtures: int, **kwargs):
        super().__init__(**kwargs)
        dense = keras.layers.Dense
        self.mixtures = mixtures
        self.trunk = [dense(width, name="trunk_0"), dense(width, name="trunk_1")]
        self.shift = dense(causal_features.PLANES, name="shift")
        planes = range(causal_features.PLANES)
        self.hidden = [dense(head, name=f"hidden_{plane}") for plane in planes]
        small = keras.initializers.VarianceScaling(0.05, "fan_avg", "uniform")
        self.outputs = [
            dense(3 * mixtures, kernel_initializer=small, bias_initializer=self._first, name=f"mixture_{plane}")
            for plane in planes
        ]

    def _first(self, shape, dtype=None):
        """Means about the prediction, one octave and a half below the scale, narrow and wide ones."""
        spread = [k - (self.mixtures - 1) / 2 for k in range(self.mixtures)]
        means = [0.1 * s for s in spread]
        return ops.cast(
            ops.convert_to_tensor([*means, *(-1.5 + 0.5 * s for s in spread), *[0.0] * self.mixtures]), dtype
        )

    def build(self, shape):
        """Of features [N, FEATURES]."""
        width, head = self.trunk[0].units, self.hidden[0].units
        self.trunk[0].build((None, shape[-1]))
        self.trunk[1].build((None, width))
        self.shift.build((None, shape[-1]))
        for plane, beside in enumerate(causal_features.BESIDE):
            self.hidden[plane].build((None, width + beside))
            self.outputs[plane].build((None, head + beside + 1))

    def call(self, features, beside):
        """Outputs of the three planes, [N, 3 * mixtures] each: means, logarithms of scales, logits.

        Args:
          features: [N, FEATURES]. beside: a list of [N, n], n of `causal_features.BESIDE` (`causal_features.beside`).
        """
        trunk, shift = features, self.shift(features)
        for layer in self.trunk:
            trunk = ops.leaky_relu(layer(trunk), SLOPE)
        found = []
        for plane, more in enumerate(beside):
            more = ops.cast(more, trunk.dtype)
            hidden = ops.leaky_relu(self.hidden[plane](ops.concatenate([trunk, more], -1)), SLOPE)
            found.append(self.outputs[plane](ops.concatenate([hidden, more, shift[:, plane : plane + 1]], -1)))
        return found


def picture_bits(levels, network, table):
    """Bits of every sub-pixel of pictures, each given those before it.

    Args:
      levels: [B, H, W, 3] float32, 0 to 255. network: as `CausalNetwork.call`. table: `causal_features.logarithms()`.

    Returns:
      [B, H * W] float32, sums over the planes.
    """
    planes = causal_features.planes_of(levels)
    known = causal_features.known_of(planes, table)
    beside = causal_features.beside(planes, known)
    batch, height, width = ops.shape(levels)[:3]
    count = batch * height * width  # -1 is undefined where there are no features, as beside the first plane
    flat = [ops.reshape(values, (count, values.shape[-1])) for values in (known.features, *beside)]
    outputs = network(flat[0], flat[1:])
    unit, total = 2.0**-causal_features.PREDICTION_BITS, 0.0
    for plane, output in enumerate(outputs):
        green = levels[..., 1] if plane else 0.0
        prediction = known.prediction[..., plane] * unit + green
        octaves = known.log_scale[..., plane] * 2.0**-causal_features.LOG_BITS - causal_features.PREDICTION_BITS
        numbers = (levels[..., CHANNELS[plane]], prediction, known.scale[..., plane] * unit, octaves)
        value, prediction, scale, octaves = (ops.reshape(number, (-1,)) for number in numbers)
        total = total + bits(value, output, prediction, scale, octaves)
    return ops.reshape(total, (ops.shape(levels)[0], -1))


def bits(values, outputs, prediction, scale, log_scale):
    """Bits of values under mixtures of logistics in bins of one level, at the ends of the range open ones.

    Args:
      values: [N], red, green or blue, whole levels in floats.
      outputs: [N, 3K] of `CausalNetwork`. prediction: [N], levels. scale: [N], levels. log_scale: [N], its octaves.

    Returns:
      [N] float32.
    """
    outputs = ops.cast(outputs, "float32")
    means, logs, logits = ops.split(outputs, 3, axis=-1)
    offsets = ops.expand_dims(values - prediction, -1) - means * ops.expand_dims(scale, -1)
    logs = ops.clip(logs + ops.expand_dims(log_scale, -1), LEAST_LOG, MOST_LOG)
    inverse = ops.exp(-math.log(2.0) * logs)
    below, above = (offsets - 0.5) * inverse, (offsets + 0.5) * inverse
    values = ops.expand_dims(values, -1)
    # log(sigmoid(above) - sigmoid(below)) without a difference of numbers that are nearly one.
    inside = ops.log(-ops.expm1(-inverse)) - ops.softplus(-above) - ops.softplus(below)
    inside = ops.where(values < 0.5, -ops.softplus(-above), inside)
    inside = ops.where(values > _LEVELS - 0.5, -ops.softplus(below), inside)
    weights = ops.log_softmax(logits, axis=-1)
    return ops.logsumexp(inside + weights, axis=-1) / -math.log(2.0)
