"""A softmax in integers: what the coder sees of a network's logits, the same on every machine.

Powers of e are looked up in a table of integers that was made once and goes with the model. Every symbol has a slot of
its own at least, so that whatever the network thinks of it can be written.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from models.entropy.densities.tables import named
from models.entropy.lanes import const, shift_left, shift_right

PRECISION = 15  # bits of probabilities
LOGIT_BITS = 12  # fraction bits of logits
_STEP_BITS = 9  # fraction bits of the table's logits, which ends at e^-16
_SIZE, _EXP_BITS = 16 << _STEP_BITS, 24


def integer_tables() -> dict[str, np.ndarray]:
    """What `SoftmaxCdf` looks up, int64, by name: the same for all models, and derived in floats."""
    powers = np.exp(-np.arange(_SIZE) / (1 << _STEP_BITS))
    return {"softmax.exp": np.round(powers * (1 << _EXP_BITS)).astype(np.int64)}


def fewest_bits(symbols: int) -> float:
    """What the cheapest of so many symbols takes."""
    return float(PRECISION - np.log2((1 << PRECISION) - (symbols - 1)))


class SoftmaxCdf(tf.Module):
    """Makes frequencies of logits."""

    def __init__(self, tables: Mapping[str, np.ndarray], name: str = "softmax_cdf"):
        """Args:
        tables: what `integer_tables` gave, here or elsewhere.
        name: of the module.

        Raises ValueError: they are not such tables.
        """
        super().__init__(name=name)
        powers = named(tables, "softmax.exp")
        if powers.shape != (_SIZE,) or powers.min() < 0 or powers.max() > 1 << _EXP_BITS or powers[0] < 1:
            raise ValueError(f"the coder's table 'exp' is not {_SIZE} integers from 0 to {1 << _EXP_BITS}")
        with tf.init_scope():
            self._powers = tf.Variable(powers.astype(np.int64), trainable=False, name="exp")

    def frequencies(self, logits: tf.Tensor) -> tf.Tensor:
        """int64 [N, L], in 2^-LOGIT_BITS -> int64 [N, L], each at least 1, whose sum is 2^PRECISION in every row."""
        count = logits.shape[-1]
        below = shift_right(tf.reduce_max(logits, -1, keepdims=True) - logits, const(LOGIT_BITS - _STEP_BITS))
        powers = tf.gather(self._powers.read_value(), tf.minimum(below, _SIZE - 1))
        shares = powers * ((1 << PRECISION) - count) // tf.reduce_sum(powers, -1, keepdims=True) + 1
        left = (1 << PRECISION) - tf.reduce_sum(shares, -1, keepdims=True)
        likeliest = tf.one_hot(tf.argmax(powers, -1), count, dtype=tf.int64)
        return shares + left * likeliest


def intervals(frequencies: tf.Tensor, symbols: tf.Tensor) -> tf.Tensor:
    """Frequency << 32 | start of symbols int [N] under frequencies int64 [N, L]: int64 [N]."""
    starts = tf.cumsum(frequencies, axis=-1, exclusive=True)
    both = shift_left(frequencies, const(32)) + starts
    return tf.gather(both, symbols, batch_dims=1)
