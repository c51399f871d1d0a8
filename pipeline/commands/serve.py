"""The command that serves models on this machine: `serve`."""

import logging
import os

import click

from pipeline.client.models import given_models


@click.command("serve")
@click.argument("models", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all.")
@click.option("--rest-port", default=8501, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--grpc-port", default=8500, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Requests at work at a time. [default: the cores]")
@click.option("--queue", default=64, show_default=True, type=click.IntRange(1), metavar="N",
              help="Requests that may wait; more are told to come again.")  # fmt: skip
@click.option("--max-request", default=64.0, show_default=True, type=click.FloatRange(0.001, 1024), metavar="MIB",
              help="Size of a request.")  # fmt: skip
@click.option("--max-wait", default=60.0, show_default=True, type=click.FloatRange(0.001), metavar="S",
              help="Seconds that a request may wait for its turn.")  # fmt: skip
@click.option("--keep", default=2, show_default=True, type=click.IntRange(1), metavar="N",
              help="Versions of a model that are served.")  # fmt: skip
@click.option("--poll", default=1.0, show_default=True, type=click.FloatRange(0.05), metavar="S",
              help="Seconds between two looks for new versions.")  # fmt: skip
def command(models, host, rest_port, grpc_port, workers, queue, max_request, max_wait, keep, poll):
    """Serve MODELS as TensorFlow Serving does: gRPC and REST, labels, new versions without a stop.

    MODELS are folders of versions, NAME=FOLDER to serve one under another name, or names of released models. A version
    that is pushed answers once it is loaded and warm; `canary` is the newest, `stable` the one before. There is a page
    at / and there are metrics for Prometheus at /metrics.

    This is for development and for small deployments where no TensorFlow Serving is at hand: one process, no
    encryption, no log-in, no batches of several clients' requests. For more see serve-config.
    """
    given = given_models(models)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tornado").setLevel(logging.ERROR)
    click.echo("for development and small deployments; TensorFlow Serving (serve-config) is for more", err=True)
    from components.server import run
    from components.server.service import Limits

    def tell(line: str) -> None:
        click.echo(line, err=True)

    places = {model.name: model.place or _released(model.released, tell) for model in given}
    setting = run.Setting(
        host=host, rest_port=rest_port, grpc_port=grpc_port, workers=workers or len(os.sched_getaffinity(0)),
        queue=queue, keep=keep, poll_s=poll, limits=Limits(int(max_request * 2**20), max_wait),
    )  # fmt: skip
    run.run(places, setting, tell)


def _released(name: str, tell):
    """A folder of versions of a released model, in the user's cache."""
    from components.serving import mounted, released_model

    folder = released_model.folder_of(name).parent.parent / "served" / name
    mounted.mount(name, folder, tell)
    return folder
