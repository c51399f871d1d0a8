"""The mixture coder beside the usual way: one materialised CDF a symbol, given to a range coder.

    python -m tests.benchmarks.bench_mixture [--threads 2] [--runs 5] [--count 295000]

The baseline builds every symbol's table of 128 slots in TensorFlow and codes with tensorflow_compression_ops; both
start from the network's numbers. In turns, in one process, each decoding checked. Overhead is against the ideal code
length under the real mixtures. Memory is what the symbols' tables or fields take, by their shapes.
"""

import argparse

import numpy as np
import tensorflow as tf
import tensorflow_compression_ops as tfc

from models.entropy.coder.mixture_coder import MixtureCoder
from tests.benchmarks.bench_coder import measure
from tests.models.entropy.mixtures import draw, ideal_bits, sample, scales

K, HALF, PRECISION = 3, 64, 16
WIDEST = 120  # level in quarters, 4.4 steps: wider Gaussians leave the baseline's 128 slots


def ours():
    """Encoder and decoder of this project."""
    coder = MixtureCoder()
    numbers = [tf.TensorSpec([K, None], tf.int64)] * 3
    return (
        tf.function(coder.encode, [tf.TensorSpec([None], tf.int32), *numbers], autograph=False),
        tf.function(coder.decode, [tf.TensorSpec([], tf.string), *numbers], autograph=False),
    )


def theirs():
    """Encoder and decoder with a table for each symbol, about its heaviest mean; no escapes."""

    def tables(means, levels, logits):
        deviations = tf.constant(scales(np.arange(253)), tf.float32)
        weights = tf.nn.softmax(tf.cast(logits, tf.float32) / 256, axis=0)
        best = tf.argmax(weights, 0)
        middles = tf.round(tf.gather(tf.transpose(tf.cast(means, tf.float32) / 256), best, axis=1, batch_dims=1))
        edges = middles[:, None] + tf.range(-HALF, HALF + 1, dtype=tf.float32) - 0.5
        cumulative = tf.zeros_like(edges)
        for weight, mean, level in zip(*(tf.unstack(v) for v in (weights, means, levels)), strict=True):
            z = (edges - tf.cast(mean, tf.float32)[:, None] / 256) / tf.gather(deviations, level)[:, None]
            cumulative += weight[:, None] * 0.5 * tf.math.erfc(-z * np.float32(0.5**0.5))
        total, slots = 1 << PRECISION, tf.range(2 * HALF + 1)
        cdf = tf.cast(cumulative * (total - 2 * HALF), tf.int32) + slots
        cdf = tf.concat([tf.zeros_like(cdf[:, :1]), cdf[:, 1:-1], tf.fill(tf.shape(cdf[:, :1]), total)], 1)
        head = tf.fill(tf.shape(cdf[:, :1]), PRECISION)
        return tf.concat([head, cdf], 1), tf.cast(middles, tf.int32) - HALF

    def encode(symbols, *parameters):
        lookup, lowest = tables(*parameters)
        handle = tfc.create_range_encoder([], lookup)
        handle = tfc.entropy_encode_index(handle, tf.range(tf.size(symbols)), symbols - lowest)
        return tfc.entropy_encode_finalize(handle)

    def decode(stream, *parameters):
        lookup, lowest = tables(*parameters)
        handle = tfc.create_range_decoder(stream, lookup)
        places = tf.range(tf.size(lowest))
        handle, values = tfc.entropy_decode_index(handle, places, shape=tf.shape(places), Tdecoded=tf.int32)
        with tf.control_dependencies([tf.debugging.Assert(tfc.entropy_decode_finalize(handle), ["damaged"])]):
            return values + lowest

    return tf.function(encode, autograph=False), tf.function(decode, autograph=False)


def compare(name: str, level: float, options) -> None:
    """Prints a row for each coder."""
    means, levels, logits = draw(options.count, K, level=level)
    parameters = means, np.minimum(levels, WIDEST), logits
    symbols = sample(parameters)
    ideal = ideal_bits(parameters, symbols)
    symbols, parameters = tf.constant(symbols), [tf.constant(p) for p in parameters]
    bytes_each = {"kompakt": 8 * (3 * K + 5), "a table each": 4 * (2 * HALF + 2)}
    calls, sizes = [], []
    for encode, decode in (ours(), theirs()):
        stream = encode(symbols, *parameters)
        np.testing.assert_array_equal(decode(stream, *parameters), symbols)
        sizes.append(8 * len(stream.numpy()))
        calls += [
            lambda encode=encode: encode(symbols, *parameters).numpy(),
            lambda decode=decode, stream=stream: decode(stream, *parameters).numpy(),
        ]
    seconds = measure(calls, options.runs).reshape(-1, 2, 2)
    for (coder, memory), size, times in zip(bytes_each.items(), sizes, seconds, strict=True):
        print(
            f"{name:14}{ideal / options.count:6.2f}  {coder:14}" + "".join(f"{1e3 * t:10.0f}" for t in times.ravel())
            + f"{(size / ideal - 1) * 100:10.2f}{memory:10d}"
        )  # fmt: skip


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="of the process, both pools")
    parser.add_argument("--runs", type=int, default=5, help="medians are over so many")
    parser.add_argument("--count", type=int, default=295_000)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    print(f"{options.count} symbols, {K} Gaussians each, {options.threads} threads, medians of {options.runs} runs; ms")
    print(f"{'':14}{'bits/':>6}  {'':14}{'encode':>15}{'':5}{'decode':>15}{'':5}{'overhead,':>10}{'bytes a':>10}")
    print(f"{'mixtures':14}{'symbol':>6}  {'coder':14}" + f"{'wall':>10}{'CPU':>10}" * 2 + f"{'%':>10}{'symbol':>10}")
    for name, level in (("low rate", 20.0), ("image-like", 60.0), ("high rate", 100.0)):
        compare(name, level, options)


if __name__ == "__main__":
    main()
