"""Which claims of StrassenNets (arXiv:1712.03942) hold here: the search for algorithms, and networks with a budget.

    python -m tests.claims.strassen search --out FILE.jsonl [--seeds 1,2,3]
    python -m tests.claims.strassen networks --out FILE.jsonl --work DIR [--data cifar10.npz] [--seeds 1,2,3,4,5]
    python -m tests.claims.strassen report --out FILE.jsonl

Search: 256 restarts side by side for each procedure of SEARCHES and each seed, trained by the one loop on simulated
pairs. Networks: six layers (SmallCNN), once plain, with each budget of BUDGETS in three phases at as many steps, and
once more with the plain network as the teacher; on the digits of scikit-learn (1,200 to learn from, 397 to test), or on
packed CIFAR-10 without augmentation. Each finished run is a line of FILE, so that the same command goes on where it was
stopped.
"""

import dataclasses
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping

import click
import keras
import numpy as np
import tensorflow as tf
from sklearn import datasets

from components.kinds.matrices import kind as matrices
from components.kinds.pictures.packed import pictures, read_packed
from models.contract import registry
from models.layers import cost
from models.layers.strassen import SumProduct
from models.layers.ternary import FORMS
from models.strassen import algorithm as algorithms
from models.strassen.bilinear_serving import BilinearServer
from models.training import loop
from tests.claims import packed_records
from tests.claims.ledger import Ledger
from tests.claims.strassen_report import report

_STE = {"method": "ste", "steps": 3500, "full_share": 0.1429, "learning_rate": 0.003}
SEARCHES = {
    "pull": {},
    "pull, a third of the steps": {"steps": 1500},
    "pull, rate 0.003": {"learning_rate": 0.003},
    "pull, then straight-through": {"method": "pull_ste", "steps": 5500, "full_share": 0.2727},
    "straight-through": _STE,
    "pull on pairs": {"error": "pairs"},
    "straight-through on pairs": _STE | {"error": "pairs"},
    "rank 6": {"rank": 6},
    "2x2 by 2x3, rank 11": {"columns": 3, "rank": 11},
    "3x3, rank 23": {"rows": 3, "inner": 3, "columns": 3, "rank": 23, "restarts": 48, "steps": 9000},
}
BUDGETS = (0.25, 0.5, 1.0, 2.0)
TAUGHT = 1.0  # the budget that is also trained with a teacher
SIDE = 64  # of the matrices that a found algorithm is applied to


@dataclasses.dataclass(frozen=True)
class Setting:
    """A data set and how long a network is trained on it."""

    width: int
    steps: int
    batch: int = 64


SETTINGS = {"digits": Setting(8, 900), "cifar10": Setting(16, 2400)}


def opened(out: str) -> Ledger:
    """The finished runs of a file."""
    return Ledger(out, ("run", "seed"), sys.modules[__name__])


def pairs(folder: pathlib.Path) -> dict[str, str]:
    """Record files of the simulated pairs, by split."""
    random = {"train": range(200), "validation": range(200, 240)}
    files = {}
    for split, seeds in random.items():
        files[split] = str(folder / f"{split}.gz")
        with tf.io.TFRecordWriter(files[split], "GZIP") as writer:
            for seed in seeds:
                drawn = next(matrices.drawn(seed)).value
                writer.write(matrices.KIND.records.build(*drawn).SerializeToString())
    return files


def search(options: Mapping, seed: int) -> dict:
    """What the searches of one procedure and seed come to."""
    recipe = registry.get("bilinear")
    config = recipe.make_config("small", dict(options) | {"seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        files = pairs(pathlib.Path(folder))
        start = time.monotonic()
        model = loop.train(recipe, config, [files["train"]], [files["validation"]], work_dir=f"{folder}/work",
                           log_dir=f"{folder}/logs", progress=False)  # fmt: skip
        seconds = time.monotonic() - start
    found = model.found()
    exact = [n for n, one in enumerate(found) if one.wrong == 0]
    row = {"restarts": len(found), "exact": len(exact), "seconds": seconds}
    row["least_wrong"] = min(one.wrong for one in found)
    # How many restarts it took from one success to the next.
    gaps = np.diff([-1, *exact])
    row["median_restarts"] = float(np.median(gaps)) if exact else None
    row["nonzeros"] = min((found[n].nonzeros for n in exact), default=None)
    row["additions"] = min((found[n].additions for n in exact), default=None)
    if exact and config.sizes == (2, 2, 2):
        row |= recursion(model, config, model.best())
    return row


def recursion(model, config, algorithm: algorithms.Algorithm) -> dict:
    """Multiplications of a product of whole numbers, and whether it came out exactly."""
    random = np.random.default_rng(config.seed)
    left, right = random.integers(-8, 9, (2, 1, SIDE, SIDE)).astype("float32")
    answers = BilinearServer(model, config, algorithm).multiply(tf.constant(left), tf.constant(right))
    return {"products_64": int(answers["multiplications"][0]),
            "right_64": bool(np.array_equal(answers["product"], left @ right))}  # fmt: skip


def published() -> dict:
    """How often the printed solution's tensor is wrong, read in either order, and its recursion."""
    row = {f"wrong_{o}": algorithms.of_order((2, 2, 2), *algorithms.PUBLISHED, order=o).wrong
           for o in algorithms.ORDERS}  # fmt: skip
    recipe = registry.get("bilinear")
    config = recipe.make_config("small", {"restarts": 1})
    algorithm = algorithms.of_order((2, 2, 2), *algorithms.PUBLISHED, order="columns")
    return (
        row
        | {"nonzeros": algorithm.nonzeros, "additions": algorithm.additions}
        | recursion(recipe.build(config), config, algorithm)
    )


class Experiment:
    """Records and runs of one data set."""

    def __init__(self, npz: str, work: str, ledger: Ledger, steps: int = 0):
        self.name, self.ledger, self.work = ("cifar10" if npz else "digits"), ledger, pathlib.Path(work)
        self.setting = SETTINGS[self.name]
        if steps:
            self.setting = dataclasses.replace(self.setting, steps=steps)
        self.work.mkdir(parents=True, exist_ok=True)
        if npz:
            sets = {s: tuple(map(np.stack, zip(*pictures(npz, s), strict=True))) for s in ("train", "test")}
            (x, y), test = sets["train"], sets["test"]
            self.classes, held = len(read_packed(npz).names), 1200
        else:
            found, order = datasets.load_digits(), np.random.default_rng(0).permutation(1797)
            grey = (found.images[order] * (255 / 16)).round().astype("uint8")
            x, y = np.repeat(grey[..., None], 3, -1), found.target[order]
            (x, y), test = (x[:1400], y[:1400]), (x[1400:], y[1400:])
            self.classes, held = 10, 200
        self.x, self.y = test[0].astype("float32") / 255.0, test[1]
        self.files = {
            split: packed_records.write(self.work / f"{self.name}-{split}.gz", split, x[part], y[part])
            for split, part in (("train", slice(-held)), ("validation", slice(-held, None)))
        }

    def options(self, seed: int) -> dict:
        """Options of every run."""
        s = self.setting
        return {"classes": self.classes, "image_size": self.x.shape[1], "batch_size": s.batch, "seed": seed,
                "steps": s.steps, "steps_per_epoch": 100, "learning_rate": 3e-3, "weight_decay": 1e-3}  # fmt: skip

    def accuracy(self, network: keras.Model) -> float:
        """Share of the test pictures that a network gets right."""
        return float((network.predict(self.x, batch_size=256, verbose=0).argmax(1) == self.y).mean())

    def teacher(self, seed: int) -> str:
        """Path of the plain network of a seed, trained when first asked for."""
        path = self.work / f"{self.name}-plain-{seed}.keras"
        if not path.exists():
            recipe = registry.get("small_cnn")
            config = recipe.make_config("small", self.options(seed) | {"width": self.setting.width})
            model, seconds, _ = self.fit(recipe, config, f"plain-{seed}")
            row = {"accuracy": self.accuracy(model.network)} | counted(model.network)
            self.ledger.add(dataclasses.asdict(config), seconds, run=f"{self.name}, plain", seed=seed, **row)
            model.save(path)
        return str(path)

    def fit(self, recipe, config, name: str) -> tuple[keras.Model, float, dict[str, float]]:
        """The trained model, its seconds, and the accuracy that each phase left."""
        after: dict[str, float] = {}

        def watched(config, files):
            phases = (recipe.phases)(config, files)
            phase, model = next(phases), None
            while phase:
                model = yield phase
                own = getattr(model, "student", model)
                after[phase.name] = self.accuracy(own.network)
                try:
                    phase = phases.send(model)
                except StopIteration:
                    return

        keras.utils.clear_session()
        folder, start = self.work / "runs" / f"{self.name}-{name}", time.monotonic()
        model = loop.train(
            dataclasses.replace(recipe, phases=watched), config, [self.files["train"]], [self.files["validation"]],
            work_dir=str(folder / "state"), log_dir=str(folder / "logs"), progress=False,
        )  # fmt: skip
        return model, time.monotonic() - start, after

    def run(self, seed: int, budget: float, taught: bool) -> None:
        """Trains a network with a budget, with or without a teacher, unless its line is there."""
        name = f"{self.name}, r = {budget:g} c" + (", taught" if taught else "")
        if (name, seed) in self.ledger.done:
            return
        teacher = self.teacher(seed)
        options = self.options(seed) | {"budget": budget}
        if taught:
            recipe = registry.get("strassen_resnet")
            settings = {"student": "small_cnn", "student_settings": f"width={self.setting.width}", "teacher": teacher}
            config = recipe.make_config("small", options | settings)
        else:
            recipe = registry.get("small_cnn")
            config = recipe.make_config("small", options | {"width": self.setting.width})
        model, seconds, after = self.fit(recipe, config, f"{name}-{seed}".replace(" ", ""))
        network = getattr(model, "student", model).network
        row = {"accuracy": self.accuracy(network), "after": after} | counted(network)
        click.echo(json.dumps(self.ledger.add(dataclasses.asdict(config), seconds, run=name, seed=seed, **row)))


def counted(network: keras.Model) -> dict:
    """Operations of one picture, and multiplications as the formula r H W / p^2 has them."""
    rows = cost.operations(network)
    layers = [layer for layer in network.layers if isinstance(layer, SumProduct)]
    formula = sum(la.products * la.output.shape[1] * la.output.shape[2] // la.patch**2 for la in layers)
    own = [row for row in rows if row.kind == "sum-product"]
    return {
        "multiplications": sum(row.multiplications for row in rows),
        "additions": sum(row.additions for row in rows),
        "of_layers": sum(row.multiplications for row in own), "formula": formula,
    }  # fmt: skip


@click.group()
def main() -> None:
    """The claims of StrassenNets."""
    tf.get_logger().setLevel("ERROR")  # each phase is traced anew, which is meant


@main.command("search")
@click.option("--out", required=True, help="A JSON line for each finished run.")
@click.option("--seeds", default="1,2,3", show_default=True)
def search_command(out, seeds) -> None:
    """Searches by every procedure, and the printed solution."""
    ledger = opened(out)
    if ("published", 0) not in ledger.done:
        ledger.add({}, 0.0, run="published", seed=0, **published())
    for seed in map(int, seeds.split(",")):
        for name, options in SEARCHES.items():
            if (name, seed) not in ledger.done:
                keras.utils.clear_session()
                click.echo(json.dumps(ledger.add(options, run=name, seed=seed, **search(options, seed))))
    click.echo(report(ledger.done, FORMS))


@main.command("networks")
@click.option("--out", required=True, help="A JSON line for each finished run.")
@click.option("--work", required=True, help="Records, teachers, states of unfinished trainings.")
@click.option("--data", "npz", default="", help="Packed pictures; without it the digits.")
@click.option("--seeds", default="1,2,3,4,5", show_default=True)
@click.option("--steps", default=0, help="Of every training, to try the script.")
def networks_command(out, work, npz, seeds, steps) -> None:
    """Networks with every budget, with and without a teacher."""
    ledger = opened(out)
    experiment = Experiment(npz, work, ledger, steps)
    for seed in map(int, seeds.split(",")):
        for budget in BUDGETS:
            experiment.run(seed, budget, False)
        experiment.run(seed, TAUGHT, True)
    click.echo(report(ledger.done, FORMS))


@main.command("report")
@click.option("--out", required=True, help="The lines.")
def report_command(out) -> None:
    """Prints the tables and the claims, trains nothing."""
    click.echo(report(opened(out).done, FORMS))


if __name__ == "__main__":
    main()
