"""The command that searches for options without training a model for good: `sweep`."""

import contextlib
import json
import math
import os
import pathlib
import uuid
from collections.abc import Sequence
from typing import Any

import click

from models.contract.errors import KompaktError
from models.files import write_text
from pipeline.arguments import sweeps
from pipeline.arguments.errors import UserError
from pipeline.arguments.given import checked, local_run, options_of, pipeline_of, recipe_options, verbose_option
from pipeline.arguments.paths import PATH, must_be_plain, must_be_writable, shown
from tuning import cluster
from tuning.plan import ALGORITHMS, WORKERS, Plan

_STEP = "Tuner"
_OF_JOBS = ("manifest", "image", "claim", "mount", "cpus", "memory", "gpus")


def _job_options(command):
    """The options that say how jobs of a manifest run."""
    for option in reversed(
        (
            click.option("--image", default="kompakt:latest", show_default=True, help="Of its pods."),
            click.option("--claim", help="Volume claim that all of them see, with data and --out."),
            click.option("--mount", default="/mnt/kompakt", show_default=True, help="Where they see it."),
            click.option("--cpus", default=2.0, show_default=True, type=click.FloatRange(0, min_open=True),
                         help="Processors of a worker."),
            click.option("--memory", default="4Gi", show_default=True, help="Of a worker."),
            click.option("--gpus", default=0, show_default=True, type=click.IntRange(0), help="Of a worker."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


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
@click.option("--manifest", type=PATH, help="Write Kubernetes jobs (.yaml) that do this sweep, and do nothing.")
@_job_options
@verbose_option
@click.pass_context
def command(context, recipe, out, verbose, workers, algorithm, steps, patience, objective, at_least, at_most, manifest,
            **chosen) -> None:  # fmt: skip
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
    if manifest is None:
        must_be_writable("--out", out)
    role = cluster.taken(os.environ, out)
    if role and not role.is_chief:
        raise SystemExit(cluster.work(role))
    plan = Plan(chosen["tune"], algorithm, steps, patience, objective, _bounds("--at-least", at_least),
                _bounds("--at-most", at_most))  # fmt: skip
    found, config, data = checked(recipe, elsewhere=manifest is not None, **chosen)
    judge = _judge(found, plan, workers if role is None and manifest is None else 1)
    if manifest is not None:
        _write_jobs(context, manifest, out, recipe, workers, **chosen)
        return
    with _led(role), local_run(out, verbose) as (local, console):
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


@contextlib.contextmanager
def _led(role: cluster.Role | None):
    """Leads workers that others start, if the environment says so, and tells them the end, be it a failure.

    A search that has ended before, in a pod that was started again, ends as it did then.
    """
    if role is None:
        yield
        return
    if (status := cluster.ended(role)) is not None:
        raise SystemExit(status)
    cluster.lead(role, os.environ)
    try:
        yield
    except KompaktError as error:
        cluster.end(role, getattr(error, "status", 1))
        raise
    finally:
        for name in (cluster.NOTE, cluster.ORACLE):
            del os.environ[name]
    cluster.end(role, 0)


def _write_jobs(context, path: pathlib.Path, out: pathlib.Path, recipe: str, workers: int, *, data, claim, mount,
                **chosen) -> None:  # fmt: skip
    """Writes the Kubernetes objects that run this command, without what says how they run."""
    if path.suffix not in (".yaml", ".yml") or not path.absolute().parent.is_dir():
        raise UserError(f"--manifest {shown(path)}: wanted is a .yaml file in a folder that there is")
    if not claim:
        raise UserError("--manifest: give the volume claim that all pods see as --claim")
    if workers < 2:
        raise UserError("--manifest: wants --workers 2 or more; one trains as well in `run --tune`")
    for option, place in (("--out", out), ("--data", data)):
        if place and pathlib.PurePosixPath(mount) not in place.parents:
            raise UserError(f"{option} {shown(place)}: must lie below --mount {mount}, which is all that pods see")
    from pipeline.runners import sweep_jobs

    name = f"sweep-{recipe.replace('_', '-')}-{uuid.uuid4().hex[:8]}"
    asked = {key: chosen[key] for key in ("image", "cpus", "memory", "gpus")}
    text = sweep_jobs.objects(_given(context), name=name, claim=claim, mount=mount, workers=workers, **asked)
    write_text(path, text)
    click.echo(shown(path))


def _given(context) -> list[str]:
    """The arguments that this command was given, but for those of the jobs."""
    words = []
    for parameter in context.command.params:
        is_given = context.get_parameter_source(parameter.name) == click.core.ParameterSource.COMMANDLINE
        if not is_given or parameter.name in _OF_JOBS:
            continue
        value = context.params[parameter.name]
        for one in value if parameter.multiple else [value]:
            flag = [] if isinstance(parameter, click.Argument) else parameter.opts[:1]
            words += [*flag, *([] if getattr(parameter, "is_flag", False) else [str(one)])]
    return words


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
