"""The scale hyperprior here and on TensorFlow Compression, in turns: training, compress, decompress, as ratios.

    python -m venv PEER && PEER/bin/pip install tensorflow==2.14.1 tensorflow-compression==2.14.1
    python -m tests.benchmarks.bench_peer --peer PEER/bin/python [--rounds 3]

Same layers and sizes (128 and 192 channels), untrained weights, batches of 8 crops of 256x256, one picture of 768x512
from PNG to stream and back to PNG. Every measurement is a process of its own; sides take turns.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
JOBS = {"train": ("images/s", 8.0), "compress": ("s", None), "decompress": ("s", None)}
_PEER = pathlib.Path(__file__).with_name("peer_tfc.py")


def ours(job: dict) -> dict[str, float]:
    """Seconds of this project, measured in this process."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(job["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(job["threads"])
    from tests.benchmarks import bench_codec

    sizes = {"channels": str(job["channels"]), "latents": str(job["latents"])}
    (train, _), _ = bench_codec.training_seconds("hyperprior", job["runs"], sizes | bench_codec.EIGHT)
    compress, decompress, _ = bench_codec.served_seconds("hyperprior", job["runs"], sizes)
    return {"train": float(train), "compress": float(compress[0]), "decompress": float(decompress[0])}


def measured(command: list[str], job: dict) -> dict[str, float]:
    """What a process prints about a job."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*command, json.dumps(job)], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", metavar="PYTHON", help="interpreter that has tensorflow-compression")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5, help="of each measurement in a round; their median counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(ours(json.loads(options.job))))
        return
    if not options.peer:
        print("bench_peer: give --peer PYTHON to compare with TensorFlow Compression (see its docstring)")
        return
    from tests.benchmarks.bench_codec import picture

    job = {"channels": 128, "latents": 192, "runs": options.runs, "threads": options.threads}
    sides = {
        "kompakt": [sys.executable, "-m", "tests.benchmarks.bench_peer", "--job"],
        "tensorflow-compression": [options.peer, "-I", str(_PEER)],
    }
    seconds: dict[str, list] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        job["picture"] = str(pathlib.Path(folder) / "picture.png")
        Image.fromarray(picture(512, 768)).save(job["picture"])
        for _ in range(options.rounds):
            for name, command in sides.items():
                seconds[name].append(measured(command, job))
    print(f"hyperprior 128/192, {options.threads} threads, {options.rounds} rounds: median (lowest to highest)")
    print(f"{'':12}" + "".join(f"{name:>32}" for name in sides) + "   time, kompakt / peer")
    for what, (unit, count) in JOBS.items():
        line, medians = f"{what:12}", []
        for rounds in seconds.values():
            taken = np.array([r[what] for r in rounds])
            medians.append(np.median(taken))
            shown = count / taken if count else taken
            line += f"{np.median(shown):12.2f} ({shown.min():.2f} to {shown.max():.2f}) {unit}".rjust(32)
        print(f"{line}   {medians[0] / medians[1]:.2f}")


if __name__ == "__main__":
    main()
