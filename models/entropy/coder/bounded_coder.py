"""Codes symbols of an alphabet with ends under a mixture of their own each, without a table for any of them.

All symbols at once (`encode`, `decode`), or step by step where the next step's mixtures follow from what was decoded
(`encode_steps`, `begin`, `pull`, `finish`).
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from models.entropy.coder.bit_fields import require
from models.entropy.coder.chunked import ChunkedCoder
from models.entropy.coder.joined import join, split
from models.entropy.coder.rans_reader import DecoderState, advance, decode_all, end_checks, open_stream
from models.entropy.coder.rans_stream import DAMAGED, encode_all, encode_steps
from models.entropy.densities.bounded_cdf import BoundedCdf
from models.entropy.densities.mixture_cdf import LOGISTIC, PRECISION, Distribution, MixtureCdf

CHUNK = 1 << 19  # symbols coded at a time: their temporary numbers take some 300 bytes each
LANE_BITS = 2600  # each lane costs about five: 0.19 %
_plain = tf.autograph.experimental.do_not_convert


class BoundedCoder(ChunkedCoder):
    """Codes symbols 0 to size - 1."""

    def __init__(
        self,
        size: int,
        split: bool = False,
        tables: Mapping[str, np.ndarray] | None = None,
        distribution: Distribution = LOGISTIC,
        name: str = "bounded_coder",
    ):
        """Args:
        size, split: of the alphabet, see `BoundedCdf`. tables, distribution: what `MixtureCdf` takes.
        name: of the module.
        """
        super().__init__(name=name)
        self.size = size
        with tf.device("CPU:0"):
            self.cdf = BoundedCdf(MixtureCdf(tables, distribution), size, split)

    @property
    def chunk(self) -> int:
        """Symbols of a chunk at most."""
        return CHUNK

    @_plain
    def encode_chunk(self, symbols: tf.Tensor, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The string of one chunk, without more around it; arguments and errors are those of `encode`."""
        with tf.device("CPU:0"):
            strings = [
                encode_all(PRECISION, frequencies, starts, starts[:0], LANE_BITS)
                for frequencies, starts in self.intervals(symbols, means, levels, logits)
            ]
            return strings[0] if len(strings) == 1 else join(tf.stack(strings))

    @_plain
    def decode_chunk(self, stream: tf.Tensor, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The symbols, int32 [n], of a string of `encode_chunk`; arguments and errors are those of `decode`."""
        with tf.device("CPU:0"):
            fields = self._first(means, levels, logits)
            if len(self.cdf.sizes) == 1:
                return tf.cast(self._decode_step(stream, fields, 0), tf.int32)
            first, second = tf.unstack(split(stream, 2), num=2)
            parts = self._decode_step(first, fields, 0)
            rest = self._decode_step(second, self.cdf.second(fields, parts), 1)
            return tf.cast(self.cdf.joined(parts, rest), tf.int32)

    def _decode_step(self, stream: tf.Tensor, fields: tf.Tensor, step: int) -> tf.Tensor:
        state, counts = open_stream(stream, tf.zeros([0], tf.int64))
        state, symbols = decode_all(state, counts, fields, self.cdf.look_up(step), _padding(fields), unroll=1)
        with tf.control_dependencies(end_checks(state)):
            return tf.identity(symbols)

    @_plain
    def intervals(
        self, symbols: tf.Tensor, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor
    ) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Frequencies and starts of symbols, int64 [N] each, of each of `cdf.sizes`; see `encode`."""
        with tf.device("CPU:0"):
            inside = tf.reduce_all((symbols >= 0) & (symbols < self.size))
            with tf.control_dependencies([require(inside, f"a symbol lies outside 0 to {self.size - 1}")]):
                symbols = tf.cast(symbols, tf.int64)
            return self.cdf.intervals(symbols, *(tf.cast(values, tf.int64) for values in (means, levels, logits)))

    @_plain
    def encode_steps(self, frequencies: tf.Tensor, starts: tf.Tensor, valid: tf.Tensor | None = None) -> tf.Tensor:
        """One string for symbols that the decoder will ask for step by step.

        Args:
          frequencies, starts: int64 [steps, n], of `intervals`; of an alphabet that is split, for each step of `pull`
            a row of the first and one of the second.
          valid: bool [steps, n], false where a slot holds no symbol; such slots cost nothing. None: all are valid.
        """
        with tf.device("CPU:0"):
            if valid is not None:
                frequencies, starts = tf.where(valid, frequencies, 1 << PRECISION), tf.where(valid, starts, 0)
            return encode_steps(PRECISION, frequencies, starts, tf.zeros([0], tf.int64))

    @_plain
    def begin(self, stream: tf.Tensor) -> DecoderState:
        """The state before the first step of a string of `encode_steps`; see `rans.RansCoder.begin`."""
        with tf.device("CPU:0"):
            state, counts = open_stream(stream, tf.zeros([0], tf.int64), steps=True)
            return state._replace(ends=tf.cumsum(counts))

    @_plain
    def pull(
        self,
        state: DecoderState,
        means: tf.Tensor,
        levels: tf.Tensor,
        logits: tf.Tensor,
        valid: tf.Tensor | None = None,
    ) -> tuple[DecoderState, tf.Tensor]:
        """Decodes the next step.

        Args:
          state: from `begin` or the last `pull`.
          means, levels, logits: integers [K, n], of the step's symbols.
          valid: bool [n]; None: all are valid. A step may be pulled with fewer slots than it was encoded with, as long
            as all slots left out at its end were invalid.

        Returns:
          The next state, and the symbols, int32 [n], zero where invalid.
        """
        with tf.device("CPU:0"):
            kept = 1 if valid is None else tf.cast(valid, tf.int64)
            fields = self._first(means, levels, logits) * kept
            state, symbols = self._pull_step(state, fields, 0)
            if len(self.cdf.sizes) > 1:
                state, rest = self._pull_step(state, self.cdf.second(fields, symbols) * kept, 1)
                symbols = self.cdf.joined(symbols, rest)
            return state, tf.cast(symbols, tf.int32)

    def _pull_step(self, state: DecoderState, fields: tf.Tensor, step: int) -> tuple[DecoderState, tf.Tensor]:
        level = tf.reduce_sum(tf.cast(state.ends <= state.step, tf.int64))
        lanes = state.plan[tf.minimum(level, tf.size(state.plan, tf.int64) - 1)]
        state, symbols = advance(state, fields, lanes, self.cdf.look_up(step), _padding(fields))
        return state._replace(step=state.step + 1), symbols

    @_plain
    def finish(self, state: DecoderState) -> tf.Operation:
        """Checks that the stream ended where its encoder began; a control input of what must not see damage.

        Raises:
          tf.errors.InvalidArgumentError: if steps were left out, or the stream is damaged.
        """
        with tf.device("CPU:0"):
            steps = require(tf.equal(state.step, state.ends[-1]), DAMAGED + "its number of steps is another")
            return tf.group(steps, *end_checks(state))

    def _first(self, *parameters: tf.Tensor) -> tf.Tensor:
        return self.cdf.first(*(tf.cast(values, tf.int64) for values in parameters))


def _padding(fields: tf.Tensor) -> list[list[int]]:
    return [[0]] * fields.shape[0]
