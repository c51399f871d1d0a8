"""The command that searches for options without training a model for good: `sweep`."""

import json
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import click

from pipeline.arguments import sweeps
from pipeline.arguments.errors import UserError
from pipeline.arguments.given import checked, local_run, options_of, pipeline_of, recipe_options, verbose_option
from pipeline.arguments.paths import PATH, must_be_plain, must_be_writable
from tuning.plan import ALGORITHMS, WORKERS, Plan

_STEP = "Tuner"


@click.command("sweep")
@recipe_options
@click.option(
    "--trials", "tune", default=10, show_default=True, type=click.IntRange(1), help="How many options to try."
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that train at once."
)
@click.option(
    "--algorithm", default="bayesian", show_default=True, type=click.Choice(ALGORITHMS), help="What chooses them."
)
@click.option(
    "--steps-per-trial",
    "steps",
    default=0,
    type=click.IntRange(0),
    help="Steps of a trial, of the longest with hyperband. [default: a tenth of the configuration's]",
)
@click.option(
    "--patience",
    default=0,
    type=click.IntRange(0),
    metavar="EPOCHS",
    help="Give up a trial that came no further for so many epochs.",
)
@click.option("--objective", default="", metavar="NAME",
              help="What trials are compared by. [default: the recipe's judge]")  # fmt: skip
@click.option("--at-least", multiple=True, metavar="NAME=X", help="A bound of a number; repeatable.")
@click.option("--at-most", multiple=True, metavar="NAME=X", help="The same from above.")
@click.option("--out", type=PATH, help="Where everything of this search goes. [default: runs/RECIPE]")
@verbose_option
def command(recipe, out, verbose, workers, algorithm, steps, patience, objective, at_least, at_most, **chosen) -> None:
    """Try options of RECIPE in short trainings and list them, the best first.

    An interrupted search goes on with the trials that are missing; a worker that dies is started again. OUT/sweep.json
    holds the results, which `run --hyperparameters` takes, OUT/sweep.html shows them, OUT/sweep is for TensorBoard.

    --objective and bounds: a number of the validation (val_loss, val_accuracy), seconds_per_step, latency_ms (of
    serving_default, one record at a time), model_bytes, parameters, or a metric of the evaluation. Trials outside the
    bounds come last; exit code 1: all are.

    `run` with the same options and --out, and --tune as many as the trials, takes the result of a search with the usual
    algorithm and steps from the cache.
    """  # fmt: skip
    out = (out or pathlib.Path("runs") / recipe).absolute()
    must_be_plain("--out", out)
    must_be_writable("--out", out)
    plan = Plan(chosen["tune"], algorithm, steps, patience, objective, _bounds("--at-least", at_least),
                _bounds("--at-most", at_most))  # fmt: skip
    found, config, data = checked(recipe, **chosen)
    judge = _judge(found, plan, workers)
    with local_run(out, verbose) as (local, console):
        os.environ[WORKERS] = str(workers)
        options = options_of(
            found, config, data, chosen, root=str(out / "artifacts"), resume_dir=str(out / "training"),
            push_dir=str(out / "serving" / recipe), metadata=str(out / "metadata.sqlite"),
            sweep_logs=str(out / "sweep"), plan=plan.said(),
        )  # fmt: skip
        try:
            done = local.run(pipeline_of(options), console, up_to=_STEP)
        finally:
            del os.environ[WORKERS]
    results = pathlib.Path(done[-1].outputs["tuner_results"].uri) / "tuner_results.json"
    trials = sweeps.ordered(json.loads(results.read_text(encoding="utf-8")), judge)
    from components.report import sweep as page

    page.write(out / "sweep.html", sweeps.write(out / sweeps.FILE, found, config, judge, vars(plan), data, trials))
    for what, place in (("results", out / sweeps.FILE), ("page", out / "sweep.html")):
        click.echo(f"{what:10}{place}")
    click.echo(f"{'curves':10}tensorboard --logdir {out / 'sweep'}\n")
    click.echo(table(trials, judge))
    if sweeps.outside(trials[0], judge, plan):
        raise UserError(f"no trial keeps to the bounds; trial {trials[0]['trial']}, the first, comes nearest", status=1)


def _bounds(option: str, given: Sequence[str]) -> dict[str, float]:
    """NAME=X, ... as {name: number}."""
    bounds = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            bounds[name] = float(value)
        except ValueError:
            equals = ""
        if not name or not equals or not math.isfinite(bounds[name]):
            raise UserError(f"{option} {text}: wanted is NAME=NUMBER")
    return bounds


def _judge(recipe, plan: Plan, workers: int):
    """What trials are compared by; times are refused where workers would disturb each other's."""
    from tuning import measure

    judge = measure.judge_of(recipe, plan.objective)
    names = (judge.name, *(measure.judge_of(recipe, name).name for name in plan.bounded))
    if workers > 1 and (times := set(names) & set(measure.TIMES)):
        raise UserError(f"{', '.join(times)} with --workers {workers}: they would disturb each other's times; take one")
    return judge


def table(trials: Sequence[dict[str, Any]], judge) -> str:
    """Trials as lines of text, the best first as they are given, and the settings of the best as they were found."""
    head = judge.title
    names = [*trials[0].get("measured", {}), *trials[0]["values"]]
    width = max(12, *(len(name) + 2 for name in names))
    lines = [head + "".join(f"{name:>{width}}" for name in names)]
    for trial in trials:
        score = f"{trial['score']:{len(head)}.5f}"
        values = trial.get("measured", {}) | trial["values"]
        lines.append(score + "".join(f"{_value(values[name]):>{width}}" for name in names))
    best = " ".join(f"--set {name}={value}" for name, value in trials[0]["values"].items())
    return "\n".join([*lines, "", f"the best: {best}"])


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
