"""Symbols of five centres as a string that is never longer than packing them, and shorter where they are uneven.

Positions come in groups, rows of a picture: a group is coded under counts of all groups before it, channel by channel,
that begin with those of the training. Counts are integers, so that every machine has the same. Where this takes more
bytes than log2(5) bits a symbol (`models.entropy.coder.quinary`), few symbols say, these are written instead; the first
byte says which.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from models.entropy.coder import frequency_coder, quinary
from models.entropy.coder.bit_fields import require
from models.entropy.densities.softmax_cdf import PRECISION
from models.entropy.densities.tables import named

CENTRES = quinary.BASE
_PACKED, _COUNTED = b"\0", b"\1"
_KNOWN = 64  # symbols of a channel that the training's shares count as
_TOTAL = 1 << PRECISION


def counts_of(usage: np.ndarray) -> dict[str, np.ndarray]:
    """The table of a `SymbolCoder`: shares of the symbols in the training, [C, 5], as counts, int64."""
    return {"codes.counts": np.maximum(np.round(_KNOWN * np.asarray(usage, np.float64)), 1).astype(np.int64)}


class SymbolCoder(tf.Module):
    """Codes symbols int32 [P, C], 0 to 4."""

    def __init__(self, tables: Mapping[str, np.ndarray], channels: int):
        """Args:
        tables: of `counts_of`. channels: C.

        Raises ValueError: they are not such tables.
        """
        super().__init__(name="symbols")
        counts = named(tables, "codes.counts")
        if counts.shape != (channels, CENTRES) or counts.min() < 1 or counts.max() > 2 * _KNOWN:
            raise ValueError(f"the coder's table 'counts' is not [{channels}, {CENTRES}] integers of 1 to {2 * _KNOWN}")
        self.channels, self.counts = channels, counts.astype(np.int64)

    def encode(self, symbols: tf.Tensor, group: tf.Tensor) -> tf.Tensor:
        """String scalar; of no positions, the empty one.

        Args:
          symbols: int32 [P, C]. group: int32 scalar, positions that share counts.
        """

        def shorter():
            packed, counted = quinary.pack(tf.reshape(symbols, [-1])), self._counted(symbols, group)
            is_packed = tf.strings.length(packed) <= tf.strings.length(counted)
            return tf.strings.join([tf.where(is_packed, _PACKED, _COUNTED), tf.where(is_packed, packed, counted)])

        return tf.cond(tf.shape(symbols)[0] > 0, shorter, lambda: tf.constant(b""))

    def decode(self, string: tf.Tensor, positions: tf.Tensor, group: tf.Tensor) -> tf.Tensor:
        """Symbols int32 [positions, C] of a string of `encode`, of the same `group`.

        Raises:
          tf.errors.InvalidArgumentError: it is damaged.
        """
        first = tf.minimum(tf.strings.length(string), 1)
        way, rest = tf.strings.substr(string, 0, first), tf.strings.substr(string, first, tf.strings.length(string))
        good = tf.where(positions > 0, (way == _PACKED) | (way == _COUNTED), tf.equal(string, b""))
        with tf.control_dependencies([require(good, "damaged stream: nothing says how its codes are written")]):
            positions = tf.identity(positions)
        packed = tf.equal(way, _PACKED) | tf.equal(positions, 0)
        found = tf.cond(
            packed,
            lambda: quinary.unpack(rest, positions * self.channels),
            lambda: self._read(rest, positions, group),
        )
        return tf.reshape(found, [positions, self.channels])

    def _counted(self, symbols: tf.Tensor, group: tf.Tensor) -> tf.Tensor:
        """The string of symbols under the counts of those before."""
        positions = tf.shape(symbols)[0]
        steps = -(-positions // group)
        step = tf.range(positions)[:, None] // group
        row = self.channels * step + tf.range(self.channels)  # of counts
        place = tf.reshape(CENTRES * row + symbols, [-1])
        counts = tf.math.unsorted_segment_sum(tf.ones_like(place, tf.int64), place, steps * self.channels * CENTRES)
        counts = tf.reshape(counts, [steps, self.channels, CENTRES])
        frequencies = _frequencies(self.counts + tf.cumsum(counts, exclusive=True))
        starts = tf.cumsum(frequencies, axis=-1, exclusive=True)
        missing = [[0, (steps * group - positions) * self.channels]]
        rows = [
            tf.reshape(tf.pad(tf.gather(tf.reshape(values, [-1]), place), missing, constant_values=null), [steps, -1])
            for values, null in ((frequencies, _TOTAL), (starts, 0))
        ]
        return frequency_coder.encode(*rows)

    def _read(self, string: tf.Tensor, positions: tf.Tensor, group: tf.Tensor) -> tf.Tensor:
        """The inverse of `_counted`, int32 [positions C]."""
        steps = -(-positions // group)
        state = frequency_coder.begin(string, steps)

        def body(step, counts, state, found):
            size = tf.minimum(group, positions - step * group)
            each = tf.tile(_frequencies(counts), [size, 1])
            state, symbols = frequency_coder.pull(state, each)
            place = CENTRES * tf.tile(tf.range(self.channels), [size]) + symbols
            more = tf.math.unsorted_segment_sum(tf.ones_like(place, tf.int64), place, self.channels * CENTRES)
            return step + 1, counts + tf.reshape(more, counts.shape), state, found.write(step, symbols)

        found = tf.TensorArray(tf.int32, 0, dynamic_size=True, infer_shape=False, element_shape=[None])
        loose = tf.nest.map_structure(lambda t: tf.TensorShape([None] * t.shape.rank), state)
        shapes = tf.TensorShape([]), tf.TensorShape(self.counts.shape), loose, tf.TensorShape(None)
        _, _, state, found = tf.while_loop(
            lambda step, counts, state, found: (step < steps) & frequency_coder.is_sound(state),
            body, (0, tf.constant(self.counts), state, found), shapes, parallel_iterations=1,
        )  # fmt: skip
        with tf.control_dependencies([frequency_coder.finish(state)]):
            return found.concat()


def _frequencies(counts: tf.Tensor) -> tf.Tensor:
    """int64 [..., 5] of at least 1 -> such whose sum is 2^PRECISION."""
    shares = counts * (_TOTAL - CENTRES) // tf.reduce_sum(counts, -1, keepdims=True) + 1
    left = _TOTAL - tf.reduce_sum(shares, -1, keepdims=True)
    return shares + left * tf.one_hot(tf.argmax(counts, -1), CENTRES, dtype=tf.int64)
