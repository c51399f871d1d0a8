"""Networks in exact fixed-point arithmetic: the same numbers on every machine, thread count and summation order.

The decoder needs the very parameters that the encoder used; one last bit off, and the rest of a stream is noise. So the
trained network is evaluated on integers held in float64: weights are multiples of 2^-14, values between layers are
multiples of 2^-12 and below 2^12, hence every product and every partial sum is an integer below 2^53, where float64
adds exactly in any order (the idea of Balle, Johnston, Minnen 2019, "Integer networks for data compression with
latent-variable models", with wide integers, which need no retraining).
"""

import math

import keras
import numpy as np
from keras import ops

from models.layers.conv import MaskedConv2D, MaskedConv3D

VALUE_BITS = 12  # fraction bits of values between layers
WEIGHT_BITS = 14  # fraction bits of weights
_LIMIT = 2.0**24  # values, in units of 2^-VALUE_BITS
_LARGEST_SUM = 2.0**53
# And no subclass of these: it may differ.
_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, MaskedConv2D, MaskedConv3D)
# What `apply` computes, by the names that Keras has for it.
_OPTIONS = {"data_format": "channels_last", "groups": 1,
            "output_padding": None, "activation": keras.activations.linear, "lora_enabled": False}  # fmt: skip


def to_fixed(values):
    """Real values, any shape, to integers in units of 2^-VALUE_BITS, held in float64 and clipped to +-2^24.

    What is no number becomes zero: the same everywhere, and an integer like all others.
    """
    fixed = ops.clip(ops.round(ops.cast(values, "float64") * 2.0**VALUE_BITS), -_LIMIT, _LIMIT)
    return ops.where(ops.isnan(fixed), ops.zeros_like(fixed), fixed)


def from_fixed(values):
    """Integers in units of 2^-VALUE_BITS to float32 (exact)."""
    return ops.cast(values * 2.0**-VALUE_BITS, "float32")


def fixed_weights(layer) -> tuple:
    """Kernel and bias (zeros if it has none) of a convolution as integers in float64, in units of 2^-14 and 2^-26."""
    kernel = ops.round(ops.cast(layer.kernel, "float64") * 2.0**WEIGHT_BITS)
    if isinstance(layer, (MaskedConv2D, MaskedConv3D)):
        kernel = kernel * ops.cast(layer.mask, "float64")
    if not layer.use_bias:
        return kernel, ops.zeros((layer.filters,), "float64")
    return kernel, ops.round(ops.cast(layer.bias, "float64") * 2.0 ** (WEIGHT_BITS + VALUE_BITS))


def rescale(sums):
    """Sums in units of 2^-26 back to values in units of 2^-VALUE_BITS, rounded and clipped."""
    return clip(ops.round(sums * 2.0**-WEIGHT_BITS))


def clip(values):
    """Values in units of 2^-VALUE_BITS, clipped to what a layer may be given."""
    return ops.clip(values, -_LIMIT, _LIMIT)


def leaky(sums, slope: float):
    """Leaky ReLU; exact because the slope is zero or a power of two and `rescale` follows."""
    return ops.where(sums < 0, sums * slope, sums)


def check(network: keras.Sequential) -> None:
    """Makes sure that a network can be evaluated exactly.

    Raises:
      ValueError: a layer that has no exact form, or weights so large that a sum could leave 2^53.
    """
    if not isinstance(network, keras.Sequential):
        raise ValueError(f"{network.name}: {type(network).__name__} has no exact form, only a Sequential has")
    for layer in network.layers:
        if type(layer) is keras.layers.LeakyReLU:
            slope = float(layer.negative_slope)
            if slope and math.frexp(slope)[0] != 0.5:
                raise ValueError(f"{layer.name}: the slope {slope} is no power of two")
        elif type(layer) is not keras.layers.InputLayer:
            check_convolution(layer)


def check_convolution(layer: keras.layers.Layer) -> None:
    """`check` of a single convolution. Raises ValueError likewise."""
    if type(layer) not in _CONVOLUTIONS:
        raise ValueError(f"{layer.name}: {type(layer).__name__} has no exact form")
    dense = {"dilation_rate": (1,) * len(layer.kernel_size)}
    for option, wanted in (_OPTIONS | dense).items():
        if (value := getattr(layer, option, wanted)) != wanted:
            value, wanted = (getattr(v, "__name__", v) for v in (value, wanted))
            raise ValueError(f"{layer.name}: {option}={value} has no exact form; it must be {wanted}")
    check_sums(layer)


def check_sums(layer: keras.layers.Layer) -> None:
    """Makes sure that the sums of a convolution or a dense layer are exact.

    Raises:
      ValueError: its weights are too large, or not finite.
    """
    # In NumPy: other backends than TensorFlow's may have no float64.
    kernel, bias = (np.asarray(ops.convert_to_numpy(w), np.float64) for w in fixed_weights(layer))
    outputs = kernel.ndim - (2 if isinstance(layer, keras.layers.Conv2DTranspose) else 1)
    axes = tuple(a for a in range(kernel.ndim) if a != outputs)
    if not (abs(kernel).sum(axes) * _LIMIT + abs(bias)).max() < _LARGEST_SUM:
        raise ValueError(f"{layer.name}: its weights are too large for exact sums (or not finite)")


def apply(network: keras.Sequential, values, first: int = 0, last: int | None = None):
    """Evaluates a network of convolutions and (leaky) ReLUs exactly.

    Args:
      network: checked by `check`.
      values: [B, H, W, C] float64, integers in units of 2^-VALUE_BITS, clipped to +-2^24.
      first, last: the part of the layers to evaluate.

    Returns:
      [B, H', W', C'] float64, likewise.
    """
    sums = values * 2.0**WEIGHT_BITS
    for layer in network.layers[first:last]:
        if isinstance(layer, keras.layers.LeakyReLU):
            sums = leaky(sums, float(layer.negative_slope))
        elif isinstance(layer, _CONVOLUTIONS):
            kernel, bias = fixed_weights(layer)
            transposed = isinstance(layer, keras.layers.Conv2DTranspose)
            convolve = ops.conv_transpose if transposed else ops.conv
            values = rescale(sums)
            sums = convolve(values, kernel, layer.strides, layer.padding, data_format="channels_last") + bias
    return rescale(sums)
