"""The bytes around the lanes: how many lanes a stream has, when they begin and end, what is written before the words.

A stream is: varints (lanes, escapes, then how much was coded on each lane count), the final states at their real length
in bits, the escaped values as varints of nibbles, the 32-bit words. It knows neither its length nor its symbols'
number: what the caller asks for must end exactly where the encoder began. More than ``rans.CHUNK`` symbols make several
streams, their lengths before them.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from models.entropy.coder import bit_fields
from models.entropy.coder.bit_fields import require
from models.entropy.in_place import overwrite
from models.entropy.lanes import (
    MAX_LANES,
    START,
    STATE_BITS,
    bit_and,
    const,
    encode_rows,
    grow,
    lane_plan,
    shift_left,
    shift_right,
    to_rows,
)

DAMAGED = "damaged stream: "
MAX_SYMBOL = 1 << 30  # magnitude; leaves room for offsets and signs in 32 bits
LENGTH_BITS = 5
ESCAPE_PAYLOAD = 3  # bits a nibble: most escapes lie close to their alphabet's edge
_MAX_STEP_LANES = 256
_GROWING_PAIRS = 8
LANE_BITS = 1300
UNROLL = 4  # pairs a turn of the loop; more gains nothing


def _ideal_bits(precision: int, frequencies: tf.Tensor) -> tf.Tensor:
    """About the bits that all symbols take: int64 scalar, within a tenth, the same on every machine.

    The exponent and mantissa of a float are a piecewise linear logarithm of it, and integers.
    """
    logs = shift_right(tf.bitcast(tf.cast(frequencies, tf.float32), tf.int32), 15)
    costs = ((127 + precision) << 8) - logs
    return tf.reduce_sum(tf.cast(costs, tf.int64)) // 256


def _lanes_for(bits: tf.Tensor, symbols: tf.Tensor, limit: int, lane_bits: int = LANE_BITS) -> tf.Tensor:
    """How many lanes a stream of so many bits bears: each costs about five bits, by default 0.39 % in all.

    Many cheap symbols take long on few lanes: they get ten at least, which cost some seven bytes.
    """
    return tf.clip_by_value(tf.maximum(bits // lane_bits, tf.minimum(symbols // 1200, 10)), 1, limit)


def encode_all(
    precision: int, frequencies: tf.Tensor, starts: tf.Tensor, escapes: tf.Tensor, lane_bits: int = LANE_BITS
) -> tf.Tensor:
    """The string of all symbols (int64 [N] each): lanes grow over the last ones, then code the rest in one go.

    There is a lane for each `lane_bits` of it.
    """
    bits, count = _ideal_bits(precision, frequencies), tf.size(frequencies, tf.int64)
    plan = lane_plan(_lanes_for(bits, count, MAX_LANES, lane_bits))
    final = tf.size(plan, tf.int64) - 1

    def one_level(level, end, states, words, counts, _):
        lanes = plan[level]
        needed = plan[level - 1] - lanes

        def body(end, states, words):
            # A few pairs at a time: the bookkeeping around them takes longer than one.
            begin = end - 2 * lanes * tf.minimum(end // (2 * lanes), _GROWING_PAIRS)
            shape = tf.stack([-1, 2, lanes])
            pair = [tf.reshape(numbers[begin:end], shape) for numbers in (frequencies, starts)]
            states, emitted = encode_rows(precision, states, *pair)
            return begin, states, tf.concat([emitted, words], 0)

        def unfinished(end, _, words):
            return tf.logical_and(tf.size(words, tf.int64) < needed, end >= 2 * lanes)

        reached, after, emitted = tf.while_loop(
            unfinished,
            body,
            (end, states, words),
            shape_invariants=(end.shape, tf.TensorShape([None]), tf.TensorShape([None])),
            parallel_iterations=1,
        )

        def grown():
            count = (end - reached) // (2 * lanes)
            return level - 1, reached, *grow(after, emitted, lanes + needed), tf.concat([[count], counts], 0), True

        # Without enough symbols the level is left as it was, and the rest is coded on its lanes.
        return tf.cond(
            tf.size(emitted, tf.int64) >= needed, grown, lambda: (level, end, states, words, counts, tf.constant(False))
        )

    vector = tf.TensorShape([None])
    empty = tf.zeros([0], tf.int64)
    level, end, states, words, counts, _ = tf.while_loop(
        lambda level, _a, _b, _c, _d, going: tf.logical_and(level > 0, going),
        one_level,
        (final, tf.size(frequencies, tf.int64), tf.constant([START], tf.int64), empty, empty, tf.constant(True)),
        shape_invariants=(final.shape, final.shape, vector, vector, vector, tf.TensorShape([])),
        parallel_iterations=1,
    )
    rows = [
        to_rows(numbers[:end], plan[level], null, UNROLL)
        for numbers, null in ((frequencies, 1 << precision), (starts, 0))
    ]
    states, emitted = encode_rows(precision, states, *rows, UNROLL)
    return close(states, tf.concat([emitted, words], 0), counts, escapes)


def encode_steps(precision: int, frequencies: tf.Tensor, starts: tf.Tensor, escapes: tf.Tensor) -> tf.Tensor:
    """The string of all steps (int64 [steps, n] each): lanes grow between steps, as soon as enough words are there."""
    steps, slots = tf.unstack(tf.shape(frequencies, tf.int64))
    lanes = _lanes_for(_ideal_bits(precision, tf.reshape(frequencies, [-1])), steps * slots, _MAX_STEP_LANES)
    plan = lane_plan(tf.maximum(tf.minimum(lanes, slots), 1))
    vector = tf.TensorShape([None])

    def code(step, states):
        lanes = tf.size(states, tf.int64)
        rows = to_rows(frequencies[step], lanes, 1 << precision), to_rows(starts[step], lanes, 0)
        return encode_rows(precision, states, *rows)

    def growing(step, level, states, words, counts):
        states, emitted = code(step, states)
        words = tf.concat([emitted, words], 0)
        lanes = plan[level]
        counts = tf.tensor_scatter_nd_add(counts, level[None, None], [const(1)])
        affordable = tf.cast(plan[: level + 1] - lanes <= tf.size(words, tf.int64), tf.int64)
        level = level + 1 - tf.reduce_sum(affordable)
        return step - 1, level, *grow(states, words, plan[level]), counts

    level = tf.size(plan, tf.int64) - 1
    step, level, states, words, counts = tf.while_loop(
        lambda step, level, *_: tf.logical_and(step >= 0, level > 0),
        growing,
        (steps - 1, level, tf.constant([START], tf.int64), tf.zeros([0], tf.int64), tf.zeros_like(plan)),
        shape_invariants=(steps.shape, level.shape, vector, vector, vector),
        parallel_iterations=1,
    )

    def steady(step, states, parts):
        states, emitted = code(step, states)
        return step - 1, states, parts.write(tf.cast(step, tf.int32), emitted)

    left = step + 1
    parts = tf.TensorArray(tf.int64, tf.cast(left, tf.int32), infer_shape=False, element_shape=[None])
    _, states, parts = tf.while_loop(lambda step, *_: step >= 0, steady, (step, states, parts), parallel_iterations=1)
    emitted = tf.cond(left > 0, parts.concat, lambda: tf.zeros([0], tf.int64))
    counts = tf.tensor_scatter_nd_add(counts, level[None, None], left[None])[level:]
    return close(states, tf.concat([emitted, words], 0), counts, escapes)


def join_chunks(encode: Callable, size: tf.Tensor, chunk: int, state: Any = ()) -> tuple[tf.Tensor, Any]:
    """Strings of chunk after chunk, one after another, before them the lengths of all but the last as varints.

    Args:
        encode: (begin and end of a chunk, int32 scalars, the state) -> (its string, the next state).
        size: int32 scalar, symbols in all.
        chunk: symbols of a chunk at most; all but the last have equally many.
        state: tensors that ``encode`` carries on.

    Returns:
        The string, and the last state.
    """

    def body(place, state, strings):
        string, state = encode(place * each, tf.minimum((place + 1) * each, size), state)
        return place + 1, state, strings.write(place, string)

    count, each = _chunks(size, chunk)
    strings = tf.TensorArray(tf.string, count, element_shape=[])
    loop = (0, state, strings)
    _, state, strings = tf.while_loop(lambda place, *_: place < count, body, loop, parallel_iterations=1)
    strings = strings.stack()
    lengths = bit_fields.write_varints(tf.cast(tf.strings.length(strings[:-1]), tf.int64))
    string = tf.strings.join([bit_fields.bytes_to_string([lengths]), tf.strings.reduce_join(strings)])
    return string, state


def split_chunks(
    decode: Callable,
    stream: tf.Tensor,
    size: tf.Tensor,
    chunk: int,
    dtype: tf.DType = tf.int32,
    state: Any = (),
    room: tuple[tf.Tensor | int, tf.Tensor | int] | None = None,
) -> tf.Tensor:
    """Undoes ``join_chunks``.

    Args:
        decode: (a chunk's string, its begin and end, int32 scalars, the state) -> (what it stands for, [end - begin] of
            ``dtype``, the next state).
        stream: string scalar.
        size, chunk, state: see ``join_chunks``.
        dtype: of what is decoded.
        room: how many zero bytes are to stand before and behind it, for a caller who has use for that memory.

    Returns:
        What ``decode`` gave, chunk after chunk: [size]; with room its bytes and those of the room, uint8 [n].
    """
    count, each = _chunks(size, chunk)
    head = bit_fields.string_to_bytes(tf.strings.substr(stream, 0, tf.minimum(tf.strings.length(stream), 5 * count)))
    lengths, begin, good = bit_fields.read_varints(head, const(0), tf.cast(count, tf.int64) - 1)
    last = tf.cast(tf.strings.length(stream), tf.int64) - begin - tf.reduce_sum(lengths)
    with tf.control_dependencies([require(tf.logical_and(good, last >= 0), DAMAGED + "its chunks do not fit it")]):
        lengths = tf.concat([lengths, last[None]], 0)
    begins = begin + tf.cumsum(lengths, exclusive=True)

    def body(place, state, whole):
        part = tf.strings.substr(stream, begins[place], lengths[place])
        values, state = decode(part, place * each, tf.minimum((place + 1) * each, size), state)
        values = tf.reshape(tf.bitcast(values, tf.uint8), [-1])
        return place + 1, state, overwrite(whole, [before + dtype.size * place * each], values)

    before, behind = room or (0, 0)
    loop = (0, state, tf.zeros((before + dtype.size * size + behind)[None], tf.uint8))
    whole = tf.while_loop(lambda place, *_: place < count, body, loop, parallel_iterations=1)[2]
    return whole if room else numbers_of(whole, dtype)


def numbers_of(data: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Bytes uint8 [n * dtype.size] as numbers [n] of a type of several bytes, without a copy."""
    return tf.bitcast(tf.reshape(data, [-1, dtype.size]), dtype)


def _chunks(size: tf.Tensor, chunk: int) -> tuple[tf.Tensor, tf.Tensor]:
    """How many chunks so many symbols make, one at least, and symbols of each but the last: int32 scalars.

    Each chunk takes about as many turns of the coder's loop, whatever its size: a small last one would double the time.
    """
    count = tf.maximum((size + chunk - 1) // chunk, 1)
    return count, (size + count - 1) // count


def close(states: tf.Tensor, words: tf.Tensor, counts: tf.Tensor, escapes: tf.Tensor) -> tf.Tensor:
    """Writes the string: header, states, escapes, words.

    Args:
        states: int64 [A].
        words: int64 [W], in the order of decoding.
        counts: int64 [levels - 1] or [levels], units coded on each lane count of the plan.
        escapes: int64 [M].
    """
    header = tf.concat([tf.shape(states, tf.int64), tf.shape(escapes, tf.int64), counts], 0)
    powers = shift_left(const(1), tf.range(STATE_BITS + 1, 63, dtype=tf.int64))
    above = tf.reduce_sum(tf.cast(states[:, None] >= powers, tf.int64), 1)
    low = bit_and(states, (1 << STATE_BITS) - 1)
    high = bit_and(shift_right(states, const(STATE_BITS)), shift_left(tf.ones_like(above), above) - 1)
    widths = tf.fill(tf.shape(above), const(1))
    packed = bit_fields.write_fields(
        tf.concat([above, low, high], 0), tf.concat([widths * LENGTH_BITS, widths * STATE_BITS, above], 0)
    )
    return bit_fields.bytes_to_string(
        [
            bit_fields.write_varints(header),
            packed,
            bit_fields.pack_nibbles(bit_fields.write_varints(escapes, ESCAPE_PAYLOAD)),
            bit_fields.words_to_bytes(words),
        ]
    )


def escape_values(slots: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """What is written of symbols outside their alphabets.

    Args:
        slots: int32 [M], symbol less the alphabet's smallest; below zero, or from last on.
        last: int32 [M], the alphabet's escape slot.

    Returns:
        int64 [M], twice the distance, odd below the alphabet.
    """
    distance = tf.cast(tf.where(slots < 0, -slots, slots - last), tf.int64)
    return 2 * distance - tf.cast(slots < 0, tf.int64)
