"""From an archive back to the SavedModel that lay beside it."""

import os
import pathlib

from models.compressed import archive
from models.compressed.coded import ArchiveError
from models.files import replacing
from models.publishing import export, pushed


def write(content: bytes, directory: str | os.PathLike) -> None:
    """Writes the SavedModel of an archive, complete or not at all.

    Args:
      content: of the file. directory: is created; must be empty or missing.

    Raises:
      ArchiveError: damaged; or the model is another one than was packed, as a newer version of this project makes it.
    """
    recipe, config, model, fingerprint = archive.unpack(content)
    pathlib.Path(directory).absolute().parent.mkdir(parents=True, exist_ok=True)
    with replacing(directory) as part:
        export.export(recipe, config, model, str(part))
        if (found := pushed.describe(str(part))["fingerprint"]) != fingerprint:
            raise ArchiveError(f"what it holds is model {found}, not {fingerprint}: it is of another version")
