"""rANS with a state of its own for each lane of a wavefront, a symbol of each a step, in 2^-24.

As in `models.entropy.lanes`, but that each symbol may be followed by a word, so that it can be as fine as this: 256
symbols then cost nothing for the one unit that each of them has at least.

A state costs about 36 bits. Most of that is had back: when the decoder is done with a lane, its state gives a word of
those that the last steps take. The encoder codes these steps first, and starts the other lanes with their first words.
"""

from typing import NamedTuple

import tensorflow as tf

from models.entropy.coder import bit_fields
from models.entropy.coder.bit_fields import require
from models.entropy.coder.rans_stream import DAMAGED
from models.entropy.lanes import bit_and, const, shift_left, shift_right

PRECISION = 24
WHOLE = 1 << PRECISION
_LOW_BITS, _WORD_BITS = 31, 32  # a state is at least 2^31 between steps
_LENGTH_BITS = 5
_REST = 63 - PRECISION


class Stream(NamedTuple):
    """What a string holds; int64."""

    tail: tf.Tensor  # scalar, how many of the last rows were coded before all others
    handed: tf.Tensor  # scalar, lanes that began with a word of the tail's
    states: tf.Tensor  # [lanes]
    words: tf.Tensor  # [W]


def encode(frequencies: tf.Tensor, starts: tf.Tensor, ended: tf.Tensor, tail: tf.Tensor) -> tf.Tensor:
    """Codes rows of symbols, a symbol of each lane.

    Args:
      frequencies, starts: int32 [rows, lanes], in 2^-PRECISION; WHOLE and 0 where a lane has no symbol.
      ended: bool [lanes], the lanes that have no symbol in the tail. tail: int32 scalar, its number of rows.

    Returns:
      string scalar.
    """
    rows, lanes = tf.unstack(tf.shape(frequencies))
    plain = tf.fill(lanes[None], const(1 << _LOW_BITS))
    states, words = _encode_rows(plain, frequencies, starts, rows - tail, rows)
    # Of the ended lanes as many as there are words begin with one.
    order = tf.cumsum(tf.cast(ended, tf.int64)) - 1
    takes = ended & (order < tf.size(words, tf.int64))
    handed = tf.reduce_sum(tf.cast(takes, tf.int64))
    given = tf.gather(tf.concat([words, [0]], 0), tf.where(takes, order, tf.size(words, tf.int64)))
    states = tf.where(takes, given + (1 << _WORD_BITS), states)
    states, first = _encode_rows(states, frequencies, starts, tf.zeros_like(rows), rows - tail)
    return _close(Stream(tf.cast(tail, tf.int64), handed, states, tf.concat([first, words[handed:]], 0)))


def _encode_rows(states, frequencies, starts, begin, end) -> tuple[tf.Tensor, tf.Tensor]:
    """Codes rows from begin to end (excluded), from the last one on; returns states and words, first ones first."""

    def body(row, states, emitted):
        frequency, start = tf.cast(frequencies[row], tf.int64), tf.cast(starts[row], tf.int64)
        full = states > shift_left(frequency - 1, const(_REST)) + ((1 << _REST) - 1)
        word = tf.where(full, bit_and(states, const((1 << _WORD_BITS) - 1)), const(-1))
        states = tf.raw_ops.Select(condition=full, x=shift_right(states, const(_WORD_BITS)), y=states)
        states += tf.raw_ops.TruncateDiv(x=states, y=frequency) * (WHOLE - frequency) + start
        return row - 1, states, emitted.write(row - begin, word)

    emitted = tf.TensorArray(tf.int64, end - begin, element_shape=[None])
    loop = (end - 1, states, emitted)
    _, states, emitted = tf.while_loop(lambda row, *_: row >= begin, body, loop, parallel_iterations=1)
    words = tf.cond(end > begin, lambda: tf.reshape(emitted.stack(), [-1]), lambda: tf.zeros([0], tf.int64))
    return states, tf.boolean_mask(words, words >= 0)


def _close(stream: Stream) -> tf.Tensor:
    """Writes the string: header, states at their real length, words."""
    powers = shift_left(const(1), tf.range(_LOW_BITS + 1, 63, dtype=tf.int64))
    above = tf.reduce_sum(tf.cast(stream.states[:, None] >= powers, tf.int64), 1)
    low = bit_and(stream.states, (1 << _LOW_BITS) - 1)
    high = bit_and(shift_right(stream.states, const(_LOW_BITS)), shift_left(tf.ones_like(above), above) - 1)
    widths = tf.ones_like(above)
    fields = tf.concat([above, low, high], 0), tf.concat([widths * _LENGTH_BITS, widths * _LOW_BITS, above], 0)
    parts = [bit_fields.write_varints(tf.stack([stream.tail, stream.handed])), bit_fields.write_fields(*fields)]
    return bit_fields.bytes_to_string([*parts, bit_fields.words_to_bytes(stream.words)])


def least_bits(lanes: tf.Tensor) -> tf.Tensor:
    """Bits that a stream of so many lanes has at least."""
    return lanes * (_LENGTH_BITS + _LOW_BITS)


def open_stream(stream: tf.Tensor, rows: tf.Tensor, lanes: tf.Tensor) -> Stream:
    """Reads what `encode` wrote for so many rows and lanes, int32 scalars.

    Raises:
      tf.errors.InvalidArgumentError: it is no such string; before memory is taken for what it promises.
    """
    data, lanes = bit_fields.string_to_bytes(tf.ensure_shape(stream, [])), tf.cast(lanes, tf.int64)
    size = tf.size(data, tf.int64)
    (tail, handed), end, good = _pair(*bit_fields.read_varints(data, const(0), const(2)))
    sane = good & (tail <= tf.cast(rows, tf.int64)) & (handed <= lanes)
    sane &= size - end >= least_bits(lanes) // 8
    with tf.control_dependencies([require(sane, DAMAGED + "its header is not one")]):
        lanes, tail, handed = tf.identity(lanes), tf.identity(tail), tf.identity(handed)
    body, ones = data[end:], tf.fill(lanes[None], const(1))
    above = bit_fields.read_fields(body, tf.range(lanes) * _LENGTH_BITS, ones * _LENGTH_BITS)
    low = bit_fields.read_fields(body, lanes * _LENGTH_BITS + tf.range(lanes) * _LOW_BITS, ones * _LOW_BITS)
    begin = least_bits(lanes)
    high = bit_fields.read_fields(body, begin + tf.cumsum(above, exclusive=True), above)
    states = low + shift_left(high + shift_left(ones, above), const(_LOW_BITS))
    end += (begin + tf.reduce_sum(above) + 7) // 8
    whole = (end <= size) & tf.equal((size - end) % 4, 0)
    with tf.control_dependencies([require(whole, DAMAGED + "it ends early")]):
        return Stream(tail, handed, states, bit_fields.bytes_to_words(data[end:]))


def _pair(values, end, good):
    """The two values that read_varints was asked for, as scalars."""
    return tf.unstack(values, num=2), end, good


class Reader(NamedTuple):
    """Where a decoder stands."""

    states: tf.Tensor  # int64 [lanes]
    words: tf.Tensor  # int64 [1 + W + lanes], one unused, those from `pointer` on not yet taken, and zeros
    pointer: tf.Tensor  # int64 scalar
    start: tf.Tensor  # int64 [lanes], what the states of undamaged lanes end with
    good: tf.Tensor  # bool scalar


def begin(stream: Stream) -> Reader:
    """A reader before the first row."""
    plain = tf.fill(tf.shape(stream.states), const(1 << _LOW_BITS))
    return Reader(stream.states, _padded(stream.words, stream.states), tf.zeros([], tf.int64), plain, tf.constant(True))


def _padded(words: tf.Tensor, states: tf.Tensor) -> tf.Tensor:
    return tf.concat([[0], words, tf.zeros_like(states)], 0)


def advance(reader: Reader, states: tf.Tensor) -> Reader:
    """The reader with the states that are left when a row's symbols are taken out of its own; lanes take words."""
    short = states < 1 << _LOW_BITS
    places = tf.cumsum(tf.cast(short, tf.int64)) + reader.pointer
    # Damage may ask for more words than there are: the zeros behind them are then taken again and again.
    places = tf.minimum(places, tf.size(reader.words, tf.int64) - 1)
    refilled = shift_left(states, const(_WORD_BITS)) + tf.gather(reader.words, places)
    return reader._replace(states=tf.where(short, refilled, states), pointer=places[-1])


def sound(reader: Reader) -> tf.Tensor:
    """Whether no more words were taken than there are, bool scalar; where not, nothing behind is worth decoding."""
    return reader.good & (reader.pointer <= _count(reader))


def _count(reader: Reader) -> tf.Tensor:
    """How many words there are."""
    return tf.size(reader.words, tf.int64) - 1 - tf.size(reader.states, tf.int64)


def hand_over(reader: Reader, stream: Stream, ended: tf.Tensor) -> Reader:
    """The reader before the tail: the first words of that are what ended lanes, bool [lanes], began with."""
    order = tf.cumsum(tf.cast(ended, tf.int64))
    takes = ended & (order <= stream.handed)
    handed = tf.boolean_mask(reader.states, takes)
    good = sound(reader) & tf.reduce_all(tf.equal(shift_right(handed, const(_WORD_BITS)), 1))
    good &= tf.equal(tf.size(handed, tf.int64), stream.handed)
    rest = reader.words[reader.pointer + 1 :]
    words = tf.concat([[0], bit_and(handed, (1 << _WORD_BITS) - 1), rest], 0)
    start = tf.where(takes, reader.states, reader.start)
    return reader._replace(words=words, pointer=tf.zeros_like(reader.pointer), start=start, good=good)


def check_end(reader: Reader) -> tf.Operation:
    """What holds behind the last row of every undamaged stream."""
    good = reader.good & tf.reduce_all(tf.equal(reader.states, reader.start))
    good &= tf.equal(reader.pointer, _count(reader))
    return require(good, DAMAGED + "its symbols do not end where their encoder began")
