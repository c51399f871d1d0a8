"""The command that says whether two pictures show one person: `verify`."""

import os

import click

from pipeline.arguments.paths import PATH
from pipeline.client.faces import face_options, given_picture, open_network


@click.command("verify")
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@face_options
def command(first, second, model, url, wait, parallel):
    """Say whether the pictures FIRST and SECOND show one person.

    One line: the answer, the cosine of the two embeddings, and the threshold with the share of pairs of two persons
    that it accepted where it was chosen; of an aligned network also the aligned score, which then decides, and its own
    threshold. Faces are not looked for: both pictures are to be cropped as the model's training pictures were.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    pictures = [given_picture(path) for path in (first, second)]
    found = open_network(model, url, wait, parallel).verify(*pictures)
    click.echo(line(found))


def line(found) -> str:
    """What is said of a `components.serving.served_faces.Verified`."""
    told = [("cosine", found.cosine, "threshold", found.threshold, found.false_accept_rate)]
    if found.aligned is not None:
        told.append(
            ("aligned", found.aligned, "its threshold", found.aligned_threshold, found.aligned_false_accept_rate)
        )
    parts = [
        f"{name} {score:.4f}\t{what} {threshold:.4f}, which accepts {rate:.2%} of {found.impostor_pairs:,} validation "
        "pairs of two persons"
        for name, score, what, threshold, rate in told
    ]
    return "\t".join(["one person" if found.same else "two persons", *parts])
