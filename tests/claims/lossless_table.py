"""Bits per sub-pixel of lossless codecs, real bytes of whole files, and seconds: ours, and the classic ones.

    python -m tests.claims.lossless_table --out rates.jsonl --set kodak=DIR --model causal_mixture=SERVING@0 \\
        --model "causal_mixture, 50 passes=SERVING@50" [--imagecodecs FOLDER]

A line a picture and codec; what is there is not done again. JPEG XL needs `imagecodecs`, importable or unpacked in a
folder; it is no dependency of this project. Every picture is decoded and compared.
"""

import importlib
import pathlib
import sys
import time

import click
import numpy as np
from PIL import Image

from components.evaluation import classic, classic_lossless
from components.serving.served_codec import ServedCodec, png
from tests.claims import ledger

_JPEG_XL = {"JPEG XL, effort 7": 7, "JPEG XL, effort 9": 9}


def coders_of(models, imagecodecs: str | None) -> dict:
    """name -> (encode: pixels -> bytes, decode: bytes -> pixels)."""
    found = {
        name: (lambda pixels, name=name: classic_lossless.encode(name, pixels), classic.decode)
        for name in classic_lossless.CODECS
    }
    if imagecodecs:
        sys.path.append(imagecodecs)
    try:
        codecs = importlib.import_module("imagecodecs")
    except ImportError:
        click.echo("no imagecodecs: JPEG XL is left out", err=True)
    else:
        for name, effort in _JPEG_XL.items():
            found[name] = (
                lambda pixels, effort=effort: codecs.jpegxl_encode(pixels, lossless=True, effort=effort, numthreads=1),
                codecs.jpegxl_decode,
            )
    for text in models:
        name, _, place = text.partition("=")
        folder, _, passes = place.partition("@")
        codec = ServedCodec(folder)
        found[name] = (
            lambda pixels, codec=codec, passes=int(passes or 0): codec.compress(png(pixels), refine=passes),
            lambda stream, codec=codec: classic.decode(codec.decompress(stream)),
        )
    return found


def measure(pixels: np.ndarray, encode, decode) -> dict[str, float | int]:
    """Bytes, bits per sub-pixel and seconds of one picture, uint8 [H, W, 3]; decoded and compared."""
    begin = time.perf_counter()
    stream = encode(pixels)
    middle = time.perf_counter()
    decoded = decode(stream)
    end = time.perf_counter()
    if not np.array_equal(decoded, pixels):
        raise click.ClickException("what was decoded is another picture")
    bits = classic_lossless.bits_per_sub_pixel(len(stream), pixels)
    seconds = {"encode_seconds": round(middle - begin, 3), "decode_seconds": round(end - middle, 3)}
    return {"bytes": len(stream), "bpsp": bits} | seconds


def table(rows) -> str:
    """Means over pictures of each set's codecs, as Markdown."""
    sets = list(dict.fromkeys(row["set"] for row in rows))
    lines = ["| codec | " + " | ".join(sets) + " | s, encode | s, decode |", "| --- |" + " ---: |" * (len(sets) + 2)]
    for codec in dict.fromkeys(row["codec"] for row in rows):
        own = [row for row in rows if row["codec"] == codec]
        means = [np.mean([r["bpsp"] for r in own if r["set"] == s] or [np.nan]) for s in sets]
        first = [r for r in own if r["set"] == own[0]["set"]]
        seconds = [np.mean([r[f"{way}_seconds"] for r in first]) for way in ("encode", "decode")]
        lines.append(f"| {codec} | " + " | ".join(f"{m:.3f}" for m in means) + " | {:.2f} | {:.2f} |".format(*seconds))
    return "\n".join(lines)


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path), help="JSON lines; goes on with them.")
@click.option("--set", "sets", multiple=True, required=True, help="NAME=FOLDER of pictures.")
@click.option("--model", "models", multiple=True, help="NAME=SERVING[@PASSES], a pushed or released model.")
@click.option("--imagecodecs", help="Folder that imagecodecs lies in.")
def main(out, sets, models, imagecodecs):
    """Measures, and prints the table of all lines."""
    book = ledger.Ledger(out, ("set", "picture", "codec"), sys.modules[__name__])
    coders = coders_of(models, imagecodecs)
    for text in sets:
        name, _, folder = text.partition("=")
        for path in sorted(pathlib.Path(folder).glob("*.png")):
            pixels = np.array(Image.open(path).convert("RGB"))
            for codec, (encode, decode) in coders.items():
                if (name, path.name, codec) in book.done:
                    continue
                begin = time.perf_counter()
                figures = measure(pixels, encode, decode)
                keys = {"set": name, "picture": path.name, "codec": codec}
                book.add({"models": sorted(models)}, time.perf_counter() - begin, **keys, **figures)
    click.echo(table(list(book.done.values())))


if __name__ == "__main__":
    main()
