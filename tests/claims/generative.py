"""Which claims of the generative codecs hold here: GC and SC (arXiv:1804.02958), and DPLC (arXiv:1805.11057).

    python -m tests.claims.generative preserving --out FILE.jsonl --work DIR --data cifar10.npz [--seeds 1,2,3]
    python -m tests.claims.generative extreme --out FILE.jsonl --work DIR --photos DIR --test DIR [--seeds 1,2,3]
    python -m tests.claims.generative report --out FILE.jsonl

Preserving: on packed pictures of 32 pixels, one generator a seed and kind, then codes of several rates behind it, and
auto-encoders of as many bits for the squared error alone. Extreme: on crops of 64 pixels, each number of code channels
against its critic, and the same network for the squared error alone; streams of whole photographs count the bits. FD is
the Frechet distance under `models.generative.perception.features`, of equally many pictures each. Each finished run is
a line of FILE: the same command goes on where it was stopped. `--short` has fewer steps and pictures, for a look, and
a file of its own.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping

import click
import keras
import numpy as np
import tensorflow as tf

from components.evaluation.aggregates import frechet
from components.kinds.pictures.packed import pictures
from models.contract import registry
from models.generative.perception import served
from models.publishing import pushed
from models.training import loop
from tests.claims import generative_extreme, packed_records
from tests.claims.generative_report import RATES, report
from tests.claims.ledger import Ledger, folder_of

DRAWS = 8  # of the noise, for its variance
_HELD = 500  # pictures, for the validation of trainings


@dataclasses.dataclass(frozen=True)
class Length:
    """How long runs are: of the generator's updates, of steps of codes, of auto-encoders; and pictures measured on."""

    generator: int
    codes: int
    pictures: int


LONG, SHORT = Length(4000, 3000, 3000), Length(200, 150, 1000)
OPTIONS = {"channels": 16, "latents": 32, "crop_size": 32, "batch_size": 64, "critic_steps": 2}


def opened(out: str, short: bool | None = None) -> Ledger:
    """The finished runs of a file."""
    return Ledger(out, ("run", "seed"), sys.modules[__name__], generative_extreme, short=short)


class Preserving:
    """Records and runs of distribution-preserving compression."""

    def __init__(self, npz: str, work: str, ledger: Ledger, short: bool):
        self.work, self.ledger, self.length = folder_of(work, short), ledger, SHORT if short else LONG
        self.work.mkdir(parents=True, exist_ok=True)
        x = np.stack([pixels for pixels, _ in pictures(npz, "train")])
        labels = np.zeros(len(x), int)
        self.files = {
            split: packed_records.write(self.work / f"small-{split}.gz", split, x[part], labels[part])
            for split, part in (("train", slice(-_HELD)), ("validation", slice(-_HELD, None)))
        }
        test = np.stack([pixels for pixels, _ in pictures(npz, "test")])[: self.length.pictures]
        self.x = test.astype("float32") / 255.0
        self.real = served.of_pictures(test)
        self.draw = np.random.default_rng(1)

    def fd(self, x: np.ndarray) -> float:
        """Of pixels [N, S, S, 3] in [0, 1] from as many test pictures, both rounded to 8 bits."""
        return frechet.between(served.of_pictures(eight_bits(x)), self.real)

    def trained(self, name: str, seed: int, steps: int, **options):
        """(recipe, config, model, seconds) of one training."""
        keras.utils.clear_session()
        recipe, start = registry.get("distribution_preserving"), time.monotonic()
        common = OPTIONS | {"steps": steps, "steps_per_epoch": max(1, steps // 8), "seed": seed}
        config = recipe.make_config("small", common | options)
        folder = self.work / "runs" / f"{name}-{seed}".replace(" ", "")
        model = loop.train(recipe, config, [self.files["train"]], [self.files["validation"]],
                           work_dir=str(folder / "state"), log_dir=str(folder / "logs"), progress=False)  # fmt: skip
        return recipe, config, model, time.monotonic() - start

    def generator(self, kind: str, seed: int) -> str:
        """Folder of a generator that a kind of step one has learnt, trained when first asked for."""
        name, path = f"generator, {kind}", self.work / f"generator-{kind}-{seed}"
        if (path / pushed.EXTRA / pushed.ABOUT).exists() and (name, seed) in self.ledger.done:
            return str(path)
        turns = 1 if kind == "wae" else 1 + OPTIONS["critic_steps"]
        steps = turns * self.length.generator
        recipe, config, model, seconds = self.trained(kind, seed, steps, generator=kind, code_channels=0)
        paired = self.in_batches(lambda x: model.generate(x)["x_hat"], self.x)
        row = {"mse": mean_square(paired, self.x), "fd": self.fd(paired)}
        recipe, part, config = recipe.served(model, config)
        drawn, again = (self.in_batches(part.draw, self.normal(config.latents)) for _ in range(2))
        row |= {"zero_mse": mean_square(drawn, self.x), "zero_fd": self.fd(drawn), "again_fd": self.fd(again),
                "marginal": float(drawn.var(0, ddof=1).mean())}  # fmt: skip
        few = [self.in_batches(part.draw, self.normal(config.latents)[:256]) for _ in range(DRAWS)]
        row["zero_variance"] = float(np.var(few, axis=0, ddof=1).mean())
        pushed.save(path, recipe, config, pushed.anew(recipe, config, part))
        self.add(config, seconds, name, seed, row)
        return str(path)

    def codes(self, rate: int, seed: int, plain: bool) -> None:
        """Codes behind the generator, or an auto-encoder of as many bits, unless its line is there."""
        name = f"MSE only, {rate}" if plain else f"preserving, {rate}"
        if (name, seed) in self.ledger.done:
            return
        own = {"mse_only": True} if plain else {"generator": "given", "init": self.generator("wasserstein_pp", seed)}
        _, config, model, seconds = self.trained(name, seed, self.length.codes, code_channels=rate, **own)
        sent = self.in_batches(lambda x: model.quantizer.values(model.symbols(x)), self.x)
        latent = [self.latent(model, sent) for _ in range(1 if plain else 2)]
        x_hat = self.in_batches(model.draw, latent[0])
        row = {"mse": mean_square(x_hat, self.x), "fd": self.fd(x_hat), "bits": config.bits}
        if not plain:
            several = [self.in_batches(model.draw, self.latent(model, sent[:256])) for _ in range(DRAWS)]
            still = self.latent(model, sent, noise=False)
            row |= {"variance": float(np.var(several, axis=0, ddof=1).mean()), "mmd": self.mmd(latent[0]),
                    "mmd_without_noise": self.mmd(still)}  # fmt: skip
        self.add(config, seconds, name, seed, row)

    def latent(self, model, sent: np.ndarray, noise: bool = True) -> np.ndarray:
        """Latent vectors [N, latents] of codes with fresh noise, or with none."""
        config = model.config
        shape = (*sent.shape[:3], config.noise_channels)
        given = self.draw.uniform(-config.reach, config.reach, shape) * noise
        pairs = np.concatenate([sent, given.astype("float32")], -1)
        depth = sent.shape[-1]
        return self.in_batches(lambda p: model.latent(p[..., :depth], p[..., depth:]), pairs)

    def mmd(self, latent: np.ndarray) -> float:
        """Mean discrepancy of batches of 500 latent vectors to as many draws of the prior."""
        from models.generative.discrepancy import mmd

        prior = self.draw.standard_normal(latent.shape).astype("float32")
        size = min(500, len(latent))
        return float(np.mean([mmd(latent[n : n + size], prior[n : n + size]) for n in range(0, len(latent), size)]))

    def normal(self, latents: int) -> np.ndarray:
        return self.draw.standard_normal((len(self.x), latents)).astype("float32")

    @staticmethod
    def in_batches(function, values: np.ndarray, size: int = 250) -> np.ndarray:
        """What a function of tensors gives for rows, so many at a time."""
        return np.concatenate(
            [np.array(function(tf.constant(values[n : n + size]))) for n in range(0, len(values), size)]
        )

    def add(self, config, seconds: float, name: str, seed: int, row: Mapping) -> None:
        click.echo(json.dumps(self.ledger.add(dataclasses.asdict(config), seconds, run=name, seed=seed, **row)))


def mean_square(x: np.ndarray, y: np.ndarray) -> float:
    """Mean squared error of pixels in [0, 1]."""
    return float(np.square(x - y).mean(dtype=np.float64))


def eight_bits(x: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1] as uint8."""
    return np.rint(255.0 * np.clip(x, 0.0, 1.0)).astype(np.uint8)


@click.group()
def main() -> None:
    """The claims of generative codecs."""
    tf.get_logger().setLevel("ERROR")  # each phase is traced anew, which is meant


def common(command):
    """Options of every experiment."""
    for option in (
        click.option("--short", is_flag=True, help="Fewer steps and pictures."),
        click.option("--seeds", default="1,2,3", show_default=True),
        click.option("--work", required=True, help="Folder for records, generators and states."),
        click.option("--out", required=True, help="A JSON line for each finished run."),
    ):
        command = option(command)
    return command


@main.command("preserving")
@common
@click.option("--data", required=True, help="Packed pictures of 32 pixels (.npz).")
def preserving_command(out, work, seeds, short, data) -> None:
    """Distribution-preserving compression."""
    ledger = opened(out, short)
    experiment = Preserving(data, work, ledger, short)
    for seed in map(int, seeds.split(",")):
        for kind in ("wasserstein_pp", "wae"):
            experiment.generator(kind, seed)
        for rate in RATES:
            for plain in (False, True):
                experiment.codes(rate, seed, plain)
    click.echo(report(ledger.done))


@main.command("extreme")
@common
@click.option("--photos", required=True, help="Folder of photographs to learn from.")
@click.option("--test", required=True, help="Folder of photographs to measure on.")
def extreme_command(out, work, seeds, short, photos, test) -> None:
    """Generative compression, without label maps."""
    ledger = opened(out, short)
    experiment = generative_extreme.Extreme(photos, test, work, ledger, short)
    for seed in map(int, seeds.split(",")):
        experiment.seed(seed)
    click.echo(report(ledger.done))


@main.command("report")
@click.option("--out", required=True, help="The lines.")
def report_command(out) -> None:
    """Prints tables and verdicts, trains nothing."""
    click.echo(report(opened(out).done))


if __name__ == "__main__":
    main()
