"""Mixtures over alphabets with ends, in integers: 0 to size - 1, whose first and last symbol get the whole tails.

    cdf(s) = (F(s) * share) / F's whole + s      for 0 < s < size, with cdf(0) = 0 and cdf(size) = 2^PRECISION

in units of 2^-PRECISION, where F is `mixture_cdf`'s: it rises by one at least with every symbol, nothing is escaped,
and a symbol is searched for in log2(size) evaluations. Those units add up: with 256 symbols they take 0.011 bits of
each. A large alphabet may be split in two steps, which part of it and which symbol of that, of about its root each.
"""

from collections.abc import Callable

import tensorflow as tf

from models.entropy.densities.mixture_cdf import (
    CDF_BITS,
    INVERSE_BITS,
    MEAN_BITS,
    MOST_BITS,
    PRECISION,
    SHARE_BITS,
    Z_HALF,
    MixtureCdf,
    divide,
)
from models.entropy.lanes import LookUp, bit_and, const, shift_left, shift_right


class BoundedCdf(tf.Module):
    """The cumulatives of one alphabet, in one step or two.

    What is to be known of each symbol's distribution in a step are fields, int64 [3 K + 3, N]; zeros stand for a place
    without a symbol.
    """

    def __init__(self, mixtures: MixtureCdf, size: int, split: bool = False, name: str = "bounded_cdf"):
        """Args:
        mixtures: of any distribution; holds the tables.
        size: of the alphabet, 2 to 2^MOST_BITS.
        split: whether it takes two steps; the size then is a power of four.
        name: of the module.

        Raises ValueError: the size is another.
        """
        super().__init__(name=name)
        self._part_bits = (size.bit_length() - 1) // 2 if split else 0
        if not 2 <= size <= 1 << MOST_BITS or (split and size != 4**self._part_bits):
            raise ValueError(
                f"an alphabet of {size} symbols; the coder takes 2 to {1 << MOST_BITS}, split a power of 4"
            )
        self.mixtures, self.size = mixtures, size
        self.sizes = (1 << self._part_bits,) * 2 if split else (size,)  # of the alphabets of the steps

    def first(self, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The fields of the first step.

        Args:
          means, levels, logits: int64 [K, N], see `MixtureCdf.mixtures`; magnitudes of means up to 2^24.
        """
        inverses, weights = self.mixtures.inverses(levels), self.mixtures.weights(logits)
        origins = (Z_HALF << INVERSE_BITS) - (means + (1 << MEAN_BITS - 1)) * inverses
        pitches = shift_left(inverses, const(MEAN_BITS + self._part_bits))
        whole = shift_left(tf.reduce_sum(weights, 0), const(CDF_BITS))
        return self._fields(origins, pitches, weights, tf.zeros_like(whole), whole, self.sizes[0])

    def second(self, first: tf.Tensor, parts: tf.Tensor) -> tf.Tensor:
        """The fields of the second step, of what the first one coded, int64 [N]."""
        origins, pitches, weights = self._components(first)
        origins += pitches * parts
        whole = shift_left(tf.reduce_sum(weights, 0), const(CDF_BITS))
        begin = self.mixtures.rise(shift_right(origins, const(INVERSE_BITS)), weights)
        end = self.mixtures.rise(shift_right(origins + pitches, const(INVERSE_BITS)), weights)
        begin = tf.where(parts > 0, begin, const(0))
        end = tf.where(parts < self.sizes[0] - 1, end, whole)
        pitches = shift_right(pitches, const(self._part_bits))
        return self._fields(origins, pitches, weights, begin, tf.maximum(end - begin, 1), self.sizes[1])

    def _fields(self, origins, pitches, weights, begin, total, size: int) -> tf.Tensor:
        scale = divide(const(((1 << PRECISION) - size) << SHARE_BITS), total)
        steps = tf.fill(tf.shape(scale), const(1 << (size - 1).bit_length()))
        return tf.concat([origins, pitches, weights, tf.stack([begin, scale, steps])], 0)

    @staticmethod
    def _components(fields: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Origins, pitches and weights, int64 [K, N] each."""
        k = (fields.shape[0] - 3) // 3
        return fields[:k], fields[k : 2 * k], fields[2 * k : 3 * k]

    def _inside(self, fields: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
        """The cumulative as a function of a step's symbols, int64 [A] -> [A], above the first and up to the last."""
        origins, pitches, weights = self._components(fields)
        begin, scale = fields[-3], fields[-2]

        def cdf(symbols):
            rise = self.mixtures.rise(shift_right(origins + pitches * symbols, const(INVERSE_BITS)), weights) - begin
            return shift_right(rise * scale, const(SHARE_BITS)) + symbols

        return cdf

    def intervals(self, symbols: tf.Tensor, *mixtures: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Of each step frequencies and starts as `rans_stream.encode_all` takes them, int64 [N] each.

        Args:
          symbols: int64 [N], 0 to size - 1. mixtures: means, levels and logits as `first` takes them.
        """
        fields = self.first(*mixtures)
        if len(self.sizes) == 1:
            return [self._interval(symbols, fields, self.size)]
        parts = shift_right(symbols, const(self._part_bits))
        rest = bit_and(symbols, self.sizes[1] - 1)
        return [
            self._interval(parts, fields, self.sizes[0]),
            self._interval(rest, self.second(fields, parts), self.sizes[1]),
        ]

    def _interval(self, symbols: tf.Tensor, fields: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        cdf = self._inside(fields)
        starts = tf.where(symbols > 0, cdf(symbols), const(0))
        ends = tf.where(symbols < size - 1, cdf(symbols + 1), const(1 << PRECISION))
        return ends - starts, starts

    def joined(self, parts: tf.Tensor, rest: tf.Tensor) -> tf.Tensor:
        """The symbols of two steps, int64 [N]."""
        return shift_left(parts, const(self._part_bits)) + rest

    def look_up(self, step: int) -> LookUp:
        """How `lanes.decode_rows` finds the symbols that states hold in a step; it keeps the symbols.

        Where the fields are zero nothing is searched for, and a state stays.
        """
        select, whole, size = tf.raw_ops.Select, const(1 << PRECISION), self.sizes[step]
        turns = (size - 1).bit_length()

        def search(states, fields):
            numbers, cdf = bit_and(states, (1 << PRECISION) - 1), self._inside(fields)
            symbols, starts = tf.zeros_like(states), tf.zeros_like(states)
            ends, steps = starts + whole, fields[-1]
            for _ in range(turns):
                steps = shift_right(steps, const(1))
                candidates = symbols + steps
                edges = cdf(candidates)
                if size < 1 << turns:
                    edges = select(condition=candidates < size, x=edges, y=tf.fill(tf.shape(edges), whole))
                reached = edges <= numbers
                symbols = select(condition=reached, x=candidates, y=symbols)
                starts = select(condition=reached, x=edges, y=starts)
                ends = select(condition=reached, x=ends, y=edges)
            return (ends - starts) * shift_right(states, const(PRECISION)) + numbers - starts, symbols

        return search
