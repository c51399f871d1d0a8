"""The command that finds the persons of pictures in a gallery: `identify`."""

import os

import click

from components.kinds.pictures.extensions import EXTENSIONS
from pipeline.arguments.paths import PATH
from pipeline.client.answers import answers, line, tell
from pipeline.client.faces import SCORES, Gallery, face_options, open_network, picture
from pipeline.client.files import gather, tell_left_out


@click.command("identify")
@click.argument("pictures", nargs=-1, required=True, type=PATH)
@click.option(
    "--gallery", required=True, type=PATH, help="Folder of persons: a folder each, or a picture named as each."
)
@click.option("--top", default=1, show_default=True, type=click.IntRange(1), help="Persons shown for each.")
@click.option(
    "--score", type=click.Choice(SCORES), help="What persons are ranked by; the aligned score if the network has one."
)
@face_options
def command(pictures, gallery, top, score, model, url, wait, parallel):
    """Say who of a gallery PICTURES (files or folders) show: a line each with the nearest persons and their scores.

    A line whose nearest person is below the score's threshold says "nobody" first. The error output says
    which score and threshold these are, and names files that cannot be read; the others are answered all the same, and
    the exit code is then 1.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    files, left_out = gather(pictures, EXTENSIONS)
    tell_left_out(left_out)
    known = Gallery(gallery, open_network(model, url, wait, parallel), score)
    click.echo(f"score: {known.score}, threshold {known.threshold:.4f}", err=True)
    whole = known.whole
    read = {file.path: lambda file=file: picture(file.path) for file in files}
    for answer in answers(read.items(), known, top, parallel):
        if answer.error is not None:
            whole = False
            tell(answer.key, answer.error)
            continue
        nobody = answer.best[0][1] < known.threshold
        click.echo(line((answer.key, "nobody") if nobody else answer.key, answer.best))
    if not whole:
        raise SystemExit(1)
