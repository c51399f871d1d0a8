"""A `CausalNetwork` in exact integers, with what a picture changes of its weights.

Some weights have a part of the picture's own (`causal_adaptation`), integers in units of 2^-OWN_BITS: all biases, and
the kernels of the layers that give shifts and mixtures. They are one vector, layer after layer.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from models.layers import fixed_point
from models.lossless.causal_network import SLOPE, CausalNetwork

OWN_BITS = 7  # fraction bits
Weights = list[tuple[tf.Tensor, tf.Tensor]]  # kernels and biases, layer after layer


def layers_of(network: CausalNetwork) -> list:
    """All layers: two of the trunk, the shifts, three hidden ones, three of mixtures."""
    return [*network.trunk, network.shift, *network.hidden, *network.outputs]


def shapes_of(network: CausalNetwork) -> list[tuple[int, ...]]:
    """Of what a picture may change, in the vector's order."""
    own = [network.shift, *network.outputs]
    return [tuple(w.shape) for layer in layers_of(network) for w in ([layer.kernel] * (layer in own) + [layer.bias])]


def own_size(network: CausalNetwork) -> int:
    """Length of the vector."""
    return sum(map(math.prod, shapes_of(network)))


def changed(network: CausalNetwork, weights: Weights, own: tf.Tensor, units: tuple[float, float]) -> Weights:
    """Weights with a picture's part, [own_size], in their units: kernels' and biases' of one of its numbers."""
    shapes = shapes_of(network)
    parts = iter(tf.split(own, [math.prod(shape) for shape in shapes]))
    layers, result = layers_of(network), []
    for layer, (kernel, bias) in zip(layers, weights, strict=True):
        if layer is network.shift or layer in network.outputs:
            kernel = kernel + units[0] * tf.reshape(next(parts), tuple(layer.kernel.shape))
        result.append((kernel, bias + units[1] * next(parts)))
    return result


class ExactNetwork:
    """Evaluates a network on integers in float64, see `models.layers.fixed_point`."""

    def __init__(self, network: CausalNetwork):
        """Raises ValueError: weights so large that a sum could be rounded."""
        self.network = network
        for layer in layers_of(network):
            fixed_point.check_sums(layer)

    def weights(self, own: tf.Tensor) -> Weights:
        """In fixed point, with a picture's part, int64 [own_size], that is bounded (`causal_adaptation.read`)."""
        fixed = [fixed_point.fixed_weights(layer) for layer in layers_of(self.network)]
        bits = fixed_point.WEIGHT_BITS - OWN_BITS
        units = 2.0**bits, 2.0 ** (bits + fixed_point.VALUE_BITS)
        return changed(self.network, fixed, tf.cast(own, tf.float64), units)

    def trunk(self, weights: Weights, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(values of the trunk [N, width], shifts [N, 3]) of features [N, FEATURES], multiples of 2^-12, in floats."""
        values = fixed = tf.cast(values, tf.float64) * 2.0**fixed_point.VALUE_BITS
        for place in range(2):
            values = _hidden(weights[place], values)
        return values, fixed_point.rescale(_sums(weights[2], fixed))

    def plane(self, weights: Weights, plane: int, trunk, shift, beside: tf.Tensor) -> Sequence[tf.Tensor]:
        """Means, logarithms of scales and logits of a plane, in 2^-12, int64 [K, N] each."""
        more = tf.cast(beside, tf.float64) * 2.0**fixed_point.VALUE_BITS
        hidden = _hidden(weights[3 + plane], tf.concat([trunk, more], 1))
        values = tf.concat([hidden, more, shift[:, plane : plane + 1]], 1)
        outputs = fixed_point.rescale(_sums(weights[6 + plane], values))
        return tf.split(tf.cast(tf.transpose(outputs), tf.int64), 3)


def _sums(layer: tuple[tf.Tensor, tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    return tf.matmul(values, layer[0]) + layer[1]


def _hidden(layer: tuple[tf.Tensor, tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    return fixed_point.rescale(fixed_point.leaky(_sums(layer, values), SLOPE))
