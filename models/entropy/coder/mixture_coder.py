"""Codes integer symbols under a mixture of their own each, without a table for any of them.

Two strings of the lanes coder: whether each symbol is its mixture's centre (`MixtureCdf.first_step`), then the others,
ordered by the size of their alphabets so that symbols of one row take the same number of look-ups, by lazy search
(`MixtureCdf.searches`).
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from models.entropy.coder import bit_fields
from models.entropy.coder.bit_fields import require
from models.entropy.coder.chunked import ChunkedCoder
from models.entropy.coder.rans_reader import decode_all, end_checks, open_stream, take_escapes
from models.entropy.coder.rans_stream import DAMAGED, MAX_SYMBOL, encode_all, escape_values
from models.entropy.densities.mixture_cdf import MOST_BITS, PRECISION, MixtureCdf, Mixtures
from models.entropy.lanes import const, shift_left

CHUNK = 3 << 17  # symbols coded at a time: their temporary numbers take some 400 bytes each
_plain = tf.autograph.experimental.do_not_convert


class MixtureCoder(ChunkedCoder):
    """Codes symbols with magnitudes up to 2^30; `cdf` makes the distributions."""

    def __init__(self, tables: Mapping[str, np.ndarray] | None = None, name: str = "mixture_coder"):
        """Args:
        tables: what `MixtureCdf` takes.
        name: of the module.
        """
        super().__init__(name=name)
        self.cdf = MixtureCdf(tables)

    @property
    def chunk(self) -> int:
        """Symbols of a chunk at most."""
        return CHUNK

    @_plain
    def encode_chunk(self, symbols: tf.Tensor, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The string of one chunk, without more around it; arguments and errors are those of `encode`."""
        with tf.device("CPU:0"):
            small = tf.reduce_all(tf.abs(tf.cast(symbols, tf.int64)) <= MAX_SYMBOL)
            with tf.control_dependencies([require(small, "a symbol's magnitude is beyond 2**30")]):
                symbols = tf.cast(symbols, tf.int64)
            return self._encode(symbols, self._mixtures(means, levels, logits))

    @_plain
    def decode_chunk(self, stream: tf.Tensor, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The symbols, int32 [n], of a string of `encode_chunk`; arguments and errors are those of `decode`."""
        with tf.device("CPU:0"):
            return self._decode(stream, self._mixtures(means, levels, logits))

    def _mixtures(self, *parameters: tf.Tensor) -> Mixtures:
        return self.cdf.mixtures(*(tf.cast(values, tf.int64) for values in parameters))

    def _others(self, mixtures: Mixtures, other: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Symbols that are not their centre (bool [N]), by size of alphabet.

        Returns:
          places int64 [M] among all symbols, fields int64 [F, M], smallest symbol and escape slot int64 [M].
        """
        places = tf.where(other)[:, 0]
        low, bits = self.cdf.alphabets(_gather(mixtures, places))
        order = tf.concat([tf.where(tf.equal(bits, size))[:, 0] for size in range(1, MOST_BITS + 1)], 0)
        places, low, bits = (tf.gather(values, order) for values in (places, low, bits))
        fields = self.cdf.search_fields(_gather(mixtures, places), low, bits)
        return places, fields, low, shift_left(tf.ones_like(bits), bits) - 1

    def _encode(self, symbols: tf.Tensor, mixtures: Mixtures) -> tf.Tensor:
        other = tf.not_equal(symbols, mixtures.centres)
        shares = mixtures.shares
        starts = tf.where(other, shares, 0)
        flags = encode_all(PRECISION, tf.where(other, (1 << PRECISION) - shares, shares), starts, starts[:0])
        places, fields, low, last = self._others(mixtures, other)
        slots = tf.gather(symbols, places) - low
        outside = tf.logical_or(slots < 0, slots >= last)
        escapes = escape_values(tf.boolean_mask(slots, outside), tf.boolean_mask(last, outside))
        slots = tf.where(outside, last, slots)
        cdf = self.cdf.second_cdf(fields)
        starts = cdf(slots)
        others = encode_all(PRECISION, cdf(slots + 1) - starts, starts, escapes)
        length = bit_fields.write_varints(tf.cast(tf.strings.length(flags), tf.int64)[None])
        return tf.strings.join([bit_fields.bytes_to_string([length]), flags, others])

    def _decode(self, stream: tf.Tensor, mixtures: Mixtures) -> tf.Tensor:
        head = bit_fields.string_to_bytes(tf.strings.substr(stream, 0, tf.minimum(tf.strings.length(stream), 5)))
        length, begin, good = bit_fields.read_varints(head, const(0), const(1))
        whole = tf.cast(tf.strings.length(stream), tf.int64)
        fits = tf.logical_and(good, begin + length[0] <= whole)
        with tf.control_dependencies([require(fits, DAMAGED + "its parts do not fit it")]):
            flags = tf.strings.substr(stream, begin, length[0])
            rest = tf.strings.substr(stream, begin + length[0], whole - begin - length[0])
        state, counts = open_stream(flags, tf.zeros([0], tf.int64))
        state, others = decode_all(state, counts, mixtures.shares, self.cdf.first_step, 1 << PRECISION)
        with tf.control_dependencies(end_checks(state)):
            places, fields, low, last = self._others(mixtures, others > 0)
        state, counts = open_stream(rest, tf.zeros([0], tf.int64))
        # A slot that holds no symbol has an alphabet of one: nothing is searched for, and the state stays.
        padding = [[0]] * (fields.shape[0] - 2) + [[1], [0]]
        state, slots = decode_all(state, counts, fields, self.cdf.searches(), padding, unroll=1)
        escaped = tf.where(tf.equal(slots, last))[:, 0]
        state, far = take_escapes(state, tf.gather(low, escaped), tf.gather(last, escaped))
        found = tf.tensor_scatter_nd_update(slots + low, escaped[:, None], tf.cast(far, tf.int64))
        with tf.control_dependencies(end_checks(state)):
            symbols = tf.tensor_scatter_nd_update(mixtures.centres, places[:, None], found)
        return tf.cast(symbols, tf.int32)


def _gather(mixtures: Mixtures, places: tf.Tensor) -> Mixtures:
    return Mixtures(*(tf.gather(values, places, axis=values.shape.rank - 1) for values in mixtures))
