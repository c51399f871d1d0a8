"""The command that makes a model of data: `run`."""

import pathlib

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.given import (
    checked,
    hyperparameters_option,
    local_run,
    options_of,
    pipeline_of,
    recipe_options,
    tune_option,
    verbose_option,
)
from pipeline.arguments.paths import PATH, must_be_plain, must_be_writable


@click.command("run")
@recipe_options
@tune_option
@hyperparameters_option
@click.option("--out", type=PATH, help="Where everything of this run goes. [default: runs/RECIPE]")
@click.option("--push-to", type=PATH, help="Serving folder of the model. [default: OUT/serving/RECIPE]")
@click.option(
    "--distribute", type=click.Choice(["auto", "mirrored", "multi_worker"]), default="auto", show_default=True,
    help="auto: this machine's GPUs share a batch; mirrored: and there must be several; multi_worker: processes do.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(2, 64), help="Of multi_worker: processes on this machine. [default: 2]")
@verbose_option
def command(recipe, out, push_to, distribute, workers, verbose, **chosen) -> None:
    """Train RECIPE, evaluate, check and push it.

    Answered by the cache where nothing changed; an interrupted training goes on. Exit code 1: the model was not blessed
    and not pushed (the report says why). Exit code 2: something is wrong with the input.
    """
    for option in ("tune", "preset"):
        given = click.get_current_context().get_parameter_source(option) != click.core.ParameterSource.DEFAULT
        if chosen["hyperparameters"] and given:
            raise UserError(f"--hyperparameters and --{option} exclude each other")
    out = (out or pathlib.Path("runs") / recipe).absolute()
    push_to = (push_to or out / "serving" / recipe).absolute()
    for option, folder in (("--out", out), ("--push-to", push_to)):
        must_be_plain(option, folder)
        must_be_writable(option, folder)
    found, config, data = checked(recipe, **chosen)
    if workers and distribute != "multi_worker":
        raise UserError("--workers is of --distribute multi_worker")
    workers = (workers or 2) if distribute == "multi_worker" else 1
    if config.batch_size % workers:
        raise UserError(
            f"batch_size={config.batch_size}: must be a multiple of the {workers} workers that share a batch"
        )
    with local_run(out, verbose) as (local, console):
        from pipeline.runners import outcome

        options = options_of(
            found, config, data, chosen, root=str(out / "artifacts"), resume_dir=str(out / "training"),
            push_dir=str(push_to), metadata=str(out / "metadata.sqlite"),
            sweep_logs=str(out / "sweep"), workers=workers, mirrored=distribute == "mirrored",
        )  # fmt: skip
        status = outcome.finish(local.run(pipeline_of(options), console), options, out, console)
    raise SystemExit(status)
