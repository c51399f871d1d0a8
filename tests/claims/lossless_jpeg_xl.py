"""JPEG XL's bits per sub-pixel on the pictures of `tests.claims.lossless_table`, as Pillow's plugin codes them.

    python -m tests.claims.lossless_jpeg_xl --out jpeg_xl.jsonl --set kodak=DIR [--plugin FOLDER]

`pillow-jxl-plugin` is importable or unpacked in a folder; it is no dependency of this project. Its files are 1 to 3 %
smaller than those of `imagecodecs` at the same effort, so that these are the ones to be compared with.
"""

import importlib
import io
import pathlib
import sys
import time

import click
import numpy as np
from PIL import Image

from components.evaluation import classic
from tests.claims import ledger
from tests.claims.lossless_table import measure, table

EFFORTS = (7, 9)


def encode(pixels: np.ndarray, effort: int) -> bytes:
    """The file of pixels uint8 [H, W, 3], lossless."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JXL", lossless=True, effort=effort)
    return file.getvalue()


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path), help="JSON lines; goes on with them.")
@click.option("--set", "sets", multiple=True, required=True, help="NAME=FOLDER of pictures.")
@click.option("--plugin", help="Folder that pillow_jxl lies in.")
def main(out, sets, plugin):
    """Measures, and prints the table of all lines."""
    if plugin:
        sys.path.append(plugin)
    try:
        importlib.import_module("pillow_jxl")
    except ImportError as error:
        raise click.UsageError(f"no pillow-jxl-plugin: {error}") from error
    book = ledger.Ledger(out, ("set", "picture", "codec"), sys.modules[__name__])
    for text in sets:
        name, _, folder = text.partition("=")
        for path in sorted(pathlib.Path(folder).glob("*.png")):
            pixels = np.array(Image.open(path).convert("RGB"))
            for effort in EFFORTS:
                keys = {"set": name, "picture": path.name, "codec": f"JPEG XL, effort {effort}"}
                if tuple(keys.values()) not in book.done:
                    begin = time.perf_counter()
                    figures = measure(pixels, lambda p, effort=effort: encode(p, effort), classic.decode)
                    book.add({"effort": effort}, time.perf_counter() - begin, **keys, **figures)
    click.echo(table(list(book.done.values())))


if __name__ == "__main__":
    main()
