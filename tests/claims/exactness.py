"""Streams of every writer at every reader: threads, oneDNN, other kernels, C library, batches, XLA, noise.

    python -m tests.claims.exactness --picture FILE [--picture FILE ...] [--model DIR ...] [--released NAME ...]

Every way writes every picture with every model in a process of its own, then reads the streams of all ways. A stream
carries a fingerprint of its latents, so a reader whose latents differ from the writer's refuses: none may. Pixels come
from floats and may differ; the table says by how many levels at most. A last reader, with noise in what steers the
coder, must refuse. Ends with status 1 if a stream was refused, or nothing by that reader.

"Other kernels" are those that the libraries choose on a processor that knows no more than SSE3 or SSE4.1, and it is
told which of them then compute otherwise here: on x86-64 with AVX all four. One way also prepares the model under
them: from the released weights, or from those of the pushed model.
"""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np
from PIL import Image

from components.serving import released_model
from components.serving.served_codec import newest_version
from models.publishing import released as weights

# As on an older processor: OpenBLAS, NumPy's own loops, oneDNN, the C library's functions (erfc in tables, say).
OTHER_KERNELS = {
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])),
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F",
}
USUAL = {
    "threads": 2, "batch": 1, "mode": "served", "noise": 0.0, "onednn": "1", "refine": 0, "environment": {},
}  # fmt: skip
WAYS: Mapping[str, dict[str, Any]] = {
    "graph, two threads": USUAL,
    "one thread": USUAL | {"threads": 1},
    "without oneDNN": USUAL | {"onednn": "0"},
    "other kernels": USUAL | {"environment": OTHER_KERNELS},
    "prepared under them": USUAL | {"environment": OTHER_KERNELS, "mode": "prepared"},
    "batch of eight": USUAL | {"batch": 8},
    "C library": USUAL | {"mode": "native"},
    "eager": USUAL | {"mode": "eager"},
    "XLA": USUAL | {"mode": "xla"},
    "refined latents": USUAL | {"refine": 8},
    "noise of 1e-4": USUAL | {"mode": "graph", "noise": 1e-4},
}
CONTROL = USUAL | {"mode": "control", "noise": 1e-4}  # in the very numbers that must be exact: it has to be noticed
_ROOT = pathlib.Path(__file__).resolve().parents[2]


def ask(way: Mapping[str, Any], model: pathlib.Path, **task: Sequence[pathlib.Path]) -> list[str | None]:
    """Has a fresh process write or read files; for each, None or why it was refused. Or `probe`, whose answer it is.

    Raises:
      RuntimeError: the process failed.
    """
    request = {"model": str(model), "way": dict(way)} | {k: [str(p) for p in v] for k, v in task.items()}
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": way["onednn"],
    } | way["environment"]  # fmt: skip
    command = [sys.executable, "-m", "tests.claims.exactness_worker"]
    done = subprocess.run(
        command, cwd=_ROOT, env=environment, input=json.dumps(request), capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the process died")
    return json.loads(done.stdout.splitlines()[-1])


def otherwise(model: pathlib.Path) -> list[str]:
    """The libraries that do compute otherwise under OTHER_KERNELS, on this machine."""
    usual, other = (ask(WAYS[name], model, probe=[]) for name in ("graph, two threads", "other kernels"))
    return [one.rpartition(" ")[0] for one, two in zip(usual, other, strict=True) if one != two]


def matrix(
    model: pathlib.Path, pictures: Sequence[pathlib.Path], ways: Mapping[str, Mapping[str, Any]], folder: pathlib.Path
) -> dict[tuple[str, str], dict[str, Any]]:
    """(writer, reader) -> "refused": reasons; "levels": largest difference from the first reader; "equal_streams"."""
    streams = {w: [folder / f"{n} {p.stem}.kmp" for p in pictures] for n, w in enumerate(ways)}
    for writer, how in ways.items():
        if any(refused := ask(how, model, write=pictures, to=streams[writer])):
            raise RuntimeError(f"{writer} wrote nothing: {refused}")
    everything = [s for paths in streams.values() for s in paths]
    first: dict[pathlib.Path, np.ndarray] = {}
    rows = {}
    for n, (reader, how) in enumerate(ways.items()):
        decoded = {s: folder / f"{n} reads {s.stem}.png" for s in everything}
        refused = dict(zip(everything, ask(how, model, read=everything, to=list(decoded.values())), strict=True))
        for writer, paths in streams.items():
            levels = [0]
            for stream in (s for s in paths if refused[s] is None):
                pixels = np.asarray(Image.open(decoded[stream])).astype(int)
                levels.append(int(np.abs(pixels - first.setdefault(stream, pixels)).max()))
            equal = [a.read_bytes() == b.read_bytes() for a, b in zip(paths, streams[next(iter(ways))], strict=True)]
            rows[writer, reader] = {
                "refused": [refused[s] for s in paths if refused[s]], "levels": max(levels), "equal_streams": sum(equal)
            }  # fmt: skip
    return rows


@click.command()
@click.option(
    "--picture", "pictures", required=True, multiple=True, type=click.Path(path_type=pathlib.Path, exists=True)
)
@click.option("--model", "models", multiple=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--released", multiple=True, help="A released model, by name.")
def main(pictures, models, released):
    """Cross every writer with every reader."""
    broken, made = 0, [(released_model.directory_of(name), weights.path_of(name)) for name in released]
    for model, source in [*((newest_version(path), None) for path in models), *made]:
        ways = {name: way | {"weights": source and str(source)} for name, way in WAYS.items()}
        about = json.loads((model / "assets.extra" / "kompakt.json").read_text())
        click.echo(f"{about['recipe']}, {model}")
        click.echo(f"  other kernels, where results differ: {', '.join(otherwise(model)) or 'none'}")
        with tempfile.TemporaryDirectory() as folder:
            paths = [p.resolve() for p in pictures]
            rows = matrix(model.resolve(), paths, ways, pathlib.Path(folder))
            streams = [pathlib.Path(folder) / f"0 {p.stem}.kmp" for p in paths]
            control = ask(CONTROL, model.resolve(), read=streams, to=[pathlib.Path(folder) / "lost.png"] * len(paths))
        for writer in WAYS:
            mine = [rows[writer, reader] for reader in WAYS]
            refused = list(itertools.chain.from_iterable(r["refused"] for r in mine))
            broken += len(refused)
            levels, equal = max(r["levels"] for r in mine), mine[0]["equal_streams"]
            click.echo(
                f"  written by {writer:20} refused {len(refused)} of {len(pictures) * len(WAYS)} readings, "
                f"pixels differ by {levels} at most, {equal} of {len(pictures)} streams as the first way's"
            )
            for reason in sorted(set(refused)):
                click.echo(f"    {reason.splitlines()[0]}")
        click.echo(f"  control: {sum(r is not None for r in control)} of {len(pictures)} readings refused")
        broken += not any(control)
    sys.exit(broken > 0)


if __name__ == "__main__":
    main()
