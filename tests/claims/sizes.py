"""Sizes of real life: parts of pictures cut at random, coded by a served model and by one exported before.

    python -m tests.claims.sizes --pictures FOLDER --before DIR --model DIR --out docs/sizes.json

Sides are drawn from 128 pixels to the picture's, whatever divides them. A part lies in the corner of a piece whose
sides 64 divides, and must not cost more than that. Every stream of either model is read by MODEL, both of variable
rate. The cost is bpp + lambda MSE, its change given in percent of the bits: the saving at equal distortion, to first
order. Intervals are of a bootstrap over pictures. Ends with status 1 if a part costs more than its piece, or if whole
pictures, of sides that 64 divides, are coded otherwise than before.
"""

import json
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from components.evaluation import classic  # noqa: E402
from components.serving import served_codec  # noqa: E402
from components.serving.codec_family import CodecFamily  # noqa: E402
from tests.claims.kodak_rd import read_pictures  # noqa: E402

SMALLEST, UNIT, DRAWS = 128, 64, 10_000


def around(side: int) -> int:
    """The side of the piece around a part."""
    return (side + UNIT - 1) // UNIT * UNIT


def parts(rng: np.random.Generator, height: int, width: int, count: int) -> Iterator[tuple[int, int, int, int]]:
    """(top, left, height, width) of random parts whose pieces of whole UNITs lie within the picture."""
    for _ in range(count):
        sides = [int(rng.integers(SMALLEST, side // UNIT * UNIT + 1)) for side in (height, width)]
        free = [side + 1 - around(part) for side, part in zip((height, width), sides, strict=True)]
        yield (*(int(rng.integers(n)) for n in free), *sides)


def interval(groups: Sequence[Sequence[float]], seed: int) -> tuple[float, float, float]:
    """Mean of all values, and the 95 % interval of it when pictures, whose values are a group each, are drawn anew."""
    sums, counts = (np.array([f(g) for g in groups], float) for f in (np.sum, len))
    drawn = np.random.default_rng(seed).integers(len(groups), size=(DRAWS, len(groups)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), [2.5, 97.5])
    return sums.sum() / counts.sum(), float(low), float(high)


class Measured:
    """Both models, "before" and "after", at one quality."""

    def __init__(self, writers: dict[str, served_codec.ServedCodec], quality: int):
        self.writers, self.quality = writers, quality
        points = CodecFamily([writers["after"].directory]).points
        self.lmbda = next(point.lmbda for point in points if point.quality == quality)

    def row(self, picture: np.ndarray) -> dict[str, Any]:
        """Bytes, dB and MSE of uint8 [H, W, 3] by writer, both read by the model of after."""
        found: dict[str, Any] = {"height": picture.shape[0], "width": picture.shape[1]}
        for name, writer in self.writers.items():
            stream = writer.compress(served_codec.png(picture), self.quality)
            decoded = classic.decode(self.writers["after"].decompress(stream))
            mse = float(np.square(picture.astype(float) - decoded).mean())
            found[name] = {"bytes": len(stream), "db": round(10 * np.log10(255**2 / mse), 3), "mse": round(mse, 4)}
        before, after = found["before"], found["after"]
        bits = 8 / (found["height"] * found["width"])
        change = bits * (after["bytes"] - before["bytes"]) + self.lmbda * (after["mse"] - before["mse"])
        return found | {
            "bytes_percent": round(100 * (after["bytes"] / before["bytes"] - 1), 2),
            "cost_percent": round(100 * change / (bits * before["bytes"]), 2),
        }

    def size(self, picture: np.ndarray) -> int:
        """Bytes that the model of after needs."""
        return len(self.writers["after"].compress(served_codec.png(picture), self.quality))


def measure(models: Measured, pictures: dict[str, np.ndarray], count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of the whole pictures, of the same less 32 pixels each way, and of `count` random parts of each."""
    rows, rng = [], np.random.default_rng(seed)
    for name, picture in pictures.items():
        height, width, _ = picture.shape
        rows.append({"picture": name, "kind": "whole"} | models.row(picture))
        rows.append({"picture": name, "kind": "less 32", "piece_bytes": rows[-1]["after"]["bytes"]})
        rows[-1] |= models.row(picture[: height - 32, : width - 32])
        for top, left, high, wide in parts(rng, height, width, count):
            piece = picture[top : top + around(high), left : left + around(wide)]
            about = {"picture": name, "kind": "random", "top": top, "left": left, "piece_bytes": models.size(piece)}
            rows.append(about | models.row(piece[:high, :wide]))
    return rows


def summary(rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Means over the random parts with intervals, the worst of them, and how many cost more than the piece around."""
    drawn = [row for row in rows if row["kind"] == "random"]
    names = sorted({row["picture"] for row in drawn})
    found: dict[str, Any] = {"parts": len(drawn)}
    for key in ("bytes_percent", "cost_percent"):
        groups = [[row[key] for row in drawn if row["picture"] == name] for name in names]
        found[key] = [round(v, 2) for v in interval(groups, seed)]
        found[key + "_range"] = [min(row[key] for row in drawn), max(row[key] for row in drawn)]
    for writer in ("before", "after"):
        bits = [8 * row[writer]["bytes"] / (row["height"] * row["width"]) for row in drawn]
        over = [100 * (row[writer]["bytes"] / row["piece_bytes"] - 1) for row in rows if row["kind"] != "whole"]
        found[writer] = {
            "bpp": round(float(np.mean(bits)), 4), "db": round(float(np.mean([r[writer]["db"] for r in drawn])), 2),
            "cost_more_than_piece": sum(o > 0 for o in over), "worst_percent_of_piece": round(max(over), 1),
        }  # fmt: skip
    found["whole_pictures_differ"] = sum(row["before"] != row["after"] for row in rows if row["kind"] == "whole")
    return found


@click.command()
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True, file_okay=False))
@click.option("--before", required=True, type=click.Path(path_type=pathlib.Path, exists=True), help="The older model.")
@click.option("--model", required=True, type=click.Path(path_type=pathlib.Path, exists=True), help="The newer model.")
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path), help="JSON of all figures.")
@click.option("--quality", "qualities", multiple=True, type=int, default=(0, 50, 100), show_default=True)
@click.option("--count", default=4, show_default=True, help="Random parts of each picture.")
@click.option("--seed", default=1, show_default=True)
def main(pictures, before, model, out, qualities, count, seed):
    """Cut PICTURES to random sizes and code the parts with both models."""
    found = read_pictures(pictures)
    writers = {"before": served_codec.ServedCodec(before), "after": served_codec.ServedCodec(model)}
    result: dict[str, Any] = {"seed": seed, "count": count, "pictures": sorted(found), "qualities": {}}
    broken = False
    for quality in qualities:
        rows = measure(Measured(writers, quality), found, count, seed)
        told = summary(rows, seed)
        result["qualities"][str(quality)] = {"summary": told, "rows": rows}
        click.echo(f"quality {quality}: {json.dumps(told)}")
        broken = broken or told["after"]["cost_more_than_piece"] or told["whole_pictures_differ"]
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
