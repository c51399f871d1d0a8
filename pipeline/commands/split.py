"""The command that makes separate models of a pushed one: `split`."""

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, must_be_writable, shown


@click.command("split")
@click.argument("model", type=PATH)
@click.option("--out", required=True, type=PATH, help="Folder for the models; made if missing.")
def command(model, out) -> None:
    """Write what MODEL does as models of their own, OUT/compress, OUT/decompress, OUT/predict, OUT/evaluate.

    MODEL is a pushed model's folder, or a folder of versions (newest taken). Each is a SavedModel in a folder of
    versions, for any server; a machine that only compresses need not load what decompresses.
    """
    must_be_writable("--out", out)
    from components.native_model import signatures_at
    from components.serving.served_codec import newest_version

    directory = newest_version(model)
    try:
        signatures_at(directory)  # a damaged model is refused
        from models.publishing import parts

        folders = parts.split(directory, out)
    except (OSError, ValueError) as error:
        raise UserError(f"{error}; nothing was written there") from error
    for folder in folders:
        click.echo(shown(folder))
