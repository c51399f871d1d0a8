"""The entropy coder inside the graph: symbols and integer tables in, one string out, stock TensorFlow ops only.

``lanes`` holds the arithmetic, ``rans_stream`` the layout of the string, ``rans_reader`` its reading.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models.entropy.coder.bit_fields import require
from models.entropy.coder.rans_reader import (
    DecoderState,
    advance,
    begin_steps,
    decode_all,
    end_checks,
    finish_steps,
    lanes_of_step,
    open_stream,
    take_escapes,
)
from models.entropy.coder.rans_stream import (
    MAX_SYMBOL,
    encode_all,
    encode_steps,
    escape_values,
    join_chunks,
    split_chunks,
)
from models.entropy.densities.tables import CdfTables
from models.entropy.lanes import bit_and, const, shift_left, shift_right, table_look_up

_plain = tf.autograph.experimental.do_not_convert  # nothing here needs AutoGraph, which is slow to trace
CHUNK = 1 << 20  # symbols coded at a time: their temporary numbers take some 100 bytes each
ESCAPE = -(1 << 15)  # stands in the lookup table for symbols outside their alphabet


class RansCoder(tf.Module):
    """Codes integer symbols under tables that were fixed when the model was saved.

    Every method may be called eagerly or inside a ``tf.function``; all run on the CPU. The decoder's lookup table
    (2**precision entries a table) is derived from the tables at the first decoding and kept, not saved.
    """

    def __init__(self, tables: CdfTables, name: str = "rans_coder"):
        """Args:
        tables: T integer tables.
        name: of the module.
        """
        super().__init__(name=name)
        self.precision, self.table_count = tables.precision, len(tables.sizes)
        # One more table for slots that hold no symbol: probability one, which leaves a state as it is.
        sizes = np.append(tables.sizes, 2).astype(np.int32)
        largest = tables.offsets.astype(np.int64) + tables.sizes - 2
        if tables.offsets.min() <= ESCAPE or largest.max() >= -ESCAPE:
            reach = f"{tables.offsets.min()} to {largest.max()}"
            raise ValueError(f"alphabets reach from {reach}; the coder takes -32767 to 32767")
        rows = [row[: size + 1] for row, size in zip(tables.cdfs, tables.sizes, strict=True)]
        cdf = np.concatenate([*rows, [0, 1 << self.precision, 1 << self.precision]]).astype(np.int32)
        with tf.device("CPU:0"), tf.init_scope():
            self._cdf = _stored(cdf, "cdf")
            # Where each table begins in cdf.
            self._first = _stored((np.cumsum(sizes + 1) - sizes - 1).astype(np.int32), "first")
            self._escape = _stored(sizes - 1, "escape")  # slot
            self._offset = _stored(np.append(tables.offsets, 0).astype(np.int32), "offset")
            self._slots = tf.Variable(tf.zeros([0], tf.int64), False, shape=[None], name="slots")
            self._kept = tf.Variable(False, False, name="kept")

    @_plain
    def encode(self, symbols: tf.Tensor, indexes: tf.Tensor) -> tf.Tensor:
        """One string for all symbols.

        Args:
            symbols: int32 [N], magnitudes up to 2**30.
            indexes: int32 [N], the table of each.

        Returns:
            string scalar.

        Raises:
            tf.errors.InvalidArgumentError: on a symbol or an index out of range.
        """

        def one(begin, end, state):
            return self.encode_chunk(symbols[begin:end], indexes[begin:end]), state

        with tf.device("CPU:0"):
            return join_chunks(one, tf.size(symbols), CHUNK)[0]

    @_plain
    def decode(self, stream: tf.Tensor, indexes: tf.Tensor) -> tf.Tensor:
        """The symbols of a string written by ``encode``.

        Args:
            stream: string scalar.
            indexes: int32 [N], the same as in ``encode``.

        Returns:
            int32 [N].

        Raises:
            tf.errors.InvalidArgumentError: if the stream does not fit these tables and indexes, or is damaged.
        """
        decode = self.decoder()
        with tf.device("CPU:0"):
            return split_chunks(
                lambda part, begin, end, state: (decode(part, indexes[begin:end]), state),
                stream, tf.size(indexes), CHUNK,
            )  # fmt: skip

    @property
    def chunk(self) -> int:
        """Symbols of a chunk at most."""
        return CHUNK

    @_plain
    def encode_chunk(self, symbols: tf.Tensor, indexes: tf.Tensor) -> tf.Tensor:
        """The string of one chunk, without more around it; arguments and errors are those of ``encode``."""
        with tf.device("CPU:0"):
            return encode_all(self.precision, *self._intervals(symbols, indexes, None))

    @_plain
    def decoder(self) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """What undoes ``encode_chunk``: (string, indexes int32 [n]) -> symbols int32 [n]. Make it outside of loops."""
        with tf.device("CPU:0"):
            table = self._table()

        def decode(stream, indexes):
            with tf.device("CPU:0"):
                return self._decode_chunk(stream, indexes, table)

        return decode

    @_plain
    def encode_steps(self, symbols: tf.Tensor, indexes: tf.Tensor, valid: tf.Tensor | None = None) -> tf.Tensor:
        """One string for symbols that the decoder will ask for step by step.

        Args:
            symbols: int32 [steps, n], magnitudes up to 2**30.
            indexes: int32 [steps, n], the table of each.
            valid: bool [steps, n], false where a slot holds no symbol; such slots cost nothing. None: all are valid.

        Returns:
            string scalar.

        Raises:
            tf.errors.InvalidArgumentError: on a symbol or an index out of range.
        """
        with tf.device("CPU:0"):
            shape = tf.shape(symbols)
            flat = None if valid is None else tf.reshape(valid, [-1])
            frequencies, starts, escapes = self._intervals(tf.reshape(symbols, [-1]), tf.reshape(indexes, [-1]), flat)
            return encode_steps(self.precision, tf.reshape(frequencies, shape), tf.reshape(starts, shape), escapes)

    @_plain
    def begin(self, stream: tf.Tensor) -> DecoderState:
        """The state before the first step of a string (scalar) written by ``encode_steps``.

        Loop variables of a ``tf.while_loop`` may hold it: static shapes of what changes in size are unknown, unless
        the stream is a constant of the graph.
        """
        with tf.device("CPU:0"):
            return begin_steps(stream, self._table())

    @_plain
    def pull(
        self, state: DecoderState, indexes: tf.Tensor, valid: tf.Tensor | None = None
    ) -> tuple[DecoderState, tf.Tensor]:
        """Decodes the next step.

        Args:
            state: from ``begin`` or the last ``pull``.
            indexes: int32 [n], the table of each symbol.
            valid: bool [n]; None: all are valid. A step may be pulled with fewer slots than it was encoded with, as
                long as all slots left out at its end were invalid.

        Returns:
            The next state, and the symbols, int32 [n], zero where invalid.
        """
        with tf.device("CPU:0"):
            # Indexes are not checked as ``decode`` does it, which takes as long as decoding some hundred symbols; the
            # look-up itself refuses what lies outside the tables.
            chosen = indexes if valid is None else tf.where(valid, indexes, self.table_count)
            bases = shift_left(tf.cast(chosen, tf.int64), const(self.precision))
            state, entries = advance(state, bases, lanes_of_step(state), *self._look_up(state.table))
            state, symbols = self._symbols(state, entries, indexes)
            return state._replace(step=state.step + 1), symbols

    @_plain
    def finish(self, state: DecoderState) -> tf.Operation:
        """Checks that the stream ended where its encoder began; use as a control input of what must not see damage.

        Raises:
            tf.errors.InvalidArgumentError: if steps were left out, or the stream is damaged.
        """
        with tf.device("CPU:0"):
            return finish_steps(state)

    def _decode_chunk(self, stream: tf.Tensor, indexes: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
        """Symbols, int32 [n], of what ``encode_all`` wrote."""
        state, counts = open_stream(stream, table)
        bases = shift_left(tf.cast(self._indexes(indexes, None), tf.int64), const(self.precision))
        state, entries = decode_all(state, counts, bases, *self._look_up(table))
        state, symbols = self._symbols(state, entries, indexes)
        with tf.control_dependencies(end_checks(state)):
            return tf.identity(symbols)

    def _look_up(self, table: tf.Tensor) -> tuple:
        """How a state's symbol is found, and the row of a slot that holds none."""
        return table_look_up(table, self.precision), self.table_count << self.precision

    def _indexes(self, indexes: tf.Tensor, valid: tf.Tensor | None) -> tf.Tensor:
        """Indexes, int32 [N], all in range, and the null table's where invalid."""
        if valid is not None:
            indexes = tf.where(valid, indexes, self.table_count)
        last = self.table_count if valid is not None else self.table_count - 1
        inside = tf.logical_and(tf.reduce_min(indexes) >= 0, tf.reduce_max(indexes) <= last)
        inside = tf.logical_or(inside, tf.equal(tf.size(indexes), 0))
        with tf.control_dependencies([require(inside, f"a table index lies outside 0 to {self.table_count - 1}")]):
            return tf.identity(indexes)

    def _intervals(
        self, symbols: tf.Tensor, indexes: tf.Tensor, valid: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Frequency and start of each symbol, int64 [N], and the escaped values, int64 [M]."""
        if valid is not None:
            symbols = tf.where(valid, symbols, 0)
        small = tf.logical_and(tf.reduce_min(symbols) >= -MAX_SYMBOL, tf.reduce_max(symbols) <= MAX_SYMBOL)
        small = tf.logical_or(small, tf.equal(tf.size(symbols), 0))
        with tf.control_dependencies([require(small, "a symbol's magnitude is beyond 2**30")]):
            chosen = self._indexes(indexes, valid)
        # One look-up brings all that is known of a table: its smallest symbol, its escape slot, where its slots begin.
        table = tf.gather(self._table_fields(), chosen)
        slots = symbols - tf.cast(shift_right(table, const(48)), tf.int32)
        escape = tf.cast(bit_and(shift_right(table, const(32)), 0xFFFF), tf.int32)
        outside = tf.logical_or(slots < 0, slots >= escape)

        def mark():
            where = tf.where(outside)
            far, last = tf.gather_nd(slots, where), tf.gather_nd(escape, where)
            return tf.tensor_scatter_nd_update(slots, where, last), escape_values(far, last)

        slots, beyond = tf.cond(tf.reduce_any(outside), mark, lambda: (tf.identity(slots), tf.zeros([0], tf.int64)))
        cdf = tf.cast(self._cdf.read_value(), tf.int64)
        both = cdf + shift_left(tf.concat([cdf[1:], [0]], 0) - cdf, const(32))
        intervals = tf.gather(both, slots + tf.cast(table, tf.int32))
        return shift_right(intervals, const(32)), bit_and(intervals, 0xFFFF), beyond

    def _table_fields(self) -> tf.Tensor:
        """For each table its smallest symbol << 48 | escape slot << 32 | begin in the flat tables, int64 [T + 1]."""
        fields = (self._offset.read_value(), self._escape.read_value(), self._first.read_value())
        offset, escape, first = (tf.cast(field, tf.int64) for field in fields)
        return shift_left(offset, const(48)) + shift_left(escape, const(32)) + first

    def _table(self) -> tf.Tensor:
        """The decoder's lookup table; see ``lanes.table_look_up``."""

        def build():
            table = self._spread()
            with tf.control_dependencies([self._slots.assign(table, read_value=False)]):
                kept = self._kept.assign(True, read_value=False)
            with tf.control_dependencies([kept]):
                return tf.identity(table)

        # The flag, not the size, says whether it is there: the graph optimiser takes the assigned size for the size.
        return tf.cond(self._kept.read_value(), lambda: tf.identity(self._slots.read_value()), build)

    def _spread(self) -> tf.Tensor:
        """Builds the lookup table: each slot's constant, put where the slot begins and summed up over the gaps."""
        cdf, total = tf.cast(self._cdf.read_value(), tf.int64), 1 << self.precision
        first, sizes = tf.cast(self._first.read_value(), tf.int64), tf.cast(self._escape + 1, tf.int64)
        table = tf.repeat(tf.range(tf.size(sizes, tf.int64)), sizes + 1)
        slots = tf.range(tf.size(cdf, tf.int64)) - tf.gather(first, table)
        symbols = slots + tf.gather(tf.cast(self._offset.read_value(), tf.int64), table)
        symbols = tf.where(tf.equal(slots + 1, tf.gather(sizes, table)), const(ESCAPE), symbols)
        frequencies = tf.concat([cdf[1:], [0]], 0) - cdf
        real = frequencies > 0
        begins = tf.boolean_mask(cdf + table * total, real)
        fields = shift_left(frequencies, const(32)) + shift_left(bit_and(symbols, 0xFFFF), const(16))
        values = tf.boolean_mask(fields, real) - begins
        steps = values - tf.concat([[0], values[:-1]], 0)
        size = tf.size(sizes, tf.int64) * total
        return tf.cumsum(tf.scatter_nd(begins[:, None], steps, size[None])) + tf.range(size)

    def _symbols(self, state: DecoderState, entries: tf.Tensor, indexes: tf.Tensor) -> tuple[DecoderState, tf.Tensor]:
        """Symbols, int32 [N], of lookup entries, escapes filled in."""
        symbols = shift_right(tf.cast(entries, tf.int32), 16)  # the cast keeps the low half, the shift its sign

        def fill():
            where = tf.where(tf.equal(symbols, ESCAPE))
            chosen = tf.gather_nd(indexes, where)  # an escape is never of the null table
            after, far = take_escapes(state, tf.gather(self._offset, chosen), tf.gather(self._escape, chosen))
            return tf.tensor_scatter_nd_update(symbols, where, far), after.escaped, after.good

        some = tf.equal(tf.reduce_min(symbols), ESCAPE)  # nothing in a table is smaller
        symbols, escaped, good = tf.cond(some, fill, lambda: (symbols, state.escaped, state.good))
        return state._replace(escaped=escaped, good=good), symbols


def _stored(values: np.ndarray, name: str) -> tf.Variable:
    """Integers as a variable, so that a SavedModel holds them once however many functions read them."""
    return tf.Variable(values, trainable=False, name=name)
