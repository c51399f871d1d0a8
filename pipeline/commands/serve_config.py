"""The command that writes what TensorFlow Serving reads: `serve-config`."""

import os
import pathlib

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, must_be_writable, shown
from pipeline.client.models import Given, given_models


@click.command("serve-config")
@click.argument("models", nargs=-1, required=True)
@click.option("--out", required=True, type=PATH, help="Folder for the files; made if missing.")
@click.option("--url", help="The running server, http://HOST:8501: its labels move to what it has loaded.")
@click.option("--wait", default=0.0, type=click.FloatRange(0), metavar="S",
              help="With --url: wait so long for it to load what is new.")  # fmt: skip
@click.option("--batch-recordings", is_flag=True,
              help="Let requests with recordings be batched, padded to the longest of a batch.")  # fmt: skip
@click.option("--name", default="kompakt-serving", show_default=True, help="Of the Kubernetes objects.")
@click.option("--claim", default="models", show_default=True, help="Volume claim with a folder for each model.")
@click.option("--image", help="Of the server. [default: tensorflow/serving of the version of the client's stubs]")
@click.option("--replicas", default=2, show_default=True, type=click.IntRange(1), help="Pods.")
@click.option("--cpus", type=click.IntRange(1), help="Processors of a server. [default: those of this machine]")
@click.option("--memory", default="4Gi", show_default=True, help="Of a pod.")
def command(models, out, url, wait, batch_recordings, cpus, **kubernetes):
    """Write what TensorFlow Serving needs for MODELS: models.config, batching.config, kubernetes.yaml.

    MODELS are folders of versions, NAME=FOLDER to serve one under another name, or names of released models, of which
    OUT/models gets a version with warm-up requests. `canary` is the newest version and `stable` the one before.

    A server takes a label only for a version that it has loaded: after a push the first call lists the version, and a
    call with --url moves the labels once it is loaded (exit code 1: not within --wait).
    """
    must_be_writable("--out", out)
    given = given_models(models)
    names = [model.name for model in given]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from components.serving import configuration

    served = [_served(model, out, batch_recordings) for model in given]
    out.mkdir(parents=True, exist_ok=True)
    written = _write(served, out, cpus or os.cpu_count() or 1, url, wait)
    image = kubernetes.pop("image") or configuration.default_image()
    path = _kubernetes(names, written.files, out, image, cpus=cpus or os.cpu_count() or 1, **kubernetes)
    for file in (*written.files, path):
        click.echo(shown(file))
    flags = configuration.server_flags(len(written.files) > 1)
    click.echo(configuration.docker_command(out, served, flags, image))
    for name, versions in written.awaited.items():
        click.echo(f"{name}: once the server has loaded {', '.join(map(str, versions))}, the same command with "
                   f"--url http://HOST:{configuration.REST_PORT} moves the labels", err=True)  # fmt: skip


def _served(model: Given, out: pathlib.Path, batch_recordings: bool):
    """What is served; of a released model (no place) a version is made below `out`."""
    from components.serving import configuration

    name, place = model.name, model.place
    if place is None:
        from components.serving import mounted

        place = out / "models" / name
        mounted.mount(model.released, place, lambda line: click.echo(line, err=True))
    if (place / "saved_model.pb").is_file():
        raise UserError(f"{shown(place)}: is one version; a server wants the folder of versions above it")
    return configuration.served_at(name, place, batch_recordings=batch_recordings)


def _write(served, out: pathlib.Path, cores: int, url: str | None, wait: float):
    """Writes the configuration; with a server's URL the labels follow what it has loaded."""
    from components.serving import configuration
    from pipeline.client.models import await_loaded

    if url is None:
        return configuration.write_configuration(out, served, cores)
    names = [model.name for model in served]
    written = configuration.write_configuration(out, served, cores, loaded=await_loaded(url, names))
    if written.awaited and wait:
        loaded = await_loaded(url, names, written.awaited, wait)
        written = configuration.write_configuration(out, served, cores, loaded=loaded)
    return written


def _kubernetes(names, files, out: pathlib.Path, image: str, **options) -> pathlib.Path:
    from components.serving import configuration
    from models.files import write_text
    from pipeline.runners import kubernetes

    texts = {file.name: file.read_text(encoding="utf-8") for file in files}
    path = out / "kubernetes.yaml"
    flags = configuration.server_flags(len(texts) > 1)
    write_text(path, kubernetes.objects(names, texts, flags, image=image, **options))
    return path
