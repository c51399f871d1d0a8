"""The reading side of ``rans_stream``: opens a string, decodes symbols of any distribution, checks the end."""

from typing import NamedTuple

import tensorflow as tf

from models.entropy.coder import bit_fields
from models.entropy.coder.bit_fields import require
from models.entropy.coder.rans_stream import DAMAGED, ESCAPE_PAYLOAD, LENGTH_BITS, MAX_SYMBOL, UNROLL
from models.entropy.lanes import (
    MAX_LANES,
    START,
    STATE_BITS,
    LookUp,
    LookUps,
    bit_and,
    const,
    decode_rows,
    lane_plan,
    shift_left,
    shift_right,
    shrink,
    to_rows,
)


class DecoderState(NamedTuple):
    """Where an incremental decoder stands; every tensor but ``states`` and ``words`` keeps its shape."""

    states: tf.Tensor  # int64 [A], the lanes
    words: tf.Tensor  # int64 [W], words not yet taken, from ``pointer`` on
    pointer: tf.Tensor  # int64 scalar
    limit: tf.Tensor  # int64 scalar, words there are
    good: tf.Tensor  # bool scalar, no damage seen yet
    step: tf.Tensor  # int64 scalar, steps done
    ends: tf.Tensor  # int64 [levels], the step before which each lane count of the plan ends
    plan: tf.Tensor  # int64 [levels], lane counts
    escapes: tf.Tensor  # int64 [M + 1], escaped values and one of padding
    escaped: tf.Tensor  # int64 scalar, escapes taken
    table: tf.Tensor  # int64, the lookup table of ``lanes.decode_rows``


def open_stream(stream: tf.Tensor, table: tf.Tensor, steps: bool = False) -> tuple[DecoderState, tf.Tensor]:
    """Reads all but the symbols: the first state, and the counts of the header, int64 [levels].

    Without steps the first count, which the number of symbols gives, is zero.
    """
    data = bit_fields.string_to_bytes(tf.ensure_shape(stream, []))
    size = tf.size(data, tf.int64)
    (lanes, escapes), end, good = _pair(*bit_fields.read_varints(data, const(0), const(2)))
    sane = tf.reduce_all([good, lanes >= 1, lanes <= MAX_LANES, escapes <= size])
    with tf.control_dependencies([require(sane, DAMAGED + "its header is not one")]):
        # Only from here on may the numbers set how much is allocated.
        lanes, escapes = tf.identity(lanes), tf.identity(escapes)
    plan = lane_plan(lanes)
    levels = tf.size(plan, tf.int64)
    counts, end, good = bit_fields.read_varints(data, end, levels - (0 if steps else 1))
    if not steps:
        counts = tf.concat([[const(0)], counts], 0)
    body = data[tf.minimum(end, size) :]
    ones = tf.fill(lanes[None], const(1))
    above = bit_fields.read_fields(body, tf.range(lanes) * LENGTH_BITS, ones * LENGTH_BITS)
    low = bit_fields.read_fields(body, lanes * LENGTH_BITS + tf.range(lanes) * STATE_BITS, ones * STATE_BITS)
    begin = lanes * (LENGTH_BITS + STATE_BITS)
    high = bit_fields.read_fields(body, begin + tf.cumsum(above, exclusive=True), above)
    states = low + shift_left(high + shift_left(ones, above), const(STATE_BITS))
    end += (begin + tf.reduce_sum(above) + 7) // 8
    nibbles = bit_fields.unpack_nibbles(data[tf.minimum(end, size) :][: 6 * escapes])
    escaped, nibbles_read, read = bit_fields.read_varints(nibbles, const(0), escapes, ESCAPE_PAYLOAD)
    end += (nibbles_read + 1) // 2
    escaped = tf.concat([escaped, [0]], 0)
    whole = tf.reduce_all([good, read, end <= size, tf.equal((size - end) % 4, 0)])
    with tf.control_dependencies([require(whole, DAMAGED + "it ends early")]):
        words = bit_fields.bytes_to_words(data[end:])
    padded = tf.concat([tf.zeros([1], tf.int64), words, tf.zeros(lanes[None] * UNROLL + 1, tf.int64)], 0)
    zero = tf.zeros([], tf.int64)
    state = DecoderState(
        states, padded, zero, tf.size(words, tf.int64), tf.constant(True), zero, counts, plan, escaped, zero, table
    )
    return state, counts


def decode_all(
    state: DecoderState, counts: tf.Tensor, values: tf.Tensor, look_up: LookUp | LookUps, padding, unroll: int = UNROLL
) -> tuple[DecoderState, tf.Tensor]:
    """Decodes what ``encode_all`` wrote.

    Args:
        state, counts: of ``open_stream``.
        values: int64 [N] or [F, N], what ``look_up`` must know of each symbol's distribution.
        look_up, padding, unroll: see ``lanes.decode_rows`` and ``lanes.to_rows``.

    Returns:
        The state, and what was kept of each symbol, int64 [N].

    Raises:
        tf.errors.InvalidArgumentError: the stream holds more symbols.
    """
    size, levels = tf.shape(values, tf.int64)[-1], tf.size(state.plan, tf.int64)
    counts *= 2 * state.plan
    main = size - tf.reduce_sum(counts[1:])
    with tf.control_dependencies([require(main >= 0, DAMAGED + "it holds more symbols than expected")]):
        counts = tf.concat([main[None], counts[1:]], 0)
        begins = tf.cumsum(counts, exclusive=True)

    def body(level, state, parts):
        part = values[..., begins[level] : begins[level] + counts[level]]
        state, kept = advance(state, part, state.plan[level], look_up, padding, unroll)
        return level + 1, state, parts.write(tf.cast(level, tf.int32), kept)

    parts = tf.TensorArray(tf.int64, tf.cast(levels, tf.int32), infer_shape=False, element_shape=[None])
    loop = (const(0), state, parts)
    _, state, parts = tf.while_loop(lambda level, *_: level < levels, body, loop, parallel_iterations=1)
    return state, parts.concat()


def advance(
    state: DecoderState, values: tf.Tensor, lanes: tf.Tensor, look_up: LookUp | LookUps, padding, unroll: int = 1
) -> tuple[DecoderState, tf.Tensor]:
    """Decodes symbols on so many lanes; returns the state and what was kept of each, int64 [N]."""

    def end_lanes():
        states, words, pointer, good = shrink(state.states, state.words, state.pointer, lanes)
        limit = tf.size(state.states, tf.int64) - lanes + state.limit - state.pointer
        good = tf.logical_and(good, state.pointer <= state.limit)
        return states, words, pointer, limit, tf.logical_and(good, state.good)

    states, words, pointer, limit, good = tf.cond(
        lanes < tf.size(state.states, tf.int64), end_lanes, lambda: tuple(map(tf.identity, state[:5]))
    )
    rows = to_rows(values, lanes, padding, unroll)
    states, pointer, kept = decode_rows(look_up, states, words, pointer, rows, unroll)
    state = state._replace(states=states, words=words, pointer=pointer, limit=limit, good=good)
    return state, tf.reshape(kept, [-1])[: tf.shape(values)[-1]]


def take_escapes(state: DecoderState, smallest: tf.Tensor, last: tf.Tensor) -> tuple[DecoderState, tf.Tensor]:
    """The next escaped symbols, int32 [M], of alphabets with that smallest symbol and escape slot, int [M] each."""
    count = tf.size(smallest, tf.int64)
    places = tf.minimum(state.escaped + tf.range(count), tf.size(state.escapes, tf.int64) - 1)
    values = tf.gather(state.escapes, places)
    half, smallest = shift_right(values, const(1)), tf.cast(smallest, tf.int64)
    above = smallest + tf.cast(last, tf.int64) + half
    far = tf.where(tf.equal(bit_and(values, const(1)), 0), above, smallest - 1 - half)
    good = tf.logical_and(state.good, tf.reduce_all(tf.abs(far) <= MAX_SYMBOL))
    return state._replace(escaped=state.escaped + count, good=good), tf.cast(far, tf.int32)


def _pair(values: tf.Tensor, end: tf.Tensor, good: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
    """The two values that read_varints was asked for, as scalars."""
    return tf.unstack(values, num=2), end, good


def end_checks(state: DecoderState) -> list[tf.Operation]:
    """What holds at the end of every undamaged stream."""
    all_back = tf.reduce_all(tf.equal(state.states, START))
    escapes = tf.size(state.escapes, tf.int64)
    consumed = tf.logical_and(tf.equal(state.pointer, state.limit), tf.equal(state.escaped, escapes - 1))
    message = DAMAGED + "its symbols do not end where their encoder began"
    return [require(tf.reduce_all([state.good, all_back, consumed]), message)]


def begin_steps(stream: tf.Tensor, table: tf.Tensor) -> DecoderState:
    """The state before the first step of a string that ``encode_steps`` wrote."""
    state, counts = open_stream(stream, table, steps=True)
    # Counted from the front, lane count i ends after the steps of counts 0 to i.
    return state._replace(ends=tf.cumsum(counts))


def lanes_of_step(state: DecoderState) -> tf.Tensor:
    """How many lanes the next step is coded on, int64 scalar."""
    level = tf.reduce_sum(tf.cast(state.ends <= state.step, tf.int64))
    return state.plan[tf.minimum(level, tf.size(state.plan, tf.int64) - 1)]


def finish_steps(state: DecoderState) -> tf.Operation:
    """What holds after the last step of every undamaged stream."""
    steps = require(tf.equal(state.step, state.ends[-1]), DAMAGED + "its number of steps is another")
    return tf.group(steps, *end_checks(state))
