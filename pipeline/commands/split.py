"""The command that makes separate models of a pushed one: `split`."""

import pathlib

import click

from pipeline.commands.given import UserError

_PATH = click.Path(path_type=pathlib.Path)


@click.command()
@click.argument("model", type=_PATH)
@click.option("--out", required=True, type=_PATH, help="Folder for the models; made if missing.")
def split(model, out) -> None:
    """Write what MODEL does as models of their own, OUT/compress, OUT/decompress, OUT/predict, OUT/evaluate.

    MODEL is a pushed model's folder, or a folder of versions (newest taken). Each is a SavedModel in a folder of
    versions, for any server; a machine that only compresses need not load what decompresses.
    """
    from components.serving.served_codec import newest_version

    try:
        directory = newest_version(model)
    except ValueError as error:
        raise UserError(str(error)) from error
    from models.publishing import parts

    try:
        folders = parts.split(directory, out)
    except (OSError, ValueError) as error:
        raise UserError(f"{error}; nothing was written there") from error
    for folder in folders:
        click.echo(folder)
