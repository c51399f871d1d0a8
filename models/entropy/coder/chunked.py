"""What coders of symbols under a mixture each share: chunk after chunk, so that temporary numbers stay few."""

import abc
from collections.abc import Callable

import tensorflow as tf

from models.entropy.coder.rans_stream import join_chunks, split_chunks

_plain = tf.autograph.experimental.do_not_convert


class ChunkedCoder(tf.Module, abc.ABC):
    """Codes symbols of any number; subclasses code a chunk. All runs on the CPU, in a `tf.function` or eagerly."""

    @property
    @abc.abstractmethod
    def chunk(self) -> int:
        """Symbols of a chunk at most."""

    @abc.abstractmethod
    def encode_chunk(self, symbols: tf.Tensor, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The string of one chunk, without more around it; arguments and errors are those of `encode`."""

    @abc.abstractmethod
    def decode_chunk(self, stream: tf.Tensor, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The symbols, int32 [n], of a string of `encode_chunk`; arguments and errors are those of `decode`."""

    @_plain
    def encode(self, symbols: tf.Tensor, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """One string for all symbols.

        Args:
          symbols: int32 [N].
          means, levels, logits: int32 or int64 [K, N], see `MixtureCdf.mixtures`.

        Raises:
          tf.errors.InvalidArgumentError: on a symbol out of range.
        """

        def one(begin, end, state):
            return self.encode_chunk(symbols[begin:end], *_cut(begin, end, means, levels, logits)), state

        with tf.device("CPU:0"):
            return join_chunks(one, tf.size(symbols), self.chunk)[0]

    @_plain
    def decode(self, stream: tf.Tensor, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The symbols, int32 [N], of a string written by `encode` with the same parameters.

        Raises:
          tf.errors.InvalidArgumentError: if the string does not fit them, or is damaged.
        """

        def one(part, begin, end, state):
            return self.decode_chunk(part, *_cut(begin, end, means, levels, logits)), state

        with tf.device("CPU:0"):
            return split_chunks(one, stream, tf.shape(means)[1], self.chunk)

    def decoder(self) -> Callable[..., tf.Tensor]:
        """What undoes `encode_chunk`: (string, means, levels, logits) -> symbols int32 [n]."""
        return self.decode_chunk


def _cut(begin: tf.Tensor, end: tf.Tensor, *parameters: tf.Tensor) -> list[tf.Tensor]:
    return [values[:, begin:end] for values in parameters]
