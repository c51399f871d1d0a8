"""Rate-distortion table of pushed codecs against JPEG, WebP and JPEG 2000 on a folder of pictures (Kodak's, say).

    python -m tests.claims.kodak_rd --pictures FOLDER --model DIR --model DIR ... --out docs/NAME

writes docs/NAME.json (every picture's figures), docs/NAME.md (the tables) and docs/NAME.png (the plot). Models of one
recipe are the points of one curve, a variable-rate model is one of itself. Rates are of real streams, read back by the
same model. `--refine N` adds curves of the same models with N passes that search for better latents.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from components.evaluation import classic, rate_distortion  # noqa: E402
from components.report import plots  # noqa: E402
from components.serving import served_codec  # noqa: E402

HEADER_BYTES = 40  # of a stream, that the estimate knows nothing of
QUALITIES = (0, 25, 50, 75, 100)  # at which a variable-rate model is measured
REFINED = ", refined"  # behind a recipe's name
SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".webp")


def read_pictures(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Name -> uint8 [H, W, 3] of the pictures of a folder.

    Raises:
      FileNotFoundError: it holds none.
    """
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(f"{folder}: no pictures here")
    return {p.stem: rate_distortion.read_rgb(p) for p in files}


def qualities_of(directory: pathlib.Path) -> tuple[int | None, ...]:
    """At which qualities a pushed model is measured: at none, if it has one rate."""
    about = served_codec.describe(served_codec.newest_version(directory))
    return QUALITIES if served_codec.is_variable(about) else (None,)


def passes_of(refine: int) -> tuple[int, ...]:
    """How many passes the curves of a model are measured with."""
    return (0, refine) if refine else (0,)


def measure_model(
    codec: served_codec.ServedCodec,
    pictures: Mapping[str, np.ndarray],
    quality: int | None = None,
    refine: int = 0,
    tick=lambda: None,
) -> dict[str, Any]:
    """Figures of one rate point: "recipe", "config", "quality", "refine", "mean" and "pictures", each with real rate.

    A model of one rate also says what it estimates, of latents that are not refined.
    """
    rows = []
    for name, picture in pictures.items():
        point, _ = codec.measure(picture, quality, refine)
        pixels = picture.shape[0] * picture.shape[1]
        size = round(point.bpp * pixels / 8)
        rows.append({"picture": name, "bytes": size, **dataclasses.asdict(point)})
        if quality is None and not refine:
            estimated = codec.estimated_bpp(picture)
            beyond = (size - HEADER_BYTES) * 8 / (estimated * pixels) - 1
            rows[-1] |= {"estimated_bpp": estimated, "excess_without_header_percent": 100 * beyond}
        tick()
    figures = [k for k in rows[0] if k not in ("picture", "bytes")]
    mean = {k: float(np.mean([r[k] for r in rows])) for k in figures}
    if quality is None and not refine:
        mean["largest_excess_without_header_percent"] = max(r["excess_without_header_percent"] for r in rows)
    described = codec.description
    # Where the first weights lay says nothing elsewhere.
    config = {name: value for name, value in described.get("config", {}).items() if name != "init"}
    name = described.get("recipe", "model")
    return {
        "recipe": name + REFINED if refine else name, "config": config, "refine": refine,
        "fingerprint": described.get("fingerprint", ""), "quality": quality, "mean": mean, "pictures": rows,
    }  # fmt: skip


def curves(models: Sequence[Mapping[str, Any]]) -> dict[str, list[rate_distortion.Point]]:
    """Recipe -> its models' mean points, by rising rate."""
    found: dict[str, list] = {}
    for model in models:
        mean = model["mean"]
        found.setdefault(model["recipe"], []).append(
            rate_distortion.Point(mean["bpp"], mean["psnr_db"], mean["ms_ssim"])
        )
    return {name: sorted(points, key=lambda p: p.bpp) for name, points in found.items()}


def bd_rates(
    learned: Mapping[str, Sequence[rate_distortion.Point]], anchors: Mapping[str, Sequence[rate_distortion.Point]]
) -> list[dict[str, Any]]:
    """A row for each recipe, anchor and measure: percent and common range in dB, or why there is none."""
    rows = []
    pairs = {"PSNR": rate_distortion.psnr_pairs, "MS-SSIM": rate_distortion.ms_ssim_pairs}
    for recipe, points in learned.items():
        for anchor, anchor_points in anchors.items():
            for measure, pair in pairs.items():
                row: dict[str, Any] = {"recipe": recipe, "anchor": anchor, "measure": measure}
                try:
                    percent, low, high = rate_distortion.bd_rate(pair(anchor_points), pair(points))
                    row |= {"percent": percent, "low_db": low, "high_db": high}
                except rate_distortion.CurveError as error:
                    row["reason"] = str(error)
                rows.append(row)
    return rows


def against_plain(learned: Mapping[str, Sequence[rate_distortion.Point]]) -> list[dict[str, Any]]:
    """`bd_rates` of the refined curves, each against the same models without refinement."""
    pairs = [(name, name.removesuffix(REFINED)) for name in learned if name.endswith(REFINED)]
    return [row for name, plain in pairs for row in bd_rates({name: learned[name]}, {plain: learned[plain]})]


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def markdown(result: Mapping[str, Any], plot_name: str) -> str:
    """The tables of a result as a page."""
    names = result["pictures"]
    models = sorted(result["models"], key=lambda m: (m["recipe"], m["mean"]["bpp"]))
    digits = {"bpp": 4, "estimated_bpp": 4, "psnr_db": 2, "ms_ssim": 4, "largest_excess_without_header_percent": 2}
    points = [
        [
            m["recipe"],
            _point_name(m),
            *(f"{m['mean'][k]:.{d}f}" if k in m["mean"] else "–" for k, d in digits.items()),
            *_against(m["mean"], result["classic"]),
        ]
        for m in models
    ]
    classics = [
        [name, f"{p['bpp']:.3f}", f"{p['psnr_db']:.2f}", f"{p['ms_ssim']:.4f}"]
        for name, curve in result["classic"].items() for p in curve
    ]  # fmt: skip
    rates = [
        [r["recipe"], r["anchor"], r["measure"],
         f"{r['percent']:+.1f} %" if "percent" in r else "–",
         f"{r['low_db']:.2f} to {r['high_db']:.2f} dB" if "percent" in r else r["reason"]]
        for r in result["bd_rate"] if sum(m["recipe"] == r["recipe"] for m in models) > 1
    ]  # fmt: skip
    return "\n\n".join([
        f"Means over {len(names)} pictures ({names[0]} to {names[-1]}). Rates count every byte of a stream or file; "
        "PSNR is over RGB, the mean of the pictures' values in dB.",
        f"![rate-distortion curves]({plot_name})",
        "**BD-rate** (negative: the model needs fewer bits; log rate interpolated by PCHIP over the common range):",
        table(("codec", "against", "measure", "BD-rate", "common range"), rates)
        if rates else "None: a curve takes at least two models of one recipe.",
        f"**The models.** Excess: the largest of a picture's real bits, less {HEADER_BYTES} bytes of header, over the "
        "model's own estimate. The last columns: rate against a classic codec's at the same PSNR.",
        table(("codec", "lambda or quality", "bpp", "estimated", "PSNR, dB", "MS-SSIM", "excess, %",
               *result["classic"]), points),
        "**The classic codecs** (" + "; ".join(f"{c.name}: {c.about}" for c in classic.CODECS) + "; Pillow):",
        table(("codec", "bpp", "PSNR, dB", "MS-SSIM"), classics),
    ]) + "\n"  # fmt: skip


def _point_name(model: Mapping[str, Any]) -> str:
    return str(model["config"].get("lmbda", "–")) if model["quality"] is None else f"quality {model['quality']}"


def _against(mean: Mapping[str, float], anchors: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    """How much more than each anchor a model spends at its own PSNR, in percent; a dash outside the anchor's curve."""
    rates = [rate_distortion.rate_at([(p["bpp"], p["psnr_db"]) for p in a], mean["psnr_db"]) for a in anchors.values()]
    return [f"{100 * (mean['bpp'] / rate - 1):+.1f} %" if rate else "–" for rate in rates]


def _with_decibels(point: Mapping[str, float]) -> dict[str, float]:
    return dict(point) | {"ms_ssim_db": rate_distortion.decibels(point["ms_ssim"])}


def draw(result: Mapping[str, Any], path: pathlib.Path) -> None:
    """The two plots, by PSNR and by MS-SSIM, side by side as a PNG."""
    learned: dict[str, list] = {}
    for model in result["models"]:
        learned.setdefault(model["recipe"], []).append(_with_decibels(model["mean"]))
    classics = {name: [_with_decibels(p) for p in curve] for name, curve in result["classic"].items()}
    fig, panels = plots.axes((11, 4.4), 2)
    for ax, quality in zip(panels, ("psnr_db", "ms_ssim_db"), strict=True):
        plots.rate_distortion(ax, classics, learned, quality)
    plots.save_png(fig, path)


def run(
    pictures: Mapping[str, np.ndarray], models: Sequence[pathlib.Path], refine: int = 0, tick=lambda: None
) -> dict[str, Any]:
    """Measures everything; what the JSON file holds. `tick` is called once for each coded picture."""
    measured = []
    for directory in models:
        codec = served_codec.ServedCodec(directory)
        measured += [
            measure_model(codec, pictures, quality, passes, tick)
            for passes in passes_of(refine) for quality in qualities_of(directory)
        ]  # fmt: skip
    anchors = {c.name: rate_distortion.classic_curve(c, list(pictures.values()), tick) for c in classic.CODECS}
    learned = curves(measured)
    return {
        "pictures": list(pictures), "models": measured,
        "classic": {name: [dataclasses.asdict(p) for p in curve] for name, curve in anchors.items()},
        "bd_rate": bd_rates(learned, anchors) + against_plain(learned),
    }  # fmt: skip


@click.command()
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True, file_okay=False))
@click.option("--model", "models", required=True, multiple=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--refine", type=click.IntRange(0, 100), default=0, help="Passes of a second curve of each model.")
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path), help="Outputs, without their endings.")
def main(pictures, models, refine, out):
    """Measure pushed MODELS and the classic codecs on PICTURES."""
    from tqdm import tqdm

    try:
        found = read_pictures(pictures)
        points = len(passes_of(refine)) * sum(len(qualities_of(m)) for m in models)
        total = len(found) * (points + sum(len(c.settings) for c in classic.CODECS))
        with tqdm(total=total, unit="picture") as bar:
            result = run(found, models, refine, bar.update)
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result, out.with_suffix(".png").name)
    out.with_suffix(".md").write_text(text, encoding="utf-8")
    draw(result, out.with_suffix(".png"))
    click.echo(text)


if __name__ == "__main__":
    main()
