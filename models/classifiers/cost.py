"""What a network costs to run: its multiply-adds and its parameters, from the layers' shapes."""

import math

import keras


def multiply_adds(network: keras.Model) -> int:
    """Multiplications of one picture's forward pass in convolutions and dense layers; all else is left out, as usual.

    Args:
      network: a Functional model with known sizes.
    """
    return sum(_of_layer(layer) for layer in network.layers)


def _of_layer(layer: keras.layers.Layer) -> int:
    if isinstance(layer, keras.Model):
        return multiply_adds(layer)
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
        return math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    return math.prod(layer.kernel.shape) if isinstance(layer, keras.layers.Dense) else 0


def parameters(network: keras.Model) -> int:
    """Numbers that are trained: running means and variances are not counted."""
    return sum(math.prod(v.shape) for v in network.trainable_variables)
