"""Whether FD orders what is known to be worse: pictures that were blurred, disturbed, coded, each ever more.

    python -m tests.claims.feature_distance --photos DIR [--photos DIR]

Photographs that the feature network was not trained on are cut into squares of 64 pixels. The table has the FD of each
distortion at growing strength from the squares as they are, and that of one half of the squares from the other, which
is what different content alone makes. Ends with status 1 where a stronger distortion is nearer.
"""

import io
import pathlib
import sys

import click
import numpy as np
import scipy.ndimage
from PIL import Image

from components.evaluation.aggregates import frechet
from models.generative.perception import served

SIDE = 64


def blurred(x: np.ndarray, sigma: float) -> np.ndarray:
    """Pictures [N, H, W, 3] under a Gaussian of `sigma` pixels."""
    return scipy.ndimage.gaussian_filter(x.astype(np.float32), (0, sigma, sigma, 0), mode="nearest").round()


def noisy(x: np.ndarray, deviation: float) -> np.ndarray:
    """With normal noise of a standard deviation in levels."""
    return np.clip(x + np.random.default_rng(1).normal(0, deviation, x.shape), 0, 255).round()


def jpeg(x: np.ndarray, quality: int) -> np.ndarray:
    """Through a JPEG of a quality."""
    found = []
    for picture in x:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, format="JPEG", quality=quality)
        found.append(np.asarray(Image.open(file)))
    return np.stack(found)


def coarse(x: np.ndarray, factor: int) -> np.ndarray:
    """Means of so many pixels each way, and cubic interpolation back."""
    size, side = x.shape[1:3], x.shape[1] // factor
    small = (Image.fromarray(p).resize((side, side), Image.Resampling.BOX) for p in x)
    return np.stack([np.asarray(p.resize(size[::-1], Image.Resampling.BICUBIC)) for p in small])


STRENGTHS = {
    blurred: (0.6, 1.0, 1.6, 2.5), noisy: (5, 10, 20, 40), jpeg: (50, 25, 12, 6), coarse: (2, 3, 4, 6)
}  # fmt: skip


def squares(pictures, side: int = SIDE) -> np.ndarray:
    """Pictures uint8 [H, W, 3] cut into all squares that fit, uint8 [N, side, side, 3]."""
    found = []
    for picture in pictures:
        rows, columns = (n // side for n in picture.shape[:2])
        cut = picture[: rows * side, : columns * side].reshape(rows, side, columns, side, 3).swapaxes(1, 2)
        found.append(cut.reshape(-1, side, side, 3))
    return np.concatenate(found)


def distances(x: np.ndarray, distort, strengths) -> list[float]:
    """FD of pictures under a distortion from themselves, by strength."""
    real = served.of_pictures(x)
    return [frechet.between(served.of_pictures(distort(x, s)), real) for s in strengths]


@click.command()
@click.option("--photos", required=True, multiple=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--step", default=1, help="Takes every so manyth square.")
def main(photos, step) -> None:
    """Prints the table."""
    paths = sorted(p for folder in photos for p in folder.glob("*.png"))
    x = squares(np.asarray(Image.open(p).convert("RGB")) for p in paths)[::step]
    real, wrong = served.of_pictures(x), []
    halves = frechet.between(real[::2], real[1::2])
    click.echo(f"{len(x)} squares of {len(paths)} photographs; one half from the other: {halves:.3f}")
    click.echo("\n| distortion | strengths | FD |\n| --- | --- | --- |")
    for distort, strengths in STRENGTHS.items():
        found = distances(x, distort, strengths)
        if any(a >= b for a, b in zip(found, found[1:], strict=False)):
            wrong.append(distort.__name__)
        cells = ", ".join(map(str, strengths)), ", ".join(f"{value:.2f}" for value in found)
        click.echo(f"| {distort.__name__} | " + " | ".join(cells) + " |")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
