"""What the networks for electrocardiograms reach on people never seen: 5-fold cross-validation over all recordings.

    python -m tests.claims.ecg --data DIR --out FILE.jsonl --work DIR [--minutes 20] [--folds 5] [--run NAME ...]

DIR holds recordings of the PhysioNet/CinC Challenge 2017 as the data set `cinc2017` takes them. All of them are pooled
and dealt to folds, whatever split they have; a fold is tested by a model that learned from the others and whose epoch
was chosen on a tenth of those. Nothing is chosen by what is tested.

Runs are a model and a variant of `VARIANTS`, `ecg_cnn-fine` say; without --run all models, as their preset is. A fold
of a run costs the same minutes of training: a model's step is timed once on this machine, when nothing else should run,
and kept beside FILE; validation comes on top. A trained model answers the test fold in several ways (`WAYS`).

Every finished fold of a run is a line of FILE and a model in the work folder; the same command goes on where it was
stopped, in mid-training too. --report FILE.md writes the page, which is printed anyway.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import sys

import click
import keras
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from components.evaluation import class_scores, cross_validation, ecg_results  # noqa: E402
from components.kinds.recordings import transform  # noqa: E402
from models.contract import registry  # noqa: E402
from models.files import write_text  # noqa: E402
from models.publishing import pushed  # noqa: E402
from tests.claims import ecg_report  # noqa: E402
from tests.claims.ecg_report import MODELS, page  # noqa: E402
from tests.claims.ledger import Ledger  # noqa: E402
from tests.claims.step_times import StepTimes  # noqa: E402

VARIANTS = {
    "preset": {},
    "unaugmented": {"bursts": False, "stretch": False},
    "averaged": {"average_from": 2 / 3},
    "fine": {"hop": 11, "overlap": 6, "highest": 50.0},  # a frame each 37 ms, up to 50 Hz
}
WAYS = {"once": {}, "3 speeds": {"stretches": 3}, "5 speeds": {"stretches": 5}}
OFFSETS = "5 speeds, offsets"  # of classes, chosen on the fold's validation recordings
_TIMED_STEPS = 120
_EPOCHS = 20  # of a run: so often it is validated


class Experiment:
    """Records of the folds, step times and finished runs."""

    def __init__(self, source: str, work: pathlib.Path, out: pathlib.Path, minutes: float, folds: int):
        self.work, self.minutes, self.folds = work, minutes, folds
        work.mkdir(parents=True, exist_ok=True)
        self.ingested = ecg_results.ingest("cinc2017", source, work / "ingest")
        self.ledger = Ledger(out, ("run", "fold"), sys.modules[__name__], ecg_report)
        self.timed = out.with_suffix(".steps.json")
        self.step_ms = json.loads(self.timed.read_text()) if self.timed.exists() else {}

    def files(self, fold: int) -> dict[str, list[str]]:
        """Transformed records of a fold by their role, the same for every run."""
        prepared = self.work / f"fold-{fold + 1} of {self.folds}"
        if not prepared.exists():
            given = cross_validation.write_roles(self.ingested, self.folds, fold, self.work / "roles")
            transform.transform(given, prepared)
            shutil.rmtree(self.work / "roles")
        return transform.split_files(prepared)

    def config(self, name: str, steps: int):
        """The configuration of a run."""
        model, _, variant = name.partition("-")
        options = {"steps": steps, "steps_per_epoch": max(1, steps // _EPOCHS)}
        return registry.get(model).make_config("small", options | VARIANTS[variant])

    def milliseconds(self, name: str) -> float:
        """Mean time of a step of a run's training, measured when first asked for."""
        if name not in self.step_ms:
            timer, folder = StepTimes(), self.work / f"timing-{name}"
            shutil.rmtree(folder, ignore_errors=True)
            config = dataclasses.replace(self.config(name, _TIMED_STEPS), steps_per_epoch=_TIMED_STEPS)
            recipe = registry.get(name.partition("-")[0])
            ecg_results.trained(recipe, config, self.files(0), folder, callbacks=[timer], progress=False)
            shutil.rmtree(folder)
            self.step_ms[name] = round(1000 * timer.mean(), 2)
            write_text(self.timed, json.dumps(self.step_ms, indent=1))
        return self.step_ms[name]

    def run(self, name: str, fold: int) -> None:
        """Does a fold, counted from 0, of a run unless its line is there: trains, measures, writes the line."""
        if (name, fold + 1) in self.ledger.done:
            return
        keras.utils.clear_session()
        model, _, variant = name.partition("-")
        recipe, folder = registry.get(model), self.work / "runs" / f"{name}-{fold + 1} of {self.folds}"
        step_ms, files = self.milliseconds(name), self.files(fold)
        config = self.config(name, max(1, round(60_000 * self.minutes / step_ms)))
        click.echo(f"{name}, fold {fold + 1}: {config.steps} steps of {step_ms} ms")
        trained, config, history = ecg_results.trained(recipe, config, files, folder)
        figures = answered(recipe, config, trained, files)
        pushed.save(folder / "model", recipe, config, pushed.anew(recipe, config, trained))
        options = dataclasses.asdict(config) | {"folds": self.folds}
        self.ledger.add(options, history[-1]["seconds"], run=name, model=model, variant=variant, fold=fold + 1,
                        folds=self.folds, steps=config.steps, step_ms=step_ms, minutes=self.minutes,
                        parameters=trained.count_params(), **ecg_results.best_epoch(history, recipe.judge),
                        names=json.loads(config.class_names), **figures)  # fmt: skip
        shutil.rmtree(folder / "state")


def answered(recipe, config, trained, files) -> dict:
    """Of each way of answering the test fold "confusion" [K][K] and "challenge_f1"; "offsets" chosen on validation."""
    names, found = json.loads(config.class_names), {}
    for way, options in WAYS.items():
        model = recipe.build(dataclasses.replace(config, init="", **options))
        model.set_weights(trained.get_weights())
        found[way] = ecg_results.answers(recipe, config, model, files["test"])
    offsets = ecg_results.chosen_offsets(*ecg_results.answers(recipe, config, model, files["validation"]), names)
    labels, p = found[way]
    found[OFFSETS] = labels, p * np.exp(offsets)
    confusions = {w: class_scores.counted(labels, p.argmax(1), len(names)) for w, (labels, p) in found.items()}
    return {"confusion": {way: counts.tolist() for way, counts in confusions.items()}, "offsets": offsets,
            "challenge_f1": {w: float(class_scores.challenge_f1(c, names)) for w, c in confusions.items()}}  # fmt: skip


def runs() -> list[str]:
    """All that there are; networks on samples have no resolution."""
    return [f"{m}-{v}" for v in VARIANTS for m in MODELS if (m, v) != ("ecg_resnet", "fine")]


@click.command()
@click.option("--data", "source", required=True, type=click.Path(exists=True), help="The challenge's recordings.")
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path), help="A JSON line a fold of a run.")
@click.option("--work", required=True, type=click.Path(path_type=pathlib.Path), help="Records and models.")
@click.option("--minutes", default=20.0, show_default=True, help="Of training, a fold of a run.")
@click.option("--folds", default=5, show_default=True, type=click.IntRange(3))
@click.option("--run", "wanted", multiple=True, metavar="NAME", help="[default: every model as its preset is]")
@click.option("--report", type=click.Path(path_type=pathlib.Path), help="Where the page goes as well.")
def main(source, out, work, minutes, folds, wanted, report) -> None:
    """Do what is missing of the runs, fold by fold, then print the page."""
    if unknown := [name for name in wanted if name not in runs()]:
        raise click.UsageError(f"--run {unknown[0]}: there are {', '.join(runs())}")
    experiment = Experiment(source, work, out, minutes, folds)
    wanted = wanted or [f"{model}-preset" for model in MODELS]
    for name in wanted:
        experiment.milliseconds(name)  # of all before the first training, when the machine is idle
    for fold in range(folds):
        for name in wanted:
            experiment.run(name, fold)
    text = page(list(experiment.ledger.done.values()))
    if report:
        write_text(report, text + "\n")
    click.echo(text)


if __name__ == "__main__":
    main()
