"""The command that uses a pushed classifier on files: `predict`."""

import os
import pathlib

import click

from pipeline.client import PICTURE_SUFFIXES, CommandError, gather

_PATHS = click.Path(path_type=pathlib.Path)
_BATCH = 32


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=_PATHS)
@click.option("--model", required=True, type=_PATHS, help="A pushed classifier, or a folder of its versions.")
@click.option("--top", default=1, show_default=True, type=click.IntRange(1), help="Classes shown a picture.")
def predict(pictures, model, top) -> None:
    """Say what PICTURES (files or folders) show: a line each with the likeliest classes and their probabilities.

    A file that is no picture is named on the error output; the others are classified all the same, and the exit code is
    then 1.
    """
    files = gather(pictures, PICTURE_SUFFIXES)
    from components.pictures import PictureError, normalize
    from components.served_classifier import ServedClassifier

    try:
        classifier = ServedClassifier(model)
    except ValueError as error:
        raise CommandError(str(error)) from error
    failed = 0
    for start in range(0, len(files), _BATCH):
        readable, encoded = [], []
        for file in files[start : start + _BATCH]:
            try:
                encoded.append(normalize(file.read_bytes()).encoded)
                readable.append(file)
            except (OSError, PictureError) as error:
                failed += 1
                click.echo(f"error: {os.fspath(file)}: {error}", err=True)
        for file, best in zip(readable, classifier.best(encoded, top), strict=True):
            click.echo(f"{os.fspath(file)}\t" + "\t".join(f"{name}\t{p:.4f}" for name, p in best))
    if failed:
        raise SystemExit(1)
