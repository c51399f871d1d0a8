"""Which claims of conditional probability models for pictures (arXiv:1801.04260) hold here, in small codecs.

    python -m tests.claims.conditional_probability run --out FILE.jsonl --work DIR --photos DIR --test DIR
    python -m tests.claims.conditional_probability report --out FILE.jsonl

Per seed a codec without a map whose rate does not weigh: its context network learns beside it and hands nothing back,
so that it is the network of a frozen auto-encoder, and the codec one that is trained alone. Then codecs with a map, at
three targets. Histograms are of the training pictures' symbols, one being added to each count. Each finished run is a
line of FILE: the same command goes on where it was stopped.
"""

import dataclasses
import json
import pathlib
import sys
import time

import click
import keras
import numpy as np
from scipy import stats

from models.contract import registry
from models.training import loop
from tests.claims import packed_records, soft_to_hard
from tests.claims.conditional_probability_report import ALONE, TARGETS, report
from tests.claims.ledger import Ledger

CODEC = {"channels": 32, "groups": 1, "latents": 8, "crop_size": 64, "batch_size": 4, "steps": 300,
         "steps_per_epoch": 100, "learning_rate": 1e-3}  # fmt: skip
RUNS = {ALONE: {"importance": "none", "rate_weight": 0.0}} | {
    name: {"latents": 16, "target_bpp": target} for name, target in TARGETS.items()
}
_CELL = 8  # pixels, side of what a latent stands for
_PICTURES = 40  # of the test, at most


def opened(out: str) -> Ledger:
    """The finished runs of a file."""
    return Ledger(out, ("run", "seed"), sys.modules[__name__])


def histograms(symbols: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bits of symbols int [..., K]: of each, [count], and of each after the one to the left, [count, count]."""
    flat = np.bincount(symbols.ravel(), minlength=count) + 1.0
    pairs = symbols[:, :, :-1].ravel() * count + symbols[:, :, 1:].ravel()
    after = np.bincount(pairs, minlength=count**2).reshape(count, count) + 1.0
    return -np.log2(flat / flat.sum()), -np.log2(after / after.sum(1, keepdims=True))


def entropies(model, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Bits a symbol of the test pictures under histograms of the training pictures and under the context network.

    The first column, which has no symbol to its left, is left out of all three.
    """
    count = model.config.centres
    known, asked = (np.concatenate([symbols_of(model, x[None]) for x in part]) for part in (train, test))
    alone, after = histograms(known, count)
    bits = np.concatenate([np.array(model.spending(x[None])[0]) for x in test])
    return {
        "zeroth": float(alone[asked[:, :, 1:]].mean()),
        "conditional": float(after[asked[:, :, :-1], asked[:, :, 1:]].mean()),
        "context": float(bits[:, :, 1:].mean()),
    }


def symbols_of(model, x: np.ndarray) -> np.ndarray:
    """Symbols [B, h, w, K] of pixels."""
    return np.array(model.quantizer.symbols(model.analysis(x)))


def allocation(model, test: np.ndarray) -> list[float]:
    """Of each picture the rank correlation of kept channels with the energy of gradients, over places."""
    found = []
    for x in test:
        kept = np.array(model.spending(x[None])[1])[0].sum(-1)
        grey = x.mean(-1)
        energy = np.square(np.diff(grey, axis=0, append=grey[-1:])) + np.square(
            np.diff(grey, axis=1, append=grey[:, -1:])
        )
        cells = energy.reshape(kept.shape[0], _CELL, kept.shape[1], _CELL).mean((1, 3))
        found.append(float(stats.spearmanr(kept.ravel(), cells.ravel()).statistic) if np.ptp(kept) else 0.0)
    return found


def run(name: str, seed: int, files: dict, train: np.ndarray, test: np.ndarray, ledger: Ledger, work: str) -> None:
    """Trains one codec and measures it on the test pictures."""
    keras.utils.clear_session()
    recipe, start = registry.get("conditional_probability"), time.monotonic()
    config = recipe.make_config("small", CODEC | RUNS[name] | {"seed": seed})
    folder = pathlib.Path(work, "runs", f"{name}-{seed}".replace(" ", ""))
    model = loop.train(recipe, config, [files["train"]], [files["validation"]], work_dir=str(folder / "state"),
                       log_dir=str(folder / "logs"), progress=False)  # fmt: skip
    seconds = time.monotonic() - start
    coded = [model(x[None], training=False) for x in test]
    area = test.shape[1] * test.shape[2]
    mse = [float(np.mean(np.square(np.clip(np.array(c["x_hat"][0]), 0, 1) - x)))
           for c, x in zip(coded, test, strict=True)]  # fmt: skip
    both = [0.5 * float(c["bits"][0] + c["masked_bits"][0]) / area for c in coded]
    row = {"bpp": float(np.mean([float(c["bits"][0]) for c in coded])) / area, "soft_bpp": float(np.mean(both)),
           "psnr": float(np.mean(-10 * np.log10(mse)))}  # fmt: skip
    row |= entropies(model, train, test) if name == ALONE else {"allocation": float(np.mean(allocation(model, test)))}
    click.echo(json.dumps(ledger.add(dataclasses.asdict(config), seconds, run=name, seed=seed, **row)))


@click.group()
def main() -> None:
    """The claims of conditional probability models."""


@main.command("run")
@click.option("--out", required=True, help="A JSON line for each finished run.")
@click.option("--work", required=True, help="Folder for records and states.")
@click.option("--photos", required=True, help="Folder of photographs to learn from.")
@click.option("--test", required=True, help="Folder of photographs to measure on.")
@click.option("--seeds", default="1,2,3", show_default=True)
@click.option("--most", default=0, help="Runs after which to stop; 0: all.")
def run_command(out, work, photos, test, seeds, most) -> None:
    """Codecs by RUNS."""
    ledger = opened(out)
    pathlib.Path(work).mkdir(parents=True, exist_ok=True)
    x, y = soft_to_hard.pieces(photos), soft_to_hard.pieces(test)[:_PICTURES]
    labels, held = np.zeros(len(x), int), max(8, len(x) // 10)
    parts = {"train": slice(-held), "validation": slice(-held, None)}
    files = {s: packed_records.write(pathlib.Path(work, f"{s}.gz"), s, x[p], labels[p]) for s, p in parts.items()}
    train, test_pixels = x[:_PICTURES].astype("float32") / 255.0, y.astype("float32") / 255.0
    left = [(name, int(seed)) for seed in seeds.split(",") for name in RUNS if (name, int(seed)) not in ledger.done]
    for name, seed in left[: most or None]:
        run(name, seed, files, train, test_pixels, ledger, work)
    click.echo(report(ledger.done))


@main.command("report")
@click.option("--out", required=True)
def report_command(out) -> None:
    """Tables and verdicts of the lines that there are."""
    click.echo(report(opened(out).done))


if __name__ == "__main__":
    main()
