"""Real bits against the model's own estimate, and streams read by other processes than their writer.

    python -m tests.claims.estimate --pictures FOLDER --model DIR [--model DIR ...] [--matrix 2]

For every picture: the stream's bytes against the bits that the model's likelihoods promise; they may differ by 1 % and
a header of 40 bytes. Then the first `--matrix` pictures are written and read by processes that import only TensorFlow,
with one and two threads, every stream by every process: the decoded latents must be the writer's (a stream carries
their fingerprint) and pixels may differ by one level. Ends with status 1 if a promise was broken.
"""

import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import click
import numpy as np
from PIL import Image

from components.evaluation import rate_distortion
from components.serving.served_codec import newest_version, record_of

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HEADER_BYTES = 40
SHARE = 0.01
THREADS = {"one thread": 1, "two threads": 2}  # of the processes, each fresh
_WORKER = pathlib.Path(__file__).with_name("served_worker.py")


class Worker:
    """A running `served_worker`."""

    def __init__(self, threads: int, folder: pathlib.Path):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(_WORKER), str(threads)], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, model: pathlib.Path, to: pathlib.Path, **what: pathlib.Path) -> None:
        """Has it write (`write=` picture) or read (`read=` stream).

        Raises:
          RuntimeError: it refused or died.
        """
        request = {"model": str(model.resolve()), "to": str(to)} | {k: str(v.resolve()) for k, v in what.items()}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "done":
            raise RuntimeError(answer or "the process died")

    def close(self) -> int:
        """Ends it; its exit status."""
        self.process.stdin.close()
        return self.process.wait(60)


def matrix(models: Sequence[pathlib.Path], pictures: Sequence[pathlib.Path], folder: pathlib.Path) -> list[dict]:
    """Writes every picture in every process and reads every stream in every process.

    Returns:
      A row for each model, picture and writer: "levels" is by how much readers' pixels differ at most, "same_stream"
      whether the first process wrote the same bytes.
    """
    rows = []
    with contextlib.ExitStack() as stack:
        workers = {name: Worker(threads, folder) for name, threads in THREADS.items()}
        for worker in workers.values():
            stack.callback(worker.close)
        for (m, model), (p, picture) in itertools.product(enumerate(models), enumerate(pictures)):
            streams = {name: folder / f"{m} {p} {name}.kmp" for name in workers}
            for name, worker in workers.items():
                worker.ask(model, streams[name], write=picture)
            for writer, stream in streams.items():
                decoded = []
                for reader, worker in workers.items():
                    worker.ask(model, folder / f"{reader}.png", read=stream)
                    decoded.append(np.asarray(Image.open(folder / f"{reader}.png")).astype(int))
                levels = max(abs(decoded[0] - other).max() for other in decoded)
                same = stream.read_bytes() == next(iter(streams.values())).read_bytes()
                rows.append({"model": str(model), "picture": picture.name, "writer": writer, "levels": int(levels),
                             "same_stream": same})  # fmt: skip
    return rows


def excess(model: pathlib.Path, pictures: Sequence[pathlib.Path]) -> list[dict]:
    """Bytes of streams and estimate of each picture by one model; "excess" is the share left without the header."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(model)).signatures["serving_default"]
    rows = []
    for picture in pictures:
        pixels = rate_distortion.read_rgb(picture)
        numbers = {k: float(v[0, 0]) for k, v in signature(examples=tf.constant([record_of(pixels)])).items()}
        area = pixels.shape[0] * pixels.shape[1]
        real, estimated = numbers["bpp"] * area / 8, numbers["estimated_bpp"] * area / 8
        rows.append({"model": str(model), "picture": picture.name, "bytes": round(real), "estimated": estimated,
                     "psnr_db": numbers["psnr_db"], "excess": (real - HEADER_BYTES) / estimated - 1,
                     "missing": 1 - real / estimated})  # fmt: skip
    return rows


@click.command()
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True, file_okay=False))
@click.option("--model", "models", required=True, multiple=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--matrix", "crossed", default=2, show_default=True, help="Pictures that all processes write and read.")
def main(pictures, models, crossed):
    """Compare real and estimated bits, and readers and writers."""
    files = sorted(p for p in pictures.iterdir() if p.suffix.lower() in (".png", ".bmp", ".jpg", ".jpeg"))
    if not files:
        raise click.UsageError(f"{pictures}: no pictures here")
    broken, models = 0, [newest_version(model) for model in models]
    for model in models:
        about = json.loads((model / "assets.extra" / "kompakt.json").read_text())
        click.echo(f"{about['recipe']}, lambda {about['config'].get('lmbda')}, {model}")
        click.echo(f"  {'picture':24}{'bytes':>9}{'estimated':>11}{'PSNR, dB':>10}{'excess without header, %':>26}")
        rows = excess(model, files)
        for r in rows:
            click.echo(
                f"  {r['picture']:24}{r['bytes']:9}{r['estimated']:11.0f}{r['psnr_db']:10.2f}{100 * r['excess']:26.2f}"
            )
        worst = max(max(r["excess"], r["missing"]) for r in rows)
        broken += worst > SHARE
        verdict = ": BROKEN" if worst > SHARE else ""
        click.echo(f"  largest difference beyond {HEADER_BYTES} bytes: {100 * worst:.2f} %{verdict}")
    with tempfile.TemporaryDirectory() as folder:
        rows = matrix(models, files[:crossed], pathlib.Path(folder)) if crossed else []
    for r in rows:
        click.echo(
            f"  {r['model']} {r['picture']}: written with {r['writer']}, read by {len(THREADS)} processes: latents "
            f"identical, pixels differ by {r['levels']} at most, stream {'equal' if r['same_stream'] else 'differs'}"
        )
    sys.exit(broken or any(r["levels"] > 1 for r in rows))


if __name__ == "__main__":
    main()
