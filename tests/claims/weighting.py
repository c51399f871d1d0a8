"""What a searched weighting policy (LAW, arXiv:1905.11058) is worth beside rules that are given the same clean labels.

    python -m tests.claims.weighting digits --work DIR --out FILE.jsonl
    python -m tests.claims.weighting cifar --data cifar10.npz --work DIR --out FILE.jsonl

digits: scikit-learn's, split anew for each seed into 800 for training, 197 for validation, 800 for the test. cifar: the
packed CIFAR-10, the last 1,200 training pictures for validation. A classifier of six layers and 8 channels, 30 % of the
training labels wrong, and a share of clean examples that all methods are given: to train on, but for early stopping (to
stop by) and gradient-based weights (to compare with). Every finished run is a line of FILE, so that the same command
goes on where it was stopped, in mid-training too; --report prints the tables from the lines there are. Hyper-parameters
were chosen on the validation pictures of other seeds (from 11 on).
"""

import dataclasses
import pathlib
import sys
import time

import click
import keras
import numpy as np
import tensorflow as tf
from sklearn import datasets

from components.kinds.pictures.packed import pictures
from models.contract import registry
from models.training import loop
from models.weighting import law
from models.weighting.inputs import clean_examples
from tests.claims import packed_records
from tests.claims.ledger import Ledger
from tests.claims.weighting_report import RULES, report

NOISE = 0.3
REPEATS = 8  # of a stage, for the variance of its reward


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes of one data set's runs: steps of a training; episodes and stages of a search, and steps of an episode."""

    side: int
    steps: int
    clean_share: float
    episodes: int = 12
    stages: int = 10
    episode_steps: int = 700
    agent: dict = dataclasses.field(default_factory=dict)


SETTINGS = {
    "digits": Setting(side=8, steps=1000, clean_share=0.15),
    "cifar": Setting(side=32, steps=2300, clean_share=0.1, episodes=8, episode_steps=1200),
}


class Experiment:
    """Records and finished runs of one data set in a folder."""

    def __init__(self, name: str, npz: str, work: str, out: str, setting: Setting):
        self.name, self.npz, self.setting = name, npz, setting
        self.work = pathlib.Path(work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(out, ("run", "seed"), sys.modules[__name__])
        self.done = self.ledger.done

    def pieces(self, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Split -> pixels uint8 [N, S, S, 3], labels [N]; of digits another split for each seed."""
        if self.name == "digits":
            found = datasets.load_digits()
            order = np.random.default_rng(seed).permutation(len(found.target))
            x = np.repeat((found.images * (255 / 16)).round().astype("uint8")[..., None], 3, -1)
            parts = {"train": order[:800], "validation": order[800:997], "test": order[997:]}
            return {split: (x[places], found.target[places]) for split, places in parts.items()}
        train, test = (tuple(map(np.stack, zip(*pictures(self.npz, s), strict=True))) for s in ("train", "test"))
        return {"train": tuple(a[:-1200] for a in train), "validation": tuple(a[-1200:] for a in train), "test": test}

    def files(self, seed: int) -> dict[str, str]:
        """Record files by split, written once."""
        tag = seed if self.name == "digits" else "all"
        found = {s: self.work / f"{self.name}-{tag}-{s}.gz" for s in ("train", "validation", "test")}
        if not all(path.exists() for path in found.values()):
            for split, (x, y) in self.pieces(seed).items():
                packed_records.write(found[split], split, x, y)
        return {split: str(path) for split, path in found.items()}

    def config(self, seed: int, weighting: str, **options) -> law.LawConfig:
        """Of a run; a search comes before as many steps as all others have."""
        s = self.setting
        search = s.episodes * s.episode_steps if weighting == "law" else 0
        common = {
            "classes": 10, "image_size": s.side, "batch_size": 64, "learning_rate": 3e-3, "weight_decay": 0.0,
            "classifier_settings": "width=8", "clean_share": s.clean_share, "label_noise": NOISE, "noise_seed": seed,
            "seed": seed, "weighting": weighting, "steps": s.steps + search, "steps_per_epoch": 100,
            "episodes": s.episodes, "stages": s.stages, "search_share": (search + 0.5) / (s.steps + search),
        }  # fmt: skip
        return registry.get("law").make_config("small", common | s.agent | options)

    def run(self, name: str, seed: int, **options) -> None:
        """Trains and measures, unless the line is there."""
        if (name, seed) in self.done:
            return
        keras.utils.clear_session()
        recipe, files, start = registry.get("law"), self.files(seed), time.monotonic()
        folder = self.work / "runs" / f"{self.name}-{name}-{seed}"
        config = self.config(seed, **options)
        model = loop.train(recipe, config, [files["train"]], [files["validation"]], work_dir=str(folder / "state"),
                           log_dir=str(folder / "logs"))  # fmt: skip
        seconds = time.monotonic() - start
        accuracies = {split: self.accuracy(model, config, files[split]) for split in ("validation", "test")}
        figures = accuracies | model.summary()
        self.ledger.add(dataclasses.asdict(config), seconds, run=name, seed=seed, **figures)
        click.echo(f"{name} {seed} {seconds:.0f} s {accuracies}")

    def accuracy(self, model, config, file: str) -> float:
        """Share of right answers, with the records' own labels."""
        hits = [np.array(model(x, training=False)).argmax(1) == np.array(y).argmax(1)
                for x, y in registry.get("law").inputs([file], config, False)]  # fmt: skip
        return float(np.concatenate(hits).mean())

    def variance(self, seed: int) -> None:
        """Variance of one policy's reward for a first stage over orders of the data: with a duplicate that sees
        the same batches, and with one that sees others.
        """
        if ("variance", seed) in self.done:
            return
        keras.utils.clear_session()
        start = time.monotonic()
        files, config = [self.files(seed)["train"]], self.config(seed, "law", exploration=0.6)
        (phase, *_) = law.phases(config, None)
        config = phase.config(config)
        model = loop.compiled_model(registry.get("law"), config, phase)
        step, clean, scores = tf.function(model.train_step), clean_examples(files, config), []
        for repeat in range(REPEATS):
            model.begin()
            model.agent.step.assign(0)
            batches = law.inputs(files, dataclasses.replace(config, seed=1000 * seed + repeat), True)
            for batch in batches.take(model.stage_steps):
                step(batch)
            scores.append(model.scores(*clean))
        target, reference = np.array(scores).T
        shared, apart = (target - np.roll(reference, n) for n in (0, 1))
        found = {"shared": float(shared.var(ddof=1)), "independent": float(apart.var(ddof=1))}
        self.ledger.add(dataclasses.asdict(config), time.monotonic() - start, run="variance", seed=seed, **found)


@click.command()
@click.argument("data_set", type=click.Choice(list(SETTINGS)))
@click.option("--data", "npz", type=click.Path(exists=True, dir_okay=False), help="Packed pictures, of cifar.")
@click.option("--work", required=True, help="Records and states.")
@click.option("--out", required=True, help="A JSON line for each finished run.")
@click.option("--seeds", default="1,2,3", show_default=True)
@click.option("--only", default="", help="Runs to do, separated by commas.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Options of all runs, to choose them.")
@click.option("--report", "only_report", is_flag=True, help="Print the tables, train nothing.")
def main(data_set, npz, work, out, seeds, only, settings, only_report) -> None:
    """Does what is missing of the experiment, then prints the tables."""
    setting = SETTINGS[data_set]
    setting = dataclasses.replace(setting, agent=setting.agent | dict(s.split("=", 1) for s in settings))
    if data_set == "cifar" and not npz and not only_report:
        raise click.UsageError("cifar needs --data")
    experiment = Experiment(data_set, npz, work, out, setting)
    runs = {rule: {"weighting": rule} for rule in RULES}
    runs |= {f"clean_{name}": {"weighting": name, "label_noise": 0.0} for name in ("uniform", "law")}
    if data_set == "digits":
        runs["law_one_transition"] = {"weighting": "law", "full_data": False}
    wanted = set(filter(None, only.split(","))) or {*runs, "variance"}
    for seed in [] if only_report else [int(s) for s in seeds.split(",")]:
        for name in runs:
            if name in wanted:
                experiment.run(name, seed, **runs[name])
        if "variance" in wanted:
            experiment.variance(seed)
    click.echo(report(experiment.done))


if __name__ == "__main__":
    main()
