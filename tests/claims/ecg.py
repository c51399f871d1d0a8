"""What the CNN and the CRNN of arXiv:1710.06122 reach on real recordings, at equal training time and over seeds.

    python -m tests.claims.ecg --data DIR --out FILE.jsonl --work DIR [--minutes 30] [--seeds 3] [--run NAME ...]

DIR holds the recordings of the PhysioNet/CinC Challenge 2017 as the data set `cinc2017` takes them; they are ingested
and transformed once, into the work folder. Runs are `ecg_cnn-1`, `ecg_crnn-1`, ... (a seed each, with augmentation),
`ecg_cnn-plain`, `ecg_crnn-plain` (seed 1 without) and, when named, `ecg_cnn-long` or `ecg_crnn-long` (three times the
minutes). A model's step is timed once on this machine, when nothing else should run, and kept beside FILE; a run has as
many steps as fit into the minutes. Every finished run is a line of FILE, measured on the test split, and an exported
model in the work folder; the same command goes on where it was stopped, in mid-training too. --report FILE.md writes
the table, which is printed anyway.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import time

import click
import keras
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from components.evaluation import ecg_results  # noqa: E402
from components.kinds.recordings import transform  # noqa: E402
from models.contract import registry  # noqa: E402
from models.publishing import export  # noqa: E402
from tests.claims.ecg_report import table  # noqa: E402

MODELS = ("ecg_cnn", "ecg_crnn")
PLAIN = {"bursts": False, "stretch": False}  # without augmentation
LONG = 3  # times the minutes
_TIMED_STEPS = 120
_LEFT_OUT = 6  # steps at the start of a phase: tracing, and the first batches
_EPOCHS = 20  # of a run: so often it is validated


class StepTimes(keras.callbacks.Callback):
    """Seconds of every step, in a list a phase of training."""

    def __init__(self):
        super().__init__()
        self.phases: list[list[float]] = []
        self.last = None

    def on_train_begin(self, logs=None):
        self.phases.append([])

    def on_epoch_begin(self, epoch, logs=None):
        self.last = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        self.phases[-1].append(now - self.last)
        self.last = now

    def mean(self) -> float:
        """Mean over all steps, each phase with its share of them; its first steps count as the others do on average."""
        counts = [len(p) for p in self.phases if p]
        means = [np.mean(p[min(_LEFT_OUT, len(p) - 1) :]) for p in self.phases if p]
        return float(np.average(means, weights=counts))


class Experiment:
    """Records, step times and finished runs."""

    def __init__(self, source: str, work: pathlib.Path, out: pathlib.Path, minutes: float, step_ms: dict[str, float]):
        self.work, self.out, self.minutes = work, out, minutes
        work.mkdir(parents=True, exist_ok=True)
        self.timed = out.with_suffix(".steps.json")
        known = json.loads(self.timed.read_text()) if self.timed.exists() else {}
        self.step_ms = known | step_ms
        records = work / "records"
        if not records.exists():
            ingested = ecg_results.ingest("cinc2017", source, work / "ingest")
            transform.transform(ingested, records)
        self.files = transform.split_files(records)
        lines = out.read_text().splitlines() if out.exists() else []
        self.done = {row["run"]: row for row in map(json.loads, lines)}

    def config(self, model: str, seed: int, augmented: bool, steps: int):
        """The configuration of a run."""
        options = {"seed": seed, "steps": steps, "steps_per_epoch": max(1, steps // _EPOCHS)}
        return registry.get(model).make_config("small", options | ({} if augmented else PLAIN))

    def milliseconds(self, model: str) -> float:
        """Mean time of a step of a model's training, measured when first asked for."""
        if model not in self.step_ms:
            timer, folder = StepTimes(), self.work / f"timing-{model}"
            shutil.rmtree(folder, ignore_errors=True)
            config = dataclasses.replace(self.config(model, 1, True, _TIMED_STEPS), steps_per_epoch=_TIMED_STEPS)
            ecg_results.trained(registry.get(model), config, self.files, folder, callbacks=[timer], progress=False)
            shutil.rmtree(folder)
            self.step_ms[model] = round(1000 * timer.mean(), 2)
            part = self.timed.with_suffix(".part")
            part.write_text(json.dumps(self.step_ms, indent=1))
            os.replace(part, self.timed)
        return self.step_ms[model]

    def run(self, name: str) -> None:
        """Does a run unless its line is there: trains, measures, exports, writes the line."""
        if name in self.done:
            return
        keras.utils.clear_session()
        model, _, what = name.partition("-")
        recipe, folder = registry.get(model), self.work / "runs" / name
        minutes = self.minutes * (LONG if what == "long" else 1)
        seed, augmented = (int(what) if what.isdecimal() else 1), what != "plain"
        step_ms = self.milliseconds(model)
        config = self.config(model, seed, augmented, max(1, round(60_000 * minutes / step_ms)))
        click.echo(f"{name}: {config.steps} steps of {step_ms} ms")
        trained, config, history = ecg_results.trained(recipe, config, self.files, folder)
        labels, p = ecg_results.answers(recipe, config, trained, self.files["test"])
        np.savez(folder / "answers.npz", labels=labels, probabilities=p)
        shutil.rmtree(folder / "model", ignore_errors=True)
        export.export(recipe, config, trained, str(folder / "model"))
        row = {"run": name, "model": model, "seed": seed, "augmented": augmented, "steps": config.steps,
               "step_ms": step_ms, "minutes": minutes, "seconds": history[-1]["seconds"],
               "parameters": trained.count_params(),
               **ecg_results.best_epoch(history, recipe.judge),
               **ecg_results.figures(labels, p, json.loads(config.class_names))}  # fmt: skip
        with self.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.done[name] = row
        shutil.rmtree(folder / "state")


def names_of(seeds: int) -> list[str]:
    """The runs that are done without being named, the models in turn."""
    whats = [*map(str, range(1, seeds + 1)), "plain"]
    return [f"{model}-{what}" for what in whats for model in MODELS]


def _step(_, __, values) -> dict[str, float]:
    """--step-ms NAME=MS, repeated, as a dict."""
    found = {}
    for value in values:
        name, equals, number = value.partition("=")
        if name not in MODELS or not equals:
            raise click.BadParameter(f"{value}: wanted is one of {', '.join(MODELS)}, =, milliseconds")
        found[name] = float(number)
    return found


@click.command()
@click.option("--data", "source", required=True, type=click.Path(exists=True), help="The challenge's recordings.")
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path), help="A JSON line a finished run.")
@click.option("--work", required=True, type=click.Path(path_type=pathlib.Path), help="Records, models, answers.")
@click.option("--minutes", default=30.0, show_default=True, help="Of training, a run.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--run", "wanted", multiple=True, metavar="NAME", help="[default: all but the long ones]")
@click.option("--step-ms", multiple=True, metavar="NAME=MS", callback=_step, help="A step's time, not to time it.")
@click.option("--report", type=click.Path(path_type=pathlib.Path), help="Where the table goes as well.")
@click.option("--table", "only_table", is_flag=True, help="Print the table, train nothing.")
def main(source, out, work, minutes, seeds, wanted, step_ms, report, only_table) -> None:
    """Do what is missing of the runs, then print the table."""
    possible = [*names_of(max(seeds, 9)), *(f"{model}-long" for model in MODELS)]
    if unknown := [name for name in wanted if name not in possible]:
        raise click.UsageError(f"--run {unknown[0]}: there are {', '.join([*names_of(seeds), *possible[-2:]])}")
    if not only_table:
        experiment = Experiment(source, work, out, minutes, step_ms)
        for name in wanted or names_of(seeds):
            experiment.run(name)
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    text = table(rows)
    if report:
        report.write_text(text + "\n", encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()
