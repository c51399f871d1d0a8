"""From a network's outputs to mixtures of logistics: as real numbers for training, as integers for the coder.

A network gives for K components and C channels, in this order, the logarithms of the weights, the means, the levels of
the scales, and with sub-pixel terms of three channels 3 K factors more: green's mean follows red, blue's red and green,

    mean~_g = mean_g + a (x_r - 128)      mean~_b = mean_b + b (x_r - 128) + c (x_g - 128)

with a, b, c from 0 to 1 (arXiv:1811.12817, eq. 7; hard sigmoids here, which integers can have).
"""

import dataclasses
import math

import tensorflow as tf
from keras import ops

from models.entropy.densities import logistic
from models.entropy.densities.mixture_cdf import LOGIT_BITS, MEAN_BITS, SUBLEVELS
from models.entropy.lanes import const, shift_left, shift_right
from models.layers.bounds import lower_bound, upper_bound

OUTPUT_BITS = 15  # fraction bits of the network's outputs
_LEVEL_GAIN_BITS = 3  # an output of one is eight levels
_FACTOR_BITS = 14  # fraction bits of the sub-pixel factors
_TERMS = {1: (0,), 2: (1, 2)}  # the factors of green and of blue, for the channels before


@dataclasses.dataclass(frozen=True)
class Parameters:
    """How outputs are read.

    Attributes:
      size: of the alphabet. channels, components: C and K.
      subpixel: whether the means of three channels follow the channels before.
    """

    size: int
    channels: int
    components: int
    subpixel: bool = False

    @property
    def outputs(self) -> int:
        """How many a position has."""
        return self.components * (3 * self.channels + (3 if self.subpixel else 0))

    @property
    def span_bits(self) -> int:
        """An output of one moves a mean by 2^this."""
        return max(self.size.bit_length() - 3, 0)

    @property
    def centre(self) -> int:
        """What means are about."""
        return self.size // 2

    @property
    def start_level(self) -> int:
        """The level of an output of zero."""
        return round(logistic.level_of(self.size / 10))

    def first_biases(self) -> list[float]:
        """Biases of the outputs to start training from: means somewhat apart, each to follow the values.

        Spread over the whole alphabet they would stay where they are, and only their weights would learn.
        """
        reach = 0.1 * self.size / 2**self.span_bits
        spread = [reach * (2 * (k + 0.5) / self.components - 1) for k in range(self.components)]
        means = [place for place in spread for _ in range(self.channels)]
        zeros = [0.0] * (self.components * self.channels)
        return [*zeros, *means, *zeros, *[0.0] * (self.outputs - 3 * len(zeros))]

    def bits(self, values, outputs):
        """Bits of values under what a network gave for them.

        Args:
          values: [B, H, W, C] float32, 0 to size - 1. outputs: [B, H, W, outputs] float32.

        Returns:
          [B, H, W, C] float32.
        """
        shape = (*ops.shape(outputs)[:3], -1, self.components, self.channels)
        main = 3 * self.channels * self.components
        parts = ops.reshape(outputs[..., :main], shape)
        logits, means, levels = parts[..., 0, :, :], parts[..., 1, :, :], parts[..., 2, :, :]
        means = self.centre + 2.0**self.span_bits * means
        if self.subpixel:
            factors = ops.reshape(outputs[..., main:], (*shape[:3], 3, self.components))
            means = means + self._shifts(values, upper_bound(lower_bound(0.5 + 0.25 * factors, 0.0), 1.0))
        scales = logistic.scale_of(self.start_level + 2.0**_LEVEL_GAIN_BITS * levels)
        return logistic.bits_each(values, means, scales, logits, 0.0, self.size - 1.0)

    def _shifts(self, values, factors):
        """What the channels before add to the means, [B, H, W, K, C]; factors [B, H, W, 3, K]."""
        red, green = (ops.expand_dims(values[..., c] - self.centre, -1) for c in (0, 1))
        of_green = factors[..., 0, :] * red
        of_blue = factors[..., 1, :] * red + factors[..., 2, :] * green
        return ops.stack([ops.zeros_like(of_green), of_green, of_blue], axis=-1)

    def integers(self, outputs: tf.Tensor, channel: int, before: list[tf.Tensor]) -> list[tf.Tensor]:
        """Means, levels and logits of a channel as `MixtureCdf.mixtures` takes them, int64 [K, N] each.

        Args:
          outputs: [N, outputs] float32, multiples of 2^-OUTPUT_BITS.
          channel: its number.
          before: integers [N], the values of the channels before it.
        """
        k = self.components

        def part(number, count=1):
            columns = outputs[:, number * k * self.channels + channel :: self.channels][:, :k]
            return tf.cast(tf.transpose(columns) * 2.0**OUTPUT_BITS, tf.int64)

        logits, means, levels = (part(number) for number in range(3))
        means = _rounded(means, OUTPUT_BITS - MEAN_BITS - self.span_bits) + (self.centre << MEAN_BITS)
        if self.subpixel:
            for number, values in zip(_TERMS.get(channel, ()), before, strict=False):
                columns = outputs[:, (3 * self.channels + number) * k :][:, :k]
                factors = _rounded(tf.cast(tf.transpose(columns) * 2.0**OUTPUT_BITS, tf.int64), OUTPUT_BITS - 12)
                factors = tf.clip_by_value(factors + (1 << _FACTOR_BITS - 1), 0, 1 << _FACTOR_BITS)
                means += _rounded(factors * (tf.cast(values, tf.int64) - self.centre), _FACTOR_BITS - MEAN_BITS)
        sub_bits = int(math.log2(SUBLEVELS))
        levels = _rounded(levels, OUTPUT_BITS - sub_bits - _LEVEL_GAIN_BITS) + SUBLEVELS * self.start_level
        return [means, levels, _rounded(logits, OUTPUT_BITS - LOGIT_BITS)]


def _rounded(values: tf.Tensor, bits: int) -> tf.Tensor:
    """values / 2^bits to the nearest integer, int64."""
    if bits <= 0:
        return shift_left(values, const(-bits))
    return shift_right(values + (1 << bits - 1), const(bits))
