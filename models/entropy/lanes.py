"""The heart of the interleaved rANS coder: vectors of states ("lanes") that code one row of symbols at a time.

Range variant of asymmetric numeral systems (Duda 2013, arXiv 1311.2540), interleaved over lanes as in Giesen 2014
(arXiv 1402.3392). A state is an int64 in [2**31, 2**63). Rows come in pairs: both symbols of a lane take at most 30
bits from its state, so one refill of a 32-bit word after each pair is enough, which halves the work of finding out
which lane takes which word. The encoder runs backwards, the decoder forwards; both are exact in integers.

Lanes cost bits: each final state must be stored and each initial state is lost. The loss at the start is recovered by
growing: coding starts on one lane, and the words it emits become the initial states 2**32 + word of new lanes, which
the decoder gets back when those lanes end. Lane counts follow ``lane_plan``.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

STATE_BITS = 31  # a state is never below 2**31 between pairs
WORD_BITS = 32
START = 1 << WORD_BITS  # initial states are START + 32 bits of payload
MAX_LANES = 1024
_LEVELS = MAX_LANES.bit_length()
_WORD = (1 << WORD_BITS) - 1

LookUp = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
shift_left, shift_right, bit_and = tf.bitwise.left_shift, tf.bitwise.right_shift, tf.bitwise.bitwise_and


def const(value: int) -> tf.Tensor:
    """An int64 scalar."""
    return tf.constant(value, tf.int64)


def lane_plan(lanes: tf.Tensor) -> tf.Tensor:
    """Lane counts from lanes (int64 scalar) down to one, each half of the last, rounded up: int64 [levels]."""
    halvings = tf.range(_LEVELS, dtype=tf.int64)
    counts = shift_right(lanes + shift_left(const(1), halvings) - 1, halvings)
    return counts[: 1 + tf.reduce_sum(tf.cast(counts > 1, tf.int64))]


def to_rows(values: tf.Tensor, lanes: tf.Tensor, padding, unroll: int = 1) -> tf.Tensor:
    """Pairs of rows [R, 2, ..., lanes] of int64 [..., N], filled up; R is unroll or a multiple.

    Args:
        values: int64 [N], or [F, N] with F numbers a symbol.
        lanes: int64 scalar.
        padding: what fills up the last rows: a number, or [F, 1].
        unroll: pairs.
    """
    size, unit = tf.shape(values, tf.int64)[-1], 2 * unroll * lanes
    missing = tf.maximum((size + unit - 1) // unit, 1) * unit - size
    if values.shape.rank == 1:
        return tf.reshape(tf.pad(values, [[0, missing]], constant_values=padding), tf.stack([-1, 2, lanes]))
    fields = values.shape[0]
    filled = tf.concat([values, tf.repeat(tf.constant(padding, tf.int64), missing, 1)], 1)
    return tf.transpose(tf.reshape(filled, tf.stack([fields, -1, 2, lanes])), [1, 2, 0, 3])


class LookUps(NamedTuple):
    """Several look-ups for rows in the order of the one that they need: a loop for each, without a branch in it."""

    each: tuple[LookUp, ...]
    chosen: Callable[[tf.Tensor], tf.Tensor]  # rows of turns int64 [R, k, ..., A] -> which, int64 [R], never falling


def decode_rows(
    look_up: LookUp | LookUps,
    states: tf.Tensor,
    words: tf.Tensor,
    pointer: tf.Tensor,
    rows: tf.Tensor,
    unroll: int = 1,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decodes pairs of rows.

    Args:
        look_up: (states int64 [A], a row int64 [..., A]) -> (states without the symbol that they hold under the row's
            distributions, what is kept of it, int64 [A]); `table_look_up` makes one.
        states: int64 [A].
        words: int64 [W], one unused entry, the stream's words, and at least 1 + unroll * A of padding.
        pointer: int64 scalar, words taken so far.
        rows: int64 [R, 2, ..., A], what `look_up` must know of each symbol's distribution.
        unroll: pairs that one turn of the loop decodes; R is a multiple of it.

    Returns:
        The states and the pointer afterwards, and what was kept, int64 [R, 2, A].
    """
    low = const(1 << STATE_BITS)
    rows, count = _turns(rows, unroll)
    last_lane = tf.size(states) - 1
    last_place = tf.size(words, tf.int64) - unroll * tf.size(states, tf.int64) - 1

    def body(look_up, turn, states, pointer, kept):
        found = []
        for place, row in enumerate(tf.unstack(tf.gather(rows, turn), num=2 * unroll)):
            states, entry = look_up(states, row)
            found.append(entry)
            if place % 2:
                short = states < low
                places = tf.cumsum(tf.cast(short, tf.int64)) + pointer
                refilled = shift_left(states, const(WORD_BITS)) + tf.gather(words, places)
                states = tf.raw_ops.Select(condition=short, x=refilled, y=states)
                pointer = tf.gather(places, last_lane)
        # Damage may ask for more words than there are: the pointer then stops in the padding.
        return turn + 1, states, tf.minimum(pointer, last_place), kept.write(turn, tf.stack(found))

    loop = 0, states, pointer, tf.TensorArray(tf.int64, count, element_shape=[2 * unroll, None])
    if isinstance(look_up, LookUps):
        chosen = look_up.chosen(rows)
        stages = [(one, tf.reduce_sum(tf.cast(chosen <= n, tf.int32))) for n, one in enumerate(look_up.each)]
    else:
        stages = [(look_up, count)]
    for one, end in stages:
        step = functools.partial(body, one)
        loop = tf.while_loop(lambda turn, *_, end=end: turn < end, step, loop, parallel_iterations=1)
    _, states, pointer, kept = loop
    return states, pointer, kept.stack()


def table_look_up(table: tf.Tensor, precision: int) -> LookUp:
    """A `look_up` in a table that has an entry for every number below 2**precision of every distribution.

    Args:
        table: int64 [tables * 2**precision], frequency << 32 | symbol << 16 | number - start.
        precision: bits.

    Returns:
        The function; its rows are int64 [A], number of the table << precision; it keeps the entries.
    """
    mask, half = const((1 << precision) - 1), const(0xFFFF)

    def look_up(states, bases):
        entry = tf.gather(table, bases + bit_and(states, mask))
        return shift_right(entry, const(32)) * shift_right(states, const(precision)) + bit_and(entry, half), entry

    return look_up


def encode_rows(
    precision: int, states: tf.Tensor, frequencies: tf.Tensor, starts: tf.Tensor, unroll: int = 1
) -> tuple[tf.Tensor, tf.Tensor]:
    """Encodes pairs of rows, from the last one to the first.

    Args:
        precision: bits.
        states: int64 [A].
        frequencies: int64 [R, 2, A], 1 to 2**precision.
        starts: int64 [R, 2, A].
        unroll: pairs that one turn of the loop encodes; R is a multiple of it.

    Returns:
        The states afterwards, and the emitted words, int64 [W], in the order in which the decoder takes them.
    """
    rest = 2 * STATE_BITS + 1 - 2 * precision
    # The largest state that may take both symbols without a word leaving first: frequencies << rest, less one.
    largest = shift_left(frequencies[:, 0] * frequencies[:, 1] - 1, const(rest)) + ((1 << rest) - 1)
    gaps = (1 << precision) - frequencies
    columns = (largest, frequencies[:, 1], gaps[:, 1], starts[:, 1], frequencies[:, 0], gaps[:, 0], starts[:, 0])
    data, count = _turns(tf.stack(columns, 1), unroll)

    def body(turn, states, emitted):
        numbers = tf.unstack(tf.gather(data, turn), num=7 * unroll)
        leaving = []
        for pair in reversed(range(unroll)):
            largest, *symbols = numbers[7 * pair : 7 * pair + 7]
            full = states > largest
            word = tf.where(full, bit_and(states, const(_WORD)), const(-1))
            leaving.insert(0, word)
            states = tf.raw_ops.Select(condition=full, x=shift_right(states, const(WORD_BITS)), y=states)
            for frequency, gap, start in (symbols[:3], symbols[3:]):
                states += tf.raw_ops.TruncateDiv(x=states, y=frequency) * gap + start
        return turn - 1, states, emitted.write(turn, tf.stack(leaving))

    emitted = tf.TensorArray(tf.int64, count, element_shape=[unroll, None])
    _, states, emitted = tf.while_loop(
        lambda turn, *_: turn >= 0, body, (count - 1, states, emitted), parallel_iterations=1
    )
    words = tf.reshape(emitted.stack(), [-1])
    return states, tf.boolean_mask(words, words >= 0)


def _turns(rows: tf.Tensor, unroll: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows [R, k, ..., A] as [R / unroll, k * unroll, ..., A], and how many turns that makes, an int32 scalar."""
    turns = tf.reshape(rows, tf.concat([[-1, unroll * rows.shape[1]], tf.shape(rows)[2:]], 0))
    turns.set_shape([None, unroll * rows.shape[1], *rows.shape[2:-1], None])
    return turns, tf.shape(turns)[0]


def grow(states: tf.Tensor, words: tf.Tensor, lanes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Adds lanes until there are ``lanes``, each from one word of those that the decoder takes next."""
    fresh = lanes - tf.size(states, tf.int64)
    return tf.concat([states, words[:fresh] + START], 0), words[fresh:]


def shrink(
    states: tf.Tensor, words: tf.Tensor, pointer: tf.Tensor, lanes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Undoes ``grow``: the lanes above ``lanes`` end, and their payload comes before the words not yet taken.

    Returns:
        states, words and pointer afterwards, and a bool scalar: whether the ended lanes were back at a start value.
    """
    ended = states[lanes:] - START
    words = tf.concat([tf.zeros([1], tf.int64), bit_and(ended, const(_WORD)), words[pointer + 1 :]], 0)
    good = tf.reduce_all(tf.equal(shift_right(ended, const(WORD_BITS)), 0))
    return states[:lanes], words, tf.zeros_like(pointer), good
