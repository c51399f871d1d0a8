"""Layers with a budget of multiplications: sum-product networks with ternary edges (StrassenNets, arXiv:1712.03942).

    x --W_b, ternary--> r sums --normalised, times a--> r products --W_c, ternary--> y

A matrix product needs no more multiplications than the r that are left in the middle; W_b and W_c only add. While they
are learned the sums are normalised by batch; folded, normalisation and scales are one factor and one shift a sum.
"""

import math

import keras
from keras import ops

from models.layers.ternary import TernaryMatrix

_MOST = 100.0  # of a factor, while it is learned
_LEAST = 1e-12
_EPSILON = 1e-5


@keras.saving.register_keras_serializable("kompakt")
class Between(keras.constraints.Constraint):
    """Keeps weights between zero and a bound."""

    def __init__(self, most: float = _MOST):
        self.most = most

    def __call__(self, w):
        return ops.clip(w, 0.0, self.most)

    def get_config(self):
        return {"most": self.most}


class SumProduct(keras.layers.Layer):
    """What dense and convolutional sum-product layers share.

    Args:
      outputs: of the layer. products: r, multiplications at each place.
      form: of W_b and W_c: "full", "ternary" or "folded" (`models.layers.ternary`).
      use_bias: whether a bias is added to the outputs. synchronized: whether replicas share the normalisation.

    Raises:
      ValueError: a number below one, or an unknown form.
    """

    def __init__(
        self, outputs: int, products: int, form: str = "full", use_bias: bool = False, synchronized=False, **kwargs
    ):
        super().__init__(**kwargs)
        self.synchronized = synchronized
        if outputs < 1 or products < 1:
            raise ValueError(f"{outputs} outputs by {products} products: both must be at least 1")
        self.outputs, self.products, self.form, self.use_bias = outputs, products, form, use_bias

    def make(self, sums: tuple[int, ...], combined: tuple[int, ...]) -> None:
        """Makes all weights; `sums` is the shape of W_b, `combined` that of W_c."""
        self.w_b = TernaryMatrix(sums, self.form, name="w_b")
        self.w_c = TernaryMatrix(combined, self.form, name="w_c")
        r = (self.products,)
        if self.form == "folded":
            # A random matrix makes sums of this size, and combines as many of them again.
            start = -0.5 * math.log(math.prod(sums[:-1]) * combined[0] * (2 / 3) ** 2)
            self.log_scale = self.add_weight(
                name="log_scale", shape=r, initializer=keras.initializers.Constant(start), autocast=False
            )
            self.shift = self.add_weight(name="shift", shape=r, initializer="zeros")
        else:
            self.norm = keras.layers.BatchNormalization(
                scale=False, momentum=0.9, epsilon=_EPSILON, synchronized=self.synchronized, name="norm"
            )
            self.norm.build((*(None,) * (len(sums) - 1), self.products))
            self.a = self.add_weight(name="a", shape=r, initializer="ones", constraint=Between())
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.outputs,), initializer="zeros")

    def multiplied(self, sums, training=None):
        """The r products at each place, [..., r] of as many sums."""
        if self.form != "folded":
            return self.norm(sums, training=training) * self.a
        return sums * ops.cast(ops.exp(self.log_scale), sums.dtype) + self.shift

    def fold(self, trained: "SumProduct") -> None:
        """Takes what a layer in ternary form has learned: outputs outside training stay the same.

        W_b and W_c become -1, 0 and 1 alone; their scales, the factors and the normalisation one factor and one shift.

        Raises:
          ValueError: the other layer is in full precision.
        """
        (w_b, scale_b), (w_c, scale_c) = trained.w_b.folded(), trained.w_c.folded()
        self.w_b.kernel.assign(w_b)
        self.w_c.kernel.assign(w_c)
        if trained.form == "folded":
            self.log_scale.assign(trained.log_scale)
            self.shift.assign(trained.shift)
        else:
            norm = trained.norm
            factor = ops.maximum(scale_c * trained.a * ops.rsqrt(norm.moving_variance + _EPSILON), _LEAST)
            # A factor that ended at zero takes its shift along.
            shift = ops.where(trained.a > 0, norm.beta * scale_c * trained.a - factor * norm.moving_mean, 0.0)
            self.log_scale.assign(ops.log(factor * ops.maximum(scale_b, _LEAST)))
            self.shift.assign(shift)
        if self.use_bias:
            self.bias.assign(trained.bias)

    def get_config(self):
        own = ("products", "form", "use_bias", "synchronized")
        return super().get_config() | {name: getattr(self, name) for name in own}


@keras.saving.register_keras_serializable("kompakt")
class StrassenDense(SumProduct):
    """[..., n] -> [..., units] by `products` multiplications; other arguments as of `SumProduct`."""

    def __init__(self, units: int, products: int, **kwargs):
        super().__init__(units, products, **kwargs)

    def build(self, input_shape):
        self.make((input_shape[-1], self.products), (self.products, self.outputs))
        self.built = True

    def call(self, x, training=None):
        y = self.multiplied(ops.matmul(x, self.w_b.matrix(x.dtype)), training)
        y = ops.matmul(y, self.w_c.matrix(x.dtype))
        return y + self.bias if self.use_bias else y

    @property
    def places(self) -> int:
        """How often the products are computed for one example."""
        return math.prod(self.output.shape[1:-1])

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.outputs)

    def get_config(self):
        return super().get_config() | {"units": self.outputs}


@keras.saving.register_keras_serializable("kompakt")
class StrassenConv2D(SumProduct):
    """A convolution [B, H, W, C] -> [B, ceil(H / strides), ceil(W / strides), filters], padded as Keras' "same".

    Args:
      filters, kernel_size, strides: as of the convolution that it stands for; a kernel may be a pair.
      products: r, the multiplications of a patch.
      patch: side of the square of outputs that share them; sizes that it does not divide are cropped.
      groups: in which W_b sums over channels; it must divide the channels of the input and `products`.
      others: as of `SumProduct`.

    Raises:
      ValueError: a number below one, or groups that do not divide.
    """

    def __init__(self, filters: int, kernel_size, products: int, strides=1, patch: int = 1, groups: int = 1, **kwargs):
        super().__init__(filters, products, **kwargs)
        if patch < 1 or groups < 1:
            raise ValueError(f"patch={patch}, groups={groups}: both must be at least 1")
        self.kernel_size, self.strides = (_pair(value) for value in (kernel_size, strides))
        self.patch, self.groups = patch, groups

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels % self.groups or self.products % self.groups:
            raise ValueError(f"groups={self.groups}: must divide {channels} channels and {self.products} products")
        seen = [(self.patch - 1) * s + k for k, s in zip(self.kernel_size, self.strides, strict=True)]
        combined = (self.products, self.patch**2 * self.outputs)
        self.make((*seen, channels // self.groups, self.products), combined)
        self.built = True

    def call(self, x, training=None):
        places = [_ceil(n, s) for n, s in zip(x.shape[1:3], self.strides, strict=True)]
        y = self.multiplied(self._sums(self._padded(x)), training)
        y = ops.matmul(y, self.w_c.matrix(x.dtype))
        if self.patch > 1:
            rows, columns, p = *y.shape[1:3], self.patch
            y = ops.reshape(y, (-1, rows, columns, p, p, self.outputs))
            y = ops.reshape(ops.transpose(y, (0, 1, 3, 2, 4, 5)), (-1, rows * p, columns * p, self.outputs))
            y = y[:, : places[0], : places[1]]
        return y + self.bias if self.use_bias else y

    def _padded(self, x):
        """Zeros around, so that whole patches are seen, of which the first output is that of a "same" convolution."""
        margins = [self._margins(n, k, s) for n, k, s in zip(x.shape[1:3], self.kernel_size, self.strides, strict=True)]
        return ops.pad(x, [(0, 0), *margins, (0, 0)]) if any(map(any, margins)) else x

    def _margins(self, size: int, kernel: int, stride: int) -> tuple[int, int]:
        before = max((_ceil(size, stride) - 1) * stride + kernel - size, 0) // 2
        patches = _ceil(_ceil(size, stride), self.patch)
        end = (patches * self.patch - 1) * stride + kernel
        return before, max(end - size - before, 0)

    def _sums(self, x):
        steps = [s * self.patch for s in self.strides]
        kernel = self.w_b.matrix(x.dtype)
        if self.groups == 1:
            return ops.conv(x, kernel, steps, "valid", "channels_last")
        # TensorFlow has no gradients of grouped convolutions on a processor.
        parts = zip(ops.split(x, self.groups, -1), ops.split(kernel, self.groups, -1), strict=True)
        return ops.concatenate([ops.conv(c, k, steps, "valid", "channels_last") for c, k in parts], -1)

    @property
    def places(self) -> int:
        """How often the products are computed for one example: once a patch."""
        return math.prod(_ceil(n, self.patch) for n in self.output.shape[1:3])

    def compute_output_shape(self, input_shape):
        sides = (_ceil(n, s) if n else None for n, s in zip(input_shape[1:3], self.strides, strict=True))
        return (input_shape[0], *sides, self.outputs)

    def get_config(self):
        own = {"filters": self.outputs, "kernel_size": self.kernel_size, "strides": self.strides}
        return super().get_config() | own | {"patch": self.patch, "groups": self.groups}


def _pair(value) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _ceil(size: int, by: int) -> int:
    return -(-size // by)
