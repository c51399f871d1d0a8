"""What a critic costs: training of `extreme_gan` with one over the generator alone, and beside PyTorch.

    python -m tests.benchmarks.bench_generative [--rounds 5] [--batch 8] [--side 64] [--threads 1] [--peer PYTHON]
    python -m venv PEER && PEER/bin/pip install torch numpy        # for --peer PEER/bin/python

A round has a turn of each side, on random pictures at the small preset's sizes; images a second are the generator's.
"alone" is the same network for the squared error. Figures are medians over five times so many rounds, in which all take
turns, so that a busy machine slows all alike. PyTorch plays the same game, written as is usual there, in a process of
its own; without it the script says so and goes on.
"""

import argparse
import importlib.util
import sys

import numpy as np
import tensorflow as tf

from tests.benchmarks.turns import Peer, seconds, step


def several(turn, count: int):
    """A round of so many turns."""

    def play():
        for _ in range(count):
            turn()

    return play


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the game between two looks at the clock")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=64, help="of the pictures of extreme_gan, pixels")
    parser.add_argument("--threads", type=int, default=1)
    installed = sys.executable if importlib.util.find_spec("torch") else None
    parser.add_argument("--peer", default=installed, help="a Python that has PyTorch")
    given = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(given.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    random = np.random.default_rng(1)
    x = random.random((given.batch, given.side, given.side, 3), np.float32)
    extreme = {"crop_size": given.side, "batch_size": given.batch}
    turns = {
        "alone": several(step("extreme_gan", extreme | {"adversarial": False}, x), 1),
        "both": several(step("extreme_gan", extreme, x), 2),
    }
    if given.peer:
        peer = Peer(given.peer, "peer_torch_gan.py", *map(str, (given.batch, given.side, given.threads)))
        turns[f"both, PyTorch {peer.version}"] = peer
    print(f"{'a round of':40}{'ms':>9}{'over alone':>12}{'images/s':>10}")
    found = seconds(turns, given.rounds)
    for name, value in found.items():
        print(f"{name:40}{1e3 * value:9.1f}{value / found['alone']:12.2f}{given.batch / value:10.1f}")
    if not given.peer:
        print("PyTorch is not installed: nothing to compare with")


if __name__ == "__main__":
    main()
