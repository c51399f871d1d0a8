"""Codes symbols of one small alphabet under frequencies of their own each, step by step.

A decoder that must know the symbols of a step before it knows the frequencies of the next one pulls them as they come.
The frequencies themselves are what is given: no table is kept for any of them.
"""

import tensorflow as tf

from models.entropy.coder.bit_fields import require
from models.entropy.coder.rans_reader import DecoderState, advance, begin_steps, finish_steps, lanes_of_step
from models.entropy.coder.rans_stream import DAMAGED, encode_steps
from models.entropy.densities.softmax_cdf import PRECISION
from models.entropy.lanes import bit_and, const, shift_right

_TOTAL = 1 << PRECISION
_plain = tf.autograph.experimental.do_not_convert


def encode(frequencies: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
    """One string for symbols that `pull` will be asked for step by step; where there is none, 2^PRECISION and 0.

    Args:
      frequencies, starts: int64 [steps, n], of each symbol, in 2^-PRECISION.

    Raises:
      tf.errors.InvalidArgumentError: they are no intervals of such a distribution.
    """
    good = tf.reduce_all((frequencies > 0) & (starts >= 0) & (frequencies + starts <= _TOTAL))
    with tf.device("CPU:0"), tf.control_dependencies([require(good, "a symbol has no interval of its distribution")]):
        return encode_steps(PRECISION, tf.identity(frequencies), starts, tf.zeros([0], tf.int64))


@_plain
def begin(stream: tf.Tensor, steps: tf.Tensor) -> DecoderState:
    """The state before the first of so many steps of a string (scalar) of `encode`, to be carried by a loop.

    Raises:
      tf.errors.InvalidArgumentError: it has another number of steps, or is damaged.
    """
    with tf.device("CPU:0"):
        state = begin_steps(stream, tf.zeros([0], tf.int64))
        same = require(tf.equal(state.ends[-1], tf.cast(steps, tf.int64)), DAMAGED + "its number of steps is another")
        with tf.control_dependencies([same]):
            return state._replace(states=tf.identity(state.states))


def is_sound(state: DecoderState) -> tf.Tensor:
    """Whether the stream could hold all that was pulled: bool scalar. If not, there is no point in going on."""
    return state.good & (state.pointer <= state.limit)


@_plain
def pull(state: DecoderState, frequencies: tf.Tensor) -> tuple[DecoderState, tf.Tensor]:
    """The next step's symbols, int32 [n], under frequencies int64 [n, L]: (next state, symbols)."""
    with tf.device("CPU:0"):
        edges = tf.transpose(tf.cumsum(frequencies[:, :-1], axis=1))
        padding = [[_TOTAL]] * edges.shape[0]
        state, slots = advance(state, edges, lanes_of_step(state), _look_up, padding)
        return state._replace(step=state.step + 1), tf.cast(slots, tf.int32)


def finish(state: DecoderState) -> tf.Operation:
    """Checks that the stream ended where its encoder began; raises InvalidArgumentError when run if not."""
    with tf.device("CPU:0"):
        return finish_steps(state)


def _look_up(states: tf.Tensor, edges: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """See `lanes.decode_rows`: edges int64 [L - 1, A] are where all slots but the first begin; keeps the slots."""
    numbers = bit_and(states, const(_TOTAL - 1))
    reached = numbers >= edges
    slots = tf.reduce_sum(tf.cast(reached, tf.int64), 0)
    starts = tf.reduce_max(tf.where(reached, edges, const(0)), 0)
    ends = tf.reduce_min(tf.where(reached, const(_TOTAL), edges), 0)
    return (ends - starts) * shift_right(states, const(PRECISION)) + numbers - starts, slots
