"""The command that writes the pipeline for Kubeflow: `compile`."""

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.given import checked, options_of, pipeline_of, recipe_options, tune_option
from pipeline.arguments.paths import PATH, must_be_writable, shown


@click.command("compile")
@recipe_options
@tune_option
@click.option("--out", type=PATH, required=True, help="The Kubeflow file to write (.yaml).")
@click.option("--image", default="kompakt:latest", show_default=True, help="Container image with this project.")
@click.option("--root", default="minio://mlpipeline/kompakt", show_default=True, help="Where artifacts go.")
@click.option("--claim", help="Volume claim that is mounted at --mount in every step; without it nothing lasts there.")
@click.option("--mount", default="/kompakt", show_default=True, help="Holds pushed models and unfinished trainings.")
@click.option("--gpus", default=0, type=click.IntRange(0), help="GPUs for training, tuning and evaluation.")
def command(recipe, out, image, root, claim, mount, gpus, **chosen) -> None:
    """Write the Kubeflow file of the pipeline that `run RECIPE` runs.

    A --data folder that is not on this machine, given from the root on (/...), is taken as a path in the cluster, and
    read anew by every run.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise UserError(f"--out {out}: must end in .yaml")
    if out.is_dir():
        raise UserError(f"--out {out}: is a folder")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}")
    must_be_writable("--out", out.absolute().parent)
    found, config, data = checked(recipe, elsewhere=True, **chosen)
    from pipeline.runners import kubeflow

    options = options_of(
        found, config, data, chosen, root=f"{root}/{recipe}", resume_dir=f"{mount}/training/{recipe}",
        push_dir=f"{mount}/serving/{recipe}", gpus=gpus,
    )  # fmt: skip
    volume = (claim, mount) if claim else None
    fresh = () if options.data_digest else ("TfdsExampleGen",)
    kubeflow.compile_to(pipeline_of(options), out.absolute(), image=image, volume=volume, uncached=fresh)
    click.echo(shown(out))
