"""The command that makes a model of the archive of a compressed network: `unpack`."""

import os

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, must_be_writable, shown

_MOST = 1 << 30  # bytes of an archive that is read


@click.command("unpack")
@click.argument("archive", type=PATH)
@click.option("--out", required=True, type=PATH, help="Folder for the model; made if missing, must be empty.")
def command(archive, out) -> None:
    """Make of ARCHIVE, a file .kmw that `run compressed_network` left, the SavedModel that it was pushed with.

    The weights are those of the pushed model, number by number, and so are its answers.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not archive.is_file():
        raise UserError(f"{shown(archive)}: no such file")
    if archive.stat().st_size > _MOST:
        raise UserError(f"{shown(archive)}: not an archive of a compressed network: it has more than {_MOST:,} bytes")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out {shown(out)}: not an empty folder")
    must_be_writable("--out", out)
    from models.compressed import unpacking
    from models.compressed.coded import ArchiveError

    try:
        unpacking.write(archive.read_bytes(), out)
    except ArchiveError as error:
        raise UserError(f"{shown(archive)}: {error}; nothing was written") from error
    click.echo(shown(out))
