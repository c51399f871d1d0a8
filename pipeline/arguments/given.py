"""What is trained on which data: the options that say it, checked, and the pipeline that follows from them."""

import contextlib
import pathlib
import sys

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, must_be_text


def recipes_named(ctx, param, incomplete: str) -> list[str]:
    """The recipes whose names begin so, for the completion of shells."""
    from models.contract import registry

    return [recipe.name for recipe in registry.headlines() if recipe.name.startswith(incomplete)]


recipe_argument = click.argument("recipe", shell_complete=recipes_named)
preset_option = click.option("--preset", default="small", show_default=True, help="Sizes and schedule of the recipe.")
set_option = click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set one option; repeatable.")
max_unreadable_option = click.option(
    "--max-unreadable", default=0.01, show_default=True, type=click.FloatRange(0, 1),
    help="Share of unreadable files above which nothing is done.",
)  # fmt: skip
tune_option = click.option(
    "--tune", default=0, type=click.IntRange(0), metavar="N", help="Search with N trials before training."
)
hyperparameters_option = click.option(
    "--hyperparameters", type=PATH, metavar="FILE",
    help="Take the best configuration of a sweep, from its OUT/sweep.json, in place of a preset.",
)  # fmt: skip
verbose_option = click.option(
    "--verbose", is_flag=True, help="Show the logs of TFX, Beam and TensorFlow (else in OUT/run.log)."
)


def recipe_options(command):
    """The options that say what is made from which data; `run`, `sweep` and `compile` share them."""
    for option in reversed(
        (
            recipe_argument,
            click.option(
                "--data", type=PATH,
                help="Folder of pictures or of class folders, or a packed .npz file; folder or archive of recordings; "
                "folder of persons, or a table of pairs; folder of scenes with label maps; folder of clips.",
            ),
            click.option(
                "--dataset",
                help="TFDS data set instead; cinc2017 or wfdb_folder: how to read recordings at --data. "
                "[default: sample_photos; digits for classifiers; ecg_sample (simulated) for electrocardiograms; "
                "sample_faces (simulated) for faces; sample_shapes (simulated) for scenes; sample_clips for clips]",
            ),
            preset_option,
            set_option,
            click.option("--beam-arg", "beam_args", multiple=True, metavar="ARG", help="Passed to Beam; repeatable."),
            max_unreadable_option,
        )
    ):  # fmt: skip
        command = option(command)
    return command


def checked(recipe: str, *, data, dataset, preset, settings, hyperparameters=None, elsewhere=False, **_):
    """Recipe, configuration and (data set, folder, digest of the data), or the error that names what is wrong.

    The configuration is that of the preset, or the one that a sweep found best (`hyperparameters`), with the settings.

    The digest is empty for a folder that is not here, which only a run elsewhere allows.
    """
    overrides = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: wanted is KEY=VALUE")
        overrides[key] = value
    elsewhere = elsewhere and data and data.is_absolute() and not data.exists()
    if data:
        must_be_text("--data", data.absolute())
    excluded = UserError(f"--data and --dataset {dataset} exclude each other: a folder is a data set of its own")
    from components.kinds import headlines

    places = headlines.place_names()
    if data and dataset and places is not None and dataset not in places:
        raise excluded
    from models.contract import registry

    found = registry.get(recipe)
    if hyperparameters:
        from pipeline.arguments import sweeps

        overrides = sweeps.best(hyperparameters, found) | overrides
    config = found.make_config(preset, overrides)
    from components.ingest.sources import dataset_digest
    from components.kinds import registry as kinds

    kind = kinds.get(found.data)
    if data and dataset and dataset not in kind.places:
        raise excluded
    may_be_file = data and kind.reads_file(data.name)
    if data and not elsewhere and not (data.is_dir() or may_be_file and data.is_file()):
        raise UserError(f"--data {data}: no such {'file' if may_be_file and data.suffix else 'folder'}")
    folder = str(data.absolute()) if data else ""
    name = dataset or kind.default_dataset(folder, found.labelled)
    return found, config, (name, folder, "" if elsewhere else dataset_digest(name, folder, found.labelled, found.data))


def options_of(recipe, config, data, chosen, **places):
    """`pipeline.shapes.line.Options` of what was checked; `places` are where things go."""
    from pipeline.shapes.line import LOCAL_BEAM, Options

    dataset, folder, digest = data
    # A runner of the user's own brings its own options.
    own_runner = any(a.startswith("--runner") for a in chosen["beam_args"])
    return Options(
        recipe=recipe, config=config, dataset=dataset, folder=folder, data_digest=digest, preset=chosen["preset"],
        tune=chosen["tune"], max_unreadable=chosen["max_unreadable"],
        beam_args=(() if own_runner else LOCAL_BEAM) + tuple(chosen["beam_args"]), **places,
    )  # fmt: skip


def pipeline_of(options):
    """The pipeline of the recipe's shape: `create_pipeline` of its module in `pipeline.shapes`."""
    import pipeline.shapes as shapes
    from components import found

    return found.find(shapes, options.recipe.shape, "shape").create_pipeline(options)


@contextlib.contextmanager
def local_run(out: pathlib.Path, verbose: bool):
    """Holds the output folder and sends the logs to its `run.log`; gives `pipeline.runners.local` and a console."""
    from rich.console import Console

    from pipeline.runners import local

    with local.locked(out), local.logs_to(out / "run.log", verbose):
        import tensorflow_datasets as tfds

        if not sys.stderr.isatty():
            tfds.disable_progress_bar()
        yield local, Console(highlight=False)
