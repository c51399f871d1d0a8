"""How fast a network for faces answers and learns: `embed` and `verify` of one picture or pair, and training images.

    python -m tests.benchmarks.bench_faces [--model DIR] [--preset small] [--side 32] [--calls 300] [--steps 5]
        [--peer PYTHON]
    python -m tests.benchmarks.bench_faces --mine 100000

Without --model the recipe is exported as it is built, untrained, which takes as long to answer. Answers come through
TensorFlow's C library, as commands and servers have them; pictures are JPEG files of 250x250 pixels. Milliseconds are
the median and the 99th percentile of calls one after the other, three before not counted. Training is of random
pictures in memory, at the preset's batch, in turns with PyTorch, where PYTHON has it, on the same layers and loss. With
--mine alone the table of the 100 nearest of so many prototypes of 128 numbers is made
(`models.distillation.terms.mining`), and what it took of the memory, of NumPy alone, is told.
"""

import argparse
import dataclasses
import importlib.util
import io
import json
import resource
import sys
import tempfile
import time

import numpy as np
from PIL import Image


def jpeg(seed: int) -> bytes:
    """A picture of 250x250 pixels."""
    small = np.random.default_rng(seed).integers(0, 255, (20, 20, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize((250, 250), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def milliseconds(ask, calls: int) -> np.ndarray:
    """Wall time of each call, float [calls]."""
    taken = []
    for _ in range(calls + 3):
        start = time.perf_counter()
        ask()
        taken.append(1e3 * (time.perf_counter() - start))
    return np.array(taken[3:])


def training(recipe, config, count: int, python: str | None) -> None:
    """Prints images a second of training steps, and of PyTorch's of the same network, in turns."""
    from tests.benchmarks.turns import Peer, seconds, step

    random = np.random.default_rng(1)
    x = random.random((config.batch_size, config.image_size, config.image_size, 3), np.float32)
    y = random.integers(0, config.classes, config.batch_size)
    steps = {"ours": step(recipe.name, dataclasses.asdict(config), (x, y))}
    if python:
        told = {"batch": config.batch_size, "side": config.image_size, "width": config.width_percent,
                "depth": config.depth, "embedding": config.embedding, "classes": config.classes,
                "margin": config.used_margin, "scale": config.scale, "rate": config.learning_rate}  # fmt: skip
        peer = Peer(python, "peer_faces.py", json.dumps(told))
        steps[f"PyTorch {peer.version}"] = peer
    weights = sum(int(np.prod(v.shape)) for v in recipe.build(config).trainable_variables)
    print(f"training of {weights:,} weights, batch {config.batch_size}")
    found = seconds(steps, count)
    for name, value in found.items():
        print(f"  {name:32} {config.batch_size / value:,.0f} images a second, {value / found['ours']:.2f} of our time")
    if not python:
        print("  --peer names no Python that has PyTorch: nothing to compare with")


def mine(count: int) -> None:
    """Prints seconds and the growth of the process's peak memory of a mined table."""
    from models.distillation.terms import mining

    vectors = np.random.default_rng(1).standard_normal((count, 128), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    table = mining.nearest(vectors, 100)
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{count:,} prototypes: {seconds:.0f} s, {grown:.0f} MiB beside them, table {table.nbytes / 2**20:.0f} MiB")


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--steps", type=int, default=5, help="of a round; there are five")
    parser.add_argument("--mine", type=int)
    installed = sys.executable if importlib.util.find_spec("torch") else None
    parser.add_argument("--peer", default=installed, help="a Python that has PyTorch")
    given = parser.parse_args()
    if given.mine:
        mine(given.mine)
        return
    from components.serving.served_faces import ServedFaces
    from models.contract import registry
    from models.publishing import export

    recipe = registry.get("face")
    config = recipe.make_config(given.preset, {"classes": 128, "image_size": given.side})
    with tempfile.TemporaryDirectory() as folder:
        if not given.model:
            export.export(recipe, config, recipe.build(config), folder)
        served, one, other = ServedFaces(given.model or folder), jpeg(1), jpeg(2)
        for name, ask in (
            ("embed, one picture", lambda: served.embed([one])),
            ("embed, 32 pictures", lambda: served.embed([one] * 32)),
            ("verify, one pair", lambda: served.verify(one, other)),
        ):
            taken = milliseconds(ask, given.calls)
            print(f"{name:20} median {np.median(taken):7.2f} ms   99th percentile {np.percentile(taken, 99):7.2f} ms")
    training(recipe, config, given.steps, given.peer)


if __name__ == "__main__":
    main()
