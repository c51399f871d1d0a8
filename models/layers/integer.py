"""Networks of narrow integers held in float32: exact on every machine, and as fast as any convolution there.

A decoder steers the coder with networks that run on every pixel; float64 (`fixed_point`) is too dear for that. Here all
numbers are multiples of powers of two, and so few that float32 adds them without rounding in any order:

- values between layers are integers in units of 2^-VALUE_BITS, at most LIMIT of them either way;
- each output's weights are integers in units of 2^-s, with the largest s for which LIMIT times their sum of magnitudes
  stays below 2^24. A sum of products, and every part of it, then is such an integer, in units of 2^-(VALUE_BITS+s).

The layer that is trained is the one that is served: it rounds as it will, and gradients pass the rounding as if there
were none. That needs a library that multiplies and adds: on a GPU TF32 or Winograd's transforms would round, so what
steers a decoder runs on the CPU (`tf.device`), where TensorFlow asks oneDNN for direct convolutions, and Eigen's and
XLA's are products of matrices. How s is chosen takes comparisons of exact sums alone.
"""

import contextlib
from collections.abc import Sequence

import keras
from keras import ops

VALUE_BITS = 7  # fraction bits of values between layers
LIMIT = 2**11  # of their magnitude, in units of 2^-VALUE_BITS: 16
_EXACT = 2.0**24  # integers up to this are float32
_KERNEL_BITS = 12  # the finest unit of weights
_COARSEST = -6  # and the coarsest: sums of magnitudes up to 2^18 fit


def rounded(values, bits: int, limit: float | None = None):
    """Values as multiples of 2^-bits, the even one of two that are as near; what is trained sees the identity.

    Args:
      values: any shape, float32.
      bits: fraction bits.
      limit: of the magnitude, in these units; beyond it gradients end.

    Returns:
      The same shape, float32.
    """
    if limit is not None:
        values = ops.clip(values, -limit * 2.0**-bits, limit * 2.0**-bits)
    return values + ops.stop_gradient(ops.round(values * 2.0**bits) * 2.0**-bits - values)


def bounded(values):
    """Values as those between layers: rounded and bounded, any shape, float32."""
    return rounded(values, VALUE_BITS, LIMIT)


@keras.saving.register_keras_serializable("kompakt")
class IntegerConv2D(keras.layers.Layer):
    """Convolution with "same" padding, stride 1: [B, H, W, C] -> [B, H, W, filters] float32, whatever the policy.

    Args:
      filters: channels.
      kernel: side.
      dilation: step between the kernel's taps.
      output_bits: fraction bits of the outputs, which then are bounded only by what sums can be (up to 2^24 in these
        units, less what a unit's own sums cannot tell apart); None: as values between layers, rounded and bounded.
      gain: of the first weights, over He's for a rectifier.

    Inputs are values between layers, or fewer bits. With `exact` set to false it computes with the very weights, and
    nothing is rounded: what integers cost is measured so.
    """

    def __init__(
        self,
        filters: int,
        kernel: int = 3,
        dilation: int = 1,
        output_bits: int | None = None,
        gain: float = 1.0,
        **kwargs,
    ):
        super().__init__(**(kwargs | {"dtype": "float32"}))
        self.filters, self.kernel_side, self.dilation = filters, kernel, dilation
        self.output_bits, self.gain, self.exact = output_bits, gain, True
        self.fixed = None  # kernel and bias to compute with, see `fixed_weights`

    def build(self, input_shape):
        start = keras.initializers.VarianceScaling(2.0 * self.gain**2, "fan_in", "truncated_normal")
        shape = (self.kernel_side, self.kernel_side, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=start, name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def integers(self):
        """The weights that are used: kernel and bias, float32, and the unit's bits s of each output, float32 [filters].

        The kernel is integers in units of 2^-s, the bias in units of 2^-(VALUE_BITS+s).
        """
        # Integers of the finest unit, cut off where no sum of them could be told exactly.
        fan_in = self.kernel_side**2 * self.kernel.shape[2]
        kernel = rounded(self.kernel, _KERNEL_BITS, min(_EXACT / fan_in, 2.0**20))
        bias = rounded(self.bias, _KERNEL_BITS, _EXACT)
        sums = ops.sum(ops.abs(ops.stop_gradient(kernel)), axis=(0, 1, 2)) * 2.0**_KERNEL_BITS
        sums += ops.abs(ops.stop_gradient(bias)) * 2.0**_KERNEL_BITS * (2.0**VALUE_BITS / LIMIT)
        # Each weight may grow by half a unit as it is rounded to it, and so may the bias.
        most = _EXACT / LIMIT - 0.5 * fan_in - 1.0
        if most <= 0:
            raise ValueError(f"{self.name}: {fan_in} inputs an output are too many for exact sums")
        units = [2.0**s for s in range(_COARSEST + 1, _KERNEL_BITS + 1)]
        fitting = sum(ops.cast(sums <= most * 2.0**_KERNEL_BITS / unit, "float32") for unit in units)
        return kernel, bias, _COARSEST + fitting

    def weights_used(self):
        """Kernel and bias as they are used, float32, and the units of both, [filters]."""
        kernel, bias, bits = self.integers()
        # A power of two that is looked up: an exponential might round.
        places = ops.cast(bits - _COARSEST, "int32")
        unit = ops.take(ops.convert_to_tensor([2.0**-s for s in range(_COARSEST, _KERNEL_BITS + 1)], "float32"), places)
        kernel = kernel + ops.stop_gradient(ops.round(kernel / unit) * unit - kernel)
        fine = unit * 2.0**-VALUE_BITS
        return kernel, bias + ops.stop_gradient(ops.round(bias / fine) * fine - bias)

    def call(self, x):
        """x: [B, H, W, C], multiples of 2^-VALUE_BITS up to LIMIT of them. Returns [B, H, W, filters] float32."""
        kernel, bias = self.fixed or (self.weights_used() if self.exact else (self.kernel, self.bias))
        sums = ops.conv(
            ops.cast(x, "float32"), kernel, 1, "same", data_format="channels_last", dilation_rate=self.dilation
        )
        sums = sums + bias
        if not self.exact:
            return sums
        return bounded(sums) if self.output_bits is None else rounded(sums, self.output_bits)

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "kernel": self.kernel_side,
            "dilation": self.dilation,
            "output_bits": self.output_bits,
            "gain": self.gain,
        }


@keras.saving.register_keras_serializable("kompakt")
class IntegerResidual(keras.layers.Layer):
    """x + conv(relu(conv(x))), [B, H, W, C] of values between layers -> the same, float32."""

    def __init__(self, filters: int, kernel: int = 3, **kwargs):
        super().__init__(**(kwargs | {"dtype": "float32"}))
        self.filters, self.kernel_side = filters, kernel
        self.first, self.second = IntegerConv2D(filters, kernel), IntegerConv2D(filters, kernel, gain=0.1)

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build((*input_shape[:-1], self.filters))

    def call(self, x):
        """See the class."""
        found = x + self.second(ops.relu(self.first(x)))
        return bounded(found) if self.first.exact else found

    def get_config(self):
        return super().get_config() | {"filters": self.filters, "kernel": self.kernel_side}


def convolutions(model: keras.Model) -> list[IntegerConv2D]:
    """All integer convolutions of a model, in an order that is its own."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, IntegerConv2D)]


@contextlib.contextmanager
def fixed_weights(model: keras.Model, weights: Sequence[tuple]):
    """Within it the convolutions compute with `weights`, what `weights_used` gave of each in their order.

    A served function that is traced within it need not round the weights again at each call.
    """
    layers = convolutions(model)
    for layer, pair in zip(layers, weights, strict=True):
        layer.__dict__["fixed"] = pair  # past Keras, which would keep what is set as a part of the layer
    try:
        yield
    finally:
        for layer in layers:
            layer.__dict__["fixed"] = None
