"""The command that writes the pipeline for Kubeflow: `compile`."""

import pathlib
import re

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.given import checked, options_of, pipeline_of, recipe_options, tune_option
from pipeline.arguments.paths import PATH, must_be_writable, shown

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_BUCKET = re.compile(r"(minio|s3|gs)://[^/]+(/.*)?")


def _platform_options(command):
    """The options that say what is asked of the cluster."""
    amount = click.FloatRange(0, min_open=True)
    for option in reversed(
        (
            click.option("--image", default="kompakt:latest", show_default=True, help="Image with this project."),
            click.option(
                "--root", default="minio://mlpipeline/kompakt", show_default=True,
                help="Where artifacts go: minio://, s3:// or gs://.",
            ),
            click.option("--claim", help="Volume claim that is mounted at --mount; without it nothing lasts there."),
            click.option(
                "--mount", default="/mnt/kompakt", show_default=True,
                help="Holds data, pushed models and unfinished trainings.",
            ),
            click.option("--gpus", default=0, type=click.IntRange(0), help="GPUs of each step that runs networks."),
            click.option("--gpu-image", help="Image of these steps, with CUDA; wanted with --gpus."),
            click.option("--gpu-type", default="nvidia.com/gpu", show_default=True, help="Their resource's name."),
            click.option("--cpus", default=2.0, type=amount, show_default=True, help="Processors asked for by them."),
            click.option("--memory", default=4.0, type=amount, show_default=True, help="Gigabytes asked for by them."),
            click.option("--cpu-limit", default=None, type=amount, help="Most processors that they may use."),
            click.option("--memory-limit", default=None, type=amount, help="Most gigabytes that they may use."),
            click.option("--node-selector", "selectors", multiple=True, metavar="KEY=VALUE",
                         help="Label of the nodes that they run on; repeatable."),
            click.option("--toleration", "tolerations", multiple=True, metavar="KEY[=VALUE]:EFFECT",
                         help="Taint of nodes that they tolerate; repeatable."),
            click.option("--retries", default=2, type=click.IntRange(0), show_default=True,
                         help="How often a step that failed is tried again."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@click.command("compile")
@recipe_options
@tune_option
@click.option("--out", type=PATH, required=True, help="The Kubeflow file to write (.yaml).")
@_platform_options
def command(recipe, out, **chosen) -> None:
    """Write the Kubeflow file of the pipeline that `run RECIPE` runs.

    --data is a path in the cluster, given from the root on (/...), and read anew by every run. A run may be started
    with other values of the pipeline's parameters `data`, `steps` and `output` (the serving folder).
    """
    _check_out(out)
    _check_platform(**chosen)
    found, config, data = checked(recipe, elsewhere=True, **chosen)
    from pipeline.runners import kubeflow

    mount = _mount(chosen["mount"], kubeflow.TAKEN)
    dataset, folder, digest = data
    data = (dataset, folder, "" if folder else digest)  # a folder is another one there, and another one every week
    if folder and mount not in map(str, pathlib.PurePosixPath(folder).parents):
        click.echo(
            f"warning: --data {folder} does not lie below --mount {mount}, which is all that steps see", err=True
        )
    options = options_of(
        found, config, data, chosen, root=f"{chosen['root'].rstrip('/')}/{recipe}", elsewhere=True,
        resume_dir=f"{mount}/training/{recipe}", push_dir=f"{mount}/serving/{recipe}",
    )  # fmt: skip
    asked = kubeflow.Request(chosen["cpus"], chosen["memory"], chosen["cpu_limit"] or 0, chosen["memory_limit"] or 0)
    platform = kubeflow.Platform(
        image=chosen["image"], root=options.root, volume=(chosen["claim"], mount) if chosen["claim"] else None,
        request=asked, gpus=chosen["gpus"], gpu_type=chosen["gpu_type"], gpu_image=chosen["gpu_image"] or "",
        selectors=dict(_selector(text) for text in chosen["selectors"]),
        tolerations=tuple(_toleration(text) for text in chosen["tolerations"]), retries=chosen["retries"],
    )  # fmt: skip
    kubeflow.compile_to(pipeline_of(options), out.absolute(), options, platform)
    click.echo(shown(out))


def _check_out(out: pathlib.Path) -> None:
    if out.suffix not in (".yaml", ".yml"):
        raise UserError(f"--out {out}: must end in .yaml")
    if out.is_dir():
        raise UserError(f"--out {out}: is a folder")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}")
    must_be_writable("--out", out.absolute().parent)


def _check_platform(root, gpus, gpu_image, cpus, cpu_limit, memory, memory_limit, selectors, tolerations, **_) -> None:
    if not _BUCKET.fullmatch(root):
        raise UserError(f"--root {root}: wanted is minio://BUCKET/..., s3://BUCKET/... or gs://BUCKET/...")
    if gpus and not gpu_image:
        raise UserError("--gpus: give the image with CUDA as --gpu-image (docker build --build-arg ACCELERATOR=gpu)")
    for name, asked, limit in (("cpu", cpus, cpu_limit), ("memory", memory, memory_limit)):
        if limit and limit < asked:
            raise UserError(f"--{name}-limit {limit:g}: is below the {asked:g} that are asked for")
    for text in selectors:
        _selector(text)
    for text in tolerations:
        _toleration(text)


def _mount(path: str, taken: tuple[str, ...]) -> str:
    """A mount path that hides nothing of the image."""
    mount = pathlib.PurePosixPath(path)
    if not mount.is_absolute() or ".." in mount.parts:
        raise UserError(f"--mount {path}: wanted is a path from the root on (/...)")
    for place in map(pathlib.PurePosixPath, taken):
        if mount == place or mount in place.parents or place in mount.parents:
            raise UserError(f"--mount {path}: the volume would hide what the image has at {place}, or lie in it")
    return str(mount)


def _selector(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UserError(f"--node-selector {text}: wanted is KEY=VALUE")
    return key, value


def _toleration(text: str) -> dict[str, str]:
    taint, colon, effect = text.rpartition(":")
    key, equals, value = taint.partition("=")
    if not colon or not key or effect not in _EFFECTS:
        raise UserError(f"--toleration {text}: wanted is KEY[=VALUE]:EFFECT, an effect of {', '.join(_EFFECTS)}")
    wanted = {"operator": "Equal", "value": value} if equals else {"operator": "Exists"}
    return {"key": key, "effect": effect, **wanted}
