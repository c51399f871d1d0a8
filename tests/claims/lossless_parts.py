"""What the serial order of the lossless codec of causal pixels costs: bits by rows of a band, and of small pictures.

    python -m tests.claims.lossless_parts --model DIR --pictures FOLDER [--every N]

Bits are those of real sections, without a stream's header, of whole pictures and of their central crops.
"""

import os
import pathlib
from collections.abc import Sequence

import click
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # noqa: E402

from components.evaluation import rate_distortion  # noqa: E402
from models.lossless import wavefront  # noqa: E402
from models.publishing import pushed  # noqa: E402
from tests.claims.mixture_size import pictures_of  # noqa: E402

BANDS, SIDES = (32, 64, 128, 256, 512), (32, 64, 128, 256)
SERVED = wavefront.BAND


def rates(payload, pictures: Sequence[np.ndarray], band: int) -> tuple[float, float]:
    """Mean bits per sub-pixel of pictures uint8 [H, W, 3] in bands of so many rows: coded, and as the model expects."""
    wavefront.BAND = band
    spec = tf.TensorSpec([None, None, 3], tf.uint8)
    encode = tf.function(lambda pixels: payload.encode(pixels, tf.constant(0))[0], [spec], autograph=False)
    zero = tf.constant(0.0)
    found = []
    for picture in pictures:
        bits = 8.0 * sum(len(section) for section in tf.stack(encode(picture)).numpy())
        expected = float(payload.measure(tf.constant(picture), None, None, zero, None)[1])
        found.append((bits / picture.size, expected))
    return tuple(np.mean(found, axis=0))


def central(picture: np.ndarray, side: int) -> np.ndarray:
    """The middle of uint8 [H, W, 3], [side, side, 3]."""
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--every", default=1, show_default=True, help="Take each so many-th picture.")
def main(model, pictures, every):
    """Code PICTURES by a pushed or released `causal_mixture`."""
    recipe, config, network = pushed.load(str(model))
    payload = recipe.signatures(network, config).payload
    whole = [rate_distortion.read_rgb(file) for file in pictures_of(pictures)[::every]]
    served = rates(payload, whole, SERVED)[0]
    click.echo(f"{len(whole)} pictures, bands of {SERVED} rows: {served:.4f} bits per sub-pixel")
    for band in BANDS:
        click.echo(f"bands of {band:4}: {100 * (rates(payload, whole, band)[0] / served - 1):+.2f} %")
    for side in SIDES:
        coded, expected = rates(payload, [central(picture, side) for picture in whole], SERVED)
        click.echo(f"crops of {side:4}: {coded:.4f}, {100 * (coded / expected - 1):+.2f} % over what the model expects")


if __name__ == "__main__":
    main()
