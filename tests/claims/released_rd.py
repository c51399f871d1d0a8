"""What `compress --quality` gives with the released codecs, over all of its range, beside the classic codecs.

    python -m tests.claims.released_rd --pictures FOLDER --out docs/NAME [--refine N] [--plugin FOLDER]

writes NAME.json (every picture's figures), NAME.md (the tables) and NAME.png (the plot). BD-rates are of the part of
the curve between 0.1 and 2 bits a pixel. With `pillow-jxl-plugin` importable, or unpacked in a folder, JPEG XL is
measured too. Seconds are those of one picture in a process that is warm, coder and network together.
"""

import dataclasses
import importlib
import io
import json
import os
import pathlib
import sys
import time

import click
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from PIL import Image  # noqa: E402

from components.evaluation import classic, rate_distortion  # noqa: E402
from components.serving.released_codecs import ReleasedRates  # noqa: E402
from components.serving.served_codec import png  # noqa: E402
from models.entropy.coder import header  # noqa: E402
from pipeline.client.codecs import CODECS, released_folder  # noqa: E402
from tests.claims import kodak_rd  # noqa: E402

QUALITIES = tuple(range(0, 101, 10))
RANGE = 0.1, 2.0  # bits a pixel
NAME = "released"


def _full_colour(quality: float) -> dict:
    return {"format": "AVIF", "quality": int(quality), "subsampling": "4:4:4", "speed": 6}


def _jpeg_xl(quality: float) -> dict:
    return {"format": "JXL", "lossless": False, "quality": int(quality), "effort": 7}


CLASSICS = (
    dataclasses.replace(classic.JPEG, settings=(3, 5, 10, 20, 35, 50, 70, 85, 92, 96)),
    classic.WEBP,
    dataclasses.replace(classic.JPEG2000, settings=(*classic.JPEG2000.settings, 4.0, 5.0)),
    dataclasses.replace(classic.AVIF, name="AVIF 4:2:0"),
    classic.ClassicCodec("AVIF 4:4:4", "speed 6", (2, 10, 20, 30, 40, 50, 60, 75, 85, 92, 96), _full_colour),
)


def jpeg_xl(plugin: str | None) -> list[classic.ClassicCodec]:
    """JPEG XL, if the plugin is there.

    Raises:
      click.UsageError: it is not in the folder that was given.
    """
    if plugin:
        sys.path.append(plugin)
    try:
        importlib.import_module("pillow_jxl")
    except ImportError as error:
        if plugin:
            raise click.UsageError(f"no pillow-jxl-plugin: {error}") from error
        return []
    settings = (5, 15, 30, 50, 65, 75, 85, 90, 94, 97)
    return [classic.ClassicCodec("JPEG XL", "VarDCT, effort 7", settings, _jpeg_xl)]


def measure(pictures: dict[str, np.ndarray], refine: int, tick) -> list[dict]:
    """A row for each quality and picture."""
    rates = ReleasedRates(CODECS, released_folder, refine)
    rows = []
    for quality in QUALITIES:
        place = round(quality / 100 * (rates.count - 1))
        rates.decompress(rates.compress_at(place, png(next(iter(pictures.values()))[:64, :64])))  # made and loaded
        for name, picture in pictures.items():
            encoded = png(picture)
            begin = time.perf_counter()
            stream = rates.compress_at(place, encoded)
            middle = time.perf_counter()
            decoded = rates.decompress(stream)
            end = time.perf_counter()
            with Image.open(io.BytesIO(decoded)) as file:
                point = rate_distortion.compare(picture, np.asarray(file.convert("RGB")), len(stream))
            rows.append({"picture": name, "quality": quality, "model": rates.points[place].model,
                         "lmbda": rates.lmbda(place), "bytes": len(stream), "stored": header.is_stored(stream),
                         "encode_s": middle - begin, "decode_s": end - middle,
                         **dataclasses.asdict(point)})  # fmt: skip
            tick()
    return rows


def means(rows: list[dict]) -> list[dict]:
    """The mean over pictures at each quality; seconds are medians."""
    found = []
    for quality in QUALITIES:
        own = [row for row in rows if row["quality"] == quality]
        mean = {k: float(np.mean([row[k] for row in own])) for k in ("bytes", "bpp", "psnr_db", "ms_ssim", "lmbda")}
        mean |= {k: float(np.median([row[k] for row in own])) for k in ("encode_s", "decode_s")}
        found.append({"quality": quality, "model": own[0]["model"], "stored": sum(row["stored"] for row in own)} | mean)
    return found


def rises(rows: list[dict], figure: str) -> int:
    """On how many pictures a figure never falls from one quality to the next."""
    pictures = {row["picture"] for row in rows}
    curves = [[row[figure] for row in rows if row["picture"] == picture] for picture in pictures]
    return sum(bool((np.diff(curve) >= 0).all()) for curve in curves)


def points(mean: list[dict]) -> list[rate_distortion.Point]:
    """Those of the curve that lie in RANGE."""
    return [
        rate_distortion.Point(m["bpp"], m["psnr_db"], m["ms_ssim"]) for m in mean if RANGE[0] <= m["bpp"] <= RANGE[1]
    ]


def markdown(result: dict, plot: str) -> str:
    """The tables of a result as a page."""
    names, parts = result["pictures"], []
    for name, mean in result["means"].items():
        rows = [(m["quality"], m["model"], f"{m['bpp']:.3f}", f"{m['psnr_db']:.2f}", f"{m['ms_ssim']:.4f}",
                 f"{m['bytes']:,.0f}", f"{m['encode_s']:.2f}", f"{m['decode_s']:.2f}") for m in mean]  # fmt: skip
        count, own = len(names), result["rows"][name]
        parts += [
            f"**{name}**: bytes rise from each quality to the next on {rises(own, 'bytes')} of {count} pictures, PSNR "
            f"on {rises(own, 'psnr_db')}.",
            kodak_rd.table(
                ("quality", "model", "bpp", "PSNR, dB", "MS-SSIM", "bytes", "coding, s", "decoding, s"), rows
            ),
        ]
    rates = [(r["recipe"], r["anchor"], r["measure"], f"{r['percent']:+.1f} %" if "percent" in r else r["reason"],
              f"{r['low_db']:.2f} to {r['high_db']:.2f} dB" if "percent" in r else "–")
             for r in result["bd_rate"]]  # fmt: skip
    classics = [(name, f"{p['bpp']:.3f}", f"{p['psnr_db']:.2f}", f"{p['ms_ssim']:.4f}")
                for name, curve in result["classic"].items() for p in curve]  # fmt: skip
    return "\n\n".join([
        f"Means over {len(names)} pictures ({names[0]} to {names[-1]}); PSNR over RGB; seconds are medians of a "
        "picture, two cores.",
        f"![rate-distortion curves]({plot})",
        *parts,
        f"**BD-rate** of the qualities between {RANGE[0]} and {RANGE[1]:g} bits a pixel (negative: fewer bits; log "
        "rate by PCHIP over the common range):",
        kodak_rd.table(("codec", "against", "measure", "BD-rate", "common range"), rates),
        "**The classic codecs** (" + "; ".join(f"{name}: {about}" for name, about in result["about"].items()) + "):",
        kodak_rd.table(("codec", "bpp", "PSNR, dB", "MS-SSIM"), classics),
    ]) + "\n"  # fmt: skip


@click.command()
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True, file_okay=False))
@click.option("--refine", type=click.IntRange(0, 100), default=0, help="Passes of a second curve.")
@click.option("--plugin", help="Folder that pillow_jxl lies in.")
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path), help="Outputs, without their endings.")
def main(pictures, refine, plugin, out):
    """Measure what is released, and the classic codecs, on PICTURES."""
    from tqdm import tqdm

    found, codecs = kodak_rd.read_pictures(pictures), [*CLASSICS, *jpeg_xl(plugin)]
    names = {NAME if not passes else NAME + kodak_rd.REFINED: passes for passes in kodak_rd.passes_of(refine)}
    total = len(found) * (len(QUALITIES) * len(names) + sum(len(c.settings) for c in codecs))
    with tqdm(total=total, unit="picture") as bar:
        rows = {name: measure(found, passes, bar.update) for name, passes in names.items()}
        anchors = {c.name: rate_distortion.classic_curve(c, list(found.values()), bar.update) for c in codecs}
    mean = {name: means(own) for name, own in rows.items()}
    rates = kodak_rd.bd_rates({name: points(own) for name, own in mean.items()}, anchors)
    result = {"pictures": list(found), "means": mean, "rows": rows, "bd_rate": rates,
              "about": {c.name: c.about for c in codecs},
              "classic": {name: [dataclasses.asdict(p) for p in curve] for name, curve in anchors.items()}}  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result, out.with_suffix(".png").name)
    out.with_suffix(".md").write_text(text, encoding="utf-8")
    shown = [{"recipe": name, "mean": m} for name, own in mean.items() for m in own if m["bpp"] <= 2 * RANGE[1]]
    kodak_rd.draw({"models": shown, "classic": result["classic"]}, out.with_suffix(".png"))
    click.echo(text)


if __name__ == "__main__":
    main()
