"""The coder of alphabets with ends under logistic mixtures: overhead over the ideal, and time.

    python -m tests.benchmarks.bench_bounded [--threads 2] [--runs 5] [--count 393216]

As many symbols as a 768x512 picture has in a channel, drawn from their mixtures. Overhead is against the code length
under the real mixtures: "intervals" is what integers cost, "stream" all bytes. Each decoding is checked.
"""

import argparse

import numpy as np
import tensorflow as tf

from models.entropy.coder.bounded_coder import BoundedCoder
from models.entropy.densities.mixture_cdf import PRECISION
from tests.benchmarks.bench_coder import measure
from tests.models.entropy.logistic_mixtures import draw, mass, sample

COMPONENTS = 5


def row(size: int, split: bool, level: float, options) -> str:
    """The numbers of one kind of symbols."""
    parameters = draw(options.count, COMPONENTS, size, level=level)
    symbols = sample(parameters, size)
    ideal = -np.log2(mass(parameters, symbols, size)).sum()
    coder, numbers = BoundedCoder(size, split), [tf.TensorSpec([COMPONENTS, None], tf.int64)] * 3
    encode = tf.function(coder.encode, [tf.TensorSpec([None], tf.int32), *numbers], autograph=False)
    decode = tf.function(coder.decode, [tf.TensorSpec([], tf.string), *numbers], autograph=False)
    given, parameters = tf.constant(symbols), [tf.constant(p) for p in parameters]
    stream = encode(given, *parameters)
    np.testing.assert_array_equal(decode(stream, *parameters), symbols)
    coded = sum((PRECISION - np.log2(frequencies)).sum() for frequencies, _ in coder.intervals(given, *parameters))
    calls = [lambda: encode(given, *parameters).numpy(), lambda: decode(stream, *parameters).numpy()]
    times = measure(calls, options.runs)
    over = 100 * (coded / ideal - 1), 100 * (8 * len(stream.numpy()) / ideal - 1)
    name = f"{size}, {'two steps' if split else 'one step'}"
    return (
        f"{name:16}{ideal / options.count:8.2f}"
        + "".join(f"{1e3 * t:9.0f}" for t in times.ravel())
        + "".join(f"{o:11.3f}" for o in over)
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="of the process, both pools")
    parser.add_argument("--runs", type=int, default=5, help="medians are over so many")
    parser.add_argument("--count", type=int, default=393_216)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    print(f"{options.count} symbols, {COMPONENTS} logistics each, {options.threads} threads, {options.runs} runs; ms")
    print(f"{'':16}{'bits/':>8}{'encode':>13}{'':5}{'decode':>13}{'':5}{'overhead, %':>17}")
    print(f"{'alphabet':16}{'symbol':>8}" + f"{'wall':>9}{'CPU':>9}" * 2 + f"{'intervals':>11}{'stream':>11}")
    for size, split in ((256, True), (256, False), (25, False)):
        for level in (60.0, 100.0, 140.0):
            print(row(size, split, level, options))


if __name__ == "__main__":
    main()
