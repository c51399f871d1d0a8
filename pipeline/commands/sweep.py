"""The command that searches for options without training a model for good: `sweep`."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import click

from pipeline.arguments import sweeps
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
@click.option("--out", type=PATH, help="Where everything of this search goes. [default: runs/RECIPE]")
@verbose_option
def command(recipe, out, verbose, workers, algorithm, steps, patience, **chosen) -> None:
    """Try options of RECIPE in short trainings and list them, the best first.

    An interrupted search goes on with the trials that are missing; a worker that dies is started again. OUT/sweep.json
    holds the results, which `run --hyperparameters` takes, OUT/sweep.html shows them, OUT/sweep is for TensorBoard.

    `run` with the same options and --out, and --tune as many as the trials, takes the result of a search with the usual
    algorithm and steps from the cache.
    """  # fmt: skip
    out = (out or pathlib.Path("runs") / recipe).absolute()
    must_be_plain("--out", out)
    must_be_writable("--out", out)
    found, config, data = checked(recipe, **chosen)
    with local_run(out, verbose) as (local, console):
        plan = Plan(chosen["tune"], algorithm, steps, patience)
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
    trials = sweeps.ordered(json.loads(results.read_text(encoding="utf-8")), found.judge)
    from components.report import sweep as page

    page.write(out / "sweep.html", sweeps.write(out / sweeps.FILE, found, config, vars(plan), data, trials))
    for what, place in (("results", out / sweeps.FILE), ("page", out / "sweep.html")):
        click.echo(f"{what:10}{place}")
    click.echo(f"{'curves':10}tensorboard --logdir {out / 'sweep'}\n")
    click.echo(table(trials, found.judge))


def table(trials: Sequence[dict[str, Any]], judge) -> str:
    """Trials as lines of text, the best first as they are given, and the settings of the best as they were found."""
    head = judge.title
    names = list(trials[0]["values"])
    width = max(12, *(len(name) + 2 for name in names))
    lines = [head + "".join(f"{name:>{width}}" for name in names)]
    for trial in trials:
        score = f"{trial['score']:{len(head)}.5f}"
        lines.append(score + "".join(f"{_value(trial['values'][name]):>{width}}" for name in names))
    best = " ".join(f"--set {name}={value}" for name, value in trials[0]["values"].items())
    return "\n".join([*lines, "", f"the best: {best}"])


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
