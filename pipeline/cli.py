"""The command line. TensorFlow and TFX are imported by the commands that need them, so that help answers at once."""

import difflib
import importlib
import os
import pathlib
import sys

import click

from pipeline import client, cross_validate, predict
from pipeline.given import UserError, checked, errors

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


def _recipe_options(command):
    """The options that say what is made from which data; `run` and `compile` share them."""
    for option in reversed(
        (
            click.argument("recipe"),
            click.option(
                "--data", type=_PATH,
                help="Folder of pictures or of class folders, or a packed .npz file; folder or archive of recordings.",
            ),
            click.option(
                "--dataset",
                help="TFDS data set instead; cinc2017 or wfdb_folder: how to read recordings at --data. "
                "[default: sample_photos; digits for classifiers; ecg_sample (simulated) for electrocardiograms]",
            ),
            click.option("--preset", default="small", show_default=True, help="Sizes and schedule of the recipe."),
            click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set one option; repeatable."),
            click.option("--tune", default=0, type=click.IntRange(0), metavar="N", help="Search with N trials first."),
            click.option("--beam-arg", "beam_args", multiple=True, metavar="ARG", help="Passed to Beam; repeatable."),
            click.option(
                "--max-unreadable", default=0.01, show_default=True, type=click.FloatRange(0, 1),
                help="Share of unreadable files above which the run stops.",
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@cli.command("list")
def list_() -> None:
    """Show the recipes."""
    from rich.console import Console
    from rich.table import Table

    from models import registry

    table = Table("recipe", "kind", "presets", "what it is", box=None, pad_edge=False)
    with errors():
        for recipe in registry.recipes().values():
            table.add_row(recipe.name, recipe.kind, ", ".join(recipe.presets), recipe.summary)
    Console().print(table)


@cli.command()
@_recipe_options
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
        from rich.console import Console

        from pipeline import local

        console = Console(highlight=False)
        with local.locked(out), local.logs_to(out / "run.log", verbose):
            import tensorflow_datasets as tfds

            from pipeline import outcome

            if not sys.stderr.isatty():
                tfds.disable_progress_bar()
            options = _options(
                found, config, data, chosen, root=str(out / "artifacts"), resume_dir=str(out / "training"),
                push_dir=str(push_to), metadata=str(out / "metadata.sqlite"),
            )  # fmt: skip
            status = outcome.finish(local.run(_pipeline(options), console), options, out, console)
    sys.exit(status)


@cli.command("compile")
@_recipe_options
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
        from pipeline import kubeflow

        options = _options(
            found, config, data, chosen, root=f"{root}/{recipe}", resume_dir=f"{mount}/training/{recipe}",
            push_dir=f"{mount}/serving/{recipe}", gpus=gpus,
        )  # fmt: skip
        volume = (claim, mount) if claim else None
        fresh = () if options.data_digest else ("TfdsExampleGen",)
        kubeflow.compile_to(_pipeline(options), out.absolute(), image=image, volume=volume, uncached=fresh)
    click.echo(str(out))


def _must_be_writable(folder: pathlib.Path) -> None:
    """Raises UserError if the serving folder cannot be made or written: better now than when the model is trained."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--push-to {folder}: cannot be written ({existing} is no folder that may be written)")


def _options(recipe, config, data, chosen, **places):
    from pipeline.dag import LOCAL_BEAM, Options

    dataset, folder, digest = data
    # A runner of the user's own brings its own options.
    own_runner = any(a.startswith("--runner") for a in chosen["beam_args"])
    return Options(
        recipe=recipe, config=config, dataset=dataset, folder=folder, data_digest=digest, preset=chosen["preset"],
        tune=chosen["tune"], max_unreadable=chosen["max_unreadable"],
        beam_args=(() if own_runner else LOCAL_BEAM) + tuple(chosen["beam_args"]), **places,
    )  # fmt: skip


def _pipeline(options):
    """The pipeline of the recipe's kind: `create_pipeline` of the module pipeline/<kind>_dag.py."""
    return importlib.import_module(f"pipeline.{options.recipe.kind}_dag").create_pipeline(options)


for _command in (client.compress, client.decompress, predict.predict, client.report, cross_validate.cross_validate):
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
