"""Speed and overhead of the entropy coder, beside TensorFlow Compression's range coder on the same symbols and tables.

    python -m tests.benchmarks.bench_coder [--threads 1] [--runs 9]

Both run inside a tf.function, in turns, in one process; each decoding is checked. Overhead is against the ideal code
length under the quantised tables. Numbers of a busy machine are not comparable with those of another moment: only the
ratio of two rows is.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_compression_ops as tfc

from models.entropy.coder.rans import RansCoder
from models.entropy.densities.tables import CdfTables, gaussian_tables

SCALES = np.exp(np.linspace(np.log(0.11), np.log(256), 64))
COUNT = 300_000


def cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> symbols and table indexes, int32 [N] each."""
    rng = np.random.default_rng(7)
    channels = np.clip(rng.normal(12, 9, 192), 0, 63)  # most channels of a picture's latents are nearly empty
    drawn = {
        "2 bits a symbol": rng.integers(5, 30, COUNT),
        "image-like": np.clip(np.tile(channels, COUNT // 192 + 1)[:COUNT] + rng.normal(0, 4, COUNT), 0, 63),
        "low rate": np.clip(np.tile(channels - 10, COUNT // 192 + 1)[:COUNT] + rng.normal(0, 3, COUNT), 0, 63),
        "small, 24,000 symbols": rng.integers(5, 22, 24_000),
    }
    indexes = {name: index.astype(np.int32) for name, index in drawn.items()}
    return {
        name: (np.round(rng.normal(size=len(index)) * SCALES[index]).astype(np.int32), index)
        for name, index in indexes.items()
    }


def ours(tables: CdfTables) -> tuple[Callable, Callable]:
    """Encoder and decoder of this project."""
    coder = RansCoder(tables)
    symbols, stream = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.string)
    return (
        tf.function(coder.encode, input_signature=[symbols, symbols]),
        tf.function(coder.decode, input_signature=[stream, symbols]),
    )


def theirs(tables: CdfTables) -> tuple[Callable, Callable]:
    """Encoder and decoder of tensorflow_compression_ops, one stream, escape slot enabled."""
    head = np.full([len(tables.sizes), 1], -tables.precision, np.int32)
    lookup = tf.constant(np.concatenate([head, tables.cdfs], axis=1))
    offsets = tf.constant(tables.offsets)

    @tf.function
    def encode(symbols, indexes):
        handle = tfc.create_range_encoder([], lookup)
        handle = tfc.entropy_encode_index(handle, indexes, symbols - tf.gather(offsets, indexes))
        return tfc.entropy_encode_finalize(handle)

    @tf.function
    def decode(stream, indexes):
        handle = tfc.create_range_decoder(stream, lookup)
        handle, values = tfc.entropy_decode_index(handle, indexes, shape=tf.shape(indexes), Tdecoded=tf.int32)
        with tf.control_dependencies([tf.debugging.Assert(tfc.entropy_decode_finalize(handle), ["damaged"])]):
            return values + tf.gather(offsets, indexes)

    return encode, decode


def measure(calls: Sequence[Callable], runs: int) -> np.ndarray:
    """Median seconds of each call, the calls taking turns: wall clock and processor, float [calls, 2]."""
    seconds = np.zeros([runs, len(calls), 2])
    for run in range(runs):
        for place, call in enumerate(calls):
            start = np.array([time.perf_counter(), time.process_time()])
            call()
            seconds[run, place] = np.array([time.perf_counter(), time.process_time()]) - start
    return np.median(seconds, axis=0)


def compare(name: str, symbols: np.ndarray, indexes: np.ndarray, tables: CdfTables, coders: dict, runs: int) -> None:
    """Prints one row a coder."""
    ideal = tables.bits(symbols, indexes)
    symbols, indexes = tf.constant(symbols), tf.constant(indexes)
    calls, sizes = [], []
    for encode, decode in coders.values():
        stream = encode(symbols, indexes)
        np.testing.assert_array_equal(decode(stream, indexes), symbols)
        sizes.append(8 * len(stream.numpy()))
        calls += [
            lambda encode=encode: encode(symbols, indexes).numpy(),
            lambda decode=decode, stream=stream: decode(stream, indexes).numpy(),
        ]
    seconds = measure(calls, runs).reshape(-1, 2, 2)
    for coder, size, times in zip(coders, sizes, seconds, strict=True):
        rates = len(symbols) / times / 1e6
        print(
            f"{name:22} {ideal / len(symbols):5.2f}  {coder:9}"
            f"{times[0, 0] * 1e3:8.1f} {times[1, 0] * 1e3:8.1f}  {rates[0, 0]:8.1f} {rates[1, 0]:8.1f}"
            f"  {rates[0, 1]:8.1f} {rates[1, 1]:8.1f}  {(size / ideal - 1) * 100:8.3f}"
        )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="of the process, both pools")
    parser.add_argument("--runs", type=int, default=9, help="medians are over so many")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    tables = gaussian_tables(SCALES)
    coders = {"kompakt": ours(tables), "tfc ops": theirs(tables)}
    print(f"{options.threads} threads, medians of {options.runs} runs, {tables.precision}-bit tables")
    print(f"{'':22} bits/             ms        ms    M symbols/s wall    M symbols/s CPU  overhead")
    print(f"{'symbols':22} symbol coder     encode   decode    encode   decode    encode   decode  %")
    for name, (symbols, indexes) in cases().items():
        compare(name, symbols, indexes, tables, coders, options.runs)


if __name__ == "__main__":
    main()
