"""The command line. TensorFlow and TFX are imported by the commands that need them, so that help answers at once."""

import difflib
import os
import pathlib
import sys

import click

from pipeline.commands import codec, cross_validate, predict, split, sweep
from pipeline.commands.given import (
    UserError,
    checked,
    errors,
    local_run,
    options_of,
    pipeline_of,
    recipe_options,
    tune_option,
)

_PATH = click.Path(path_type=pathlib.Path)


class Group(click.Group):
    """A group of commands that names the nearest one when it does not know the name."""

    def resolve_command(self, ctx, args):
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1, 0)
            raise UserError(f"no command '{args[0]}'; the nearest is '{near[0]}'") from error


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Kompakt: small models, from a folder of pictures or electrocardiograms to what is served."""


@cli.command("list")
def list_() -> None:
    """Show the recipes."""
    from rich.console import Console
    from rich.table import Table

    from models.contract import registry

    table = Table("recipe", "family", "takes", "presets", "what it is", box=None, pad_edge=False)
    with errors():
        for recipe in registry.headlines():
            table.add_row(recipe.name, recipe.family, recipe.data, ", ".join(recipe.presets), recipe.summary)
    table.columns[0].no_wrap = True
    Console().print(table)


@cli.command()
@recipe_options
@tune_option
@click.option("--out", type=_PATH, help="Where everything of this run goes. [default: runs/RECIPE]")
@click.option("--push-to", type=_PATH, help="Serving folder of the model. [default: OUT/serving/RECIPE]")
@click.option("--verbose", is_flag=True, help="Show the logs of TFX, Beam and TensorFlow (else in OUT/run.log).")
def run(recipe, out, push_to, verbose, **chosen) -> None:
    """Train RECIPE, evaluate, check and push it.

    Answered by the cache where nothing changed; an interrupted training goes on. Exit code 1: the model was not blessed
    and not pushed (the report says why). Exit code 2: something is wrong with the input.
    """
    out = (out or pathlib.Path("runs") / recipe).absolute()
    push_to = (push_to or out / "serving" / recipe).absolute()
    _must_be_writable(push_to)
    with errors():
        found, config, data = checked(recipe, **chosen)
        with local_run(out, verbose) as (local, console):
            from pipeline.runners import outcome

            options = options_of(
                found, config, data, chosen, root=str(out / "artifacts"), resume_dir=str(out / "training"),
                push_dir=str(push_to), metadata=str(out / "metadata.sqlite"),
            )  # fmt: skip
            status = outcome.finish(local.run(pipeline_of(options), console), options, out, console)
    sys.exit(status)


@cli.command("compile")
@recipe_options
@tune_option
@click.option("--out", type=_PATH, required=True, help="The Kubeflow file to write (.yaml).")
@click.option("--image", default="kompakt:latest", show_default=True, help="Container image with this project.")
@click.option("--root", default="minio://mlpipeline/kompakt", show_default=True, help="Where artifacts go.")
@click.option("--claim", help="Volume claim that is mounted at --mount in every step; without it nothing lasts there.")
@click.option("--mount", default="/kompakt", show_default=True, help="Holds pushed models and unfinished trainings.")
@click.option("--gpus", default=0, type=click.IntRange(0), help="GPUs for training, tuning and evaluation.")
def compile_(recipe, out, image, root, claim, mount, gpus, **chosen) -> None:
    """Write the Kubeflow file of the pipeline that `run RECIPE` runs.

    A --data folder that is not on this machine is taken as a path in the cluster, and read anew by every run.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise UserError(f"--out {out}: must end in .yaml")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}")
    with errors():
        found, config, data = checked(recipe, elsewhere=True, **chosen)
        from pipeline.runners import kubeflow

        options = options_of(
            found, config, data, chosen, root=f"{root}/{recipe}", resume_dir=f"{mount}/training/{recipe}",
            push_dir=f"{mount}/serving/{recipe}", gpus=gpus,
        )  # fmt: skip
        volume = (claim, mount) if claim else None
        fresh = () if options.data_digest else ("TfdsExampleGen",)
        kubeflow.compile_to(pipeline_of(options), out.absolute(), image=image, volume=volume, uncached=fresh)
    click.echo(str(out))


def _must_be_writable(folder: pathlib.Path) -> None:
    """Raises UserError if the serving folder cannot be made or written: better now than when the model is trained."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--push-to {folder}: cannot be written ({existing} is no folder that may be written)")


for _command in (codec.compress, codec.decompress, codec.report, predict.predict, split.split, sweep.sweep,
                 cross_validate.cross_validate):  # fmt: skip
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code (130 after Ctrl-C)."""
    try:
        cli.main(arguments, prog_name="python -m pipeline", standalone_mode=False)
    except click.ClickException as error:
        UserError.show(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nstopped; the same command goes on from where it was", err=True)
        return 130
    except SystemExit as end:
        return end.code or 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
