"""What a network costs to run: multiplications, additions, parameters, from shapes and ternary values."""

import math
from typing import NamedTuple

import keras
import numpy as np

from models.layers.strassen import StrassenConv2D, SumProduct
from models.layers.ternary import TernaryMatrix


def multiply_adds(network: keras.Model) -> int:
    """Multiplications of one picture's forward pass in convolutions and dense layers; all else is left out, as usual.

    Args:
      network: a Functional model with known sizes.
    """
    return sum(_of_layer(layer) for layer in network.layers)


def _of_layer(layer: keras.layers.Layer) -> int:
    if isinstance(layer, keras.Model):
        return multiply_adds(layer)
    if isinstance(layer, SumProduct):
        return layer.products * layer.places
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
        return math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    return math.prod(layer.kernel.shape) if isinstance(layer, keras.layers.Dense) else 0


def parameters(network: keras.Model) -> int:
    """Numbers that were trained, ternary ones among them: running means and variances are not counted."""
    frozen = [m.kernel for m in network._flatten_layers() if isinstance(m, TernaryMatrix) and m.form == "folded"]
    return sum(math.prod(v.shape) for v in (*network.trainable_variables, *frozen))


class Operations(NamedTuple):
    """What a layer takes for one picture.

    Attributes:
      name: of the layer. kind: "sum-product", "convolution", "dense" or "normalisation".
      multiplications, additions: exact; a product with a padded zero counts, and so does its addition.
      plain: multiplications of the layer that a sum-product one stands for; of others their own.
      density: share of the ternary values that are not zero; None of other layers.
    """

    name: str
    kind: str
    multiplications: int
    additions: int
    plain: int
    density: float | None = None


def operations(network: keras.Model) -> list[Operations]:
    """The operations of one picture's forward pass, layer by layer; pooling and activations are left out.

    A normalisation is a factor and a shift an output. A ternary matrix adds what is not zero: n values take n - 1
    additions; the shift of a product takes one more.

    Args:
      network: a Functional model with known sizes; its layers' ternary values are counted as they are.
    """
    rows = []
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            rows += operations(layer)
        elif isinstance(layer, SumProduct):
            rows.append(_of_sum_product(layer))
        elif isinstance(layer, keras.layers.BatchNormalization):
            size = math.prod(layer.output.shape[1:])
            rows.append(Operations(layer.name, "normalisation", size, size, size))
        elif products := _of_layer(layer):
            outputs = math.prod(layer.output.shape[1:])
            added = products - (0 if layer.use_bias else outputs)
            kind = "dense" if isinstance(layer, keras.layers.Dense) else "convolution"
            rows.append(Operations(layer.name, kind, products, added, products))
    return rows


def _of_sum_product(layer: SumProduct) -> Operations:
    values = [np.array(m.kernel if m.form == "full" else m.folded()[0]) for m in (layer.w_b, layer.w_c)]
    taken = [np.count_nonzero(v.reshape(-1, v.shape[-1]), axis=0) for v in values]
    added = sum(int(np.maximum(counts - 1, 0).sum()) for counts in taken) + layer.products
    outputs = math.prod(layer.output.shape[1:])
    inputs = layer.input.shape[-1]
    plain = outputs * inputs * (math.prod(layer.kernel_size) if isinstance(layer, StrassenConv2D) else 1)
    multiplied = layer.products * layer.places
    density = sum(int(counts.sum()) for counts in taken) / sum(v.size for v in values)
    return Operations(
        layer.name, "sum-product", multiplied, added * layer.places + outputs * layer.use_bias, plain, density
    )
