"""What a squared error is worth in bits to the encoder: a pushed codec under several values of ERROR_BITS.

    python -m tests.claims.error_bits --model DIR --pictures FOLDER [--quality N ...] [--every N]

Infinity is plain rounding. Without qualities the cost bpp + lambda MSE is compared, its change in percent of the bits;
with some, the mean curves over them, by the rate's difference at equal PSNR (BD-rate), over all of the curve and over
its lower and its upper half.
"""

import math
import os
import pathlib
from collections.abc import Sequence

import click
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # noqa: E402

from components.evaluation import rate_distortion  # noqa: E402
from components.serving import served_codec  # noqa: E402
from models.codecs.serving import latents  # noqa: E402
from models.publishing import pushed  # noqa: E402
from tests.claims.edic_ablation import measure  # noqa: E402
from tests.claims.mixture_size import pictures_of  # noqa: E402

VALUES = (math.inf, 100.0, 80.0, 60.0, 40.0, 30.0, 24.0, 18.0, 14.0, 10.0, 6 / math.log(2))


def curve(recipe, model, config, files: Sequence[pathlib.Path], qualities: Sequence[int]) -> list[tuple[float, float]]:
    """(mean bpp, mean PSNR in dB) at each quality."""
    functions = recipe.signatures(model, not_storing(config)).functions
    points = []
    for quality in qualities:
        found = []
        for file in files:
            picture = rate_distortion.read_rgb(file)
            encoded = tf.io.encode_png(picture)[None]
            stream = functions["compress_at"](image_bytes=encoded, quality=tf.constant([quality]))["bitstream_bytes"]
            decoded = tf.io.decode_png(functions["decompress"](bitstream_bytes=stream)["image_bytes"][0], 3)
            bits = 8 * len(stream.numpy()[0]) / (picture.shape[0] * picture.shape[1])
            found.append((bits, float(tf.image.psnr(picture, decoded, 255))))
        points.append(tuple(np.mean(found, axis=0)))
    return points


def not_storing(config):
    """The configuration of a codec that stores nothing as a PNG."""
    return type(config)(**(vars(config) | {"store": False}))


@click.command()
@click.option("--model", "directory", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--quality", "qualities", multiple=True, type=click.IntRange(0, 100))
@click.option("--every", default=1, show_default=True, help="Take each so many-th picture.")
@click.option("--value", "values", multiple=True, type=float, help="[default: a range of eleven]")
def main(directory, pictures, qualities, every, values):
    """Code PICTURES with every value."""
    recipe, config, model = pushed.load(str(served_codec.newest_version(directory)))
    files, values = pictures_of(pictures)[::every], values or VALUES
    if qualities:
        compare_curves(recipe, model, config, files, sorted(qualities), values)
        return
    click.echo("error bits     bpp      dB    cost    against rounding")
    plain = None
    for value in values:
        # Large enough is infinite: no symbol costs so much.
        latents.ERROR_BITS = model.error_bits = min(value, 1e6)
        mean = {k: float(np.mean(v)) for k, v in measure(recipe, model, config, files).items()}
        plain = plain or mean
        share = 100 * (mean["rd_cost"] - plain["rd_cost"]) / plain["bpp"]
        click.echo(f"{value:10.1f}{mean['bpp']:9.4f}{mean['psnr_db']:8.2f}{mean['rd_cost']:9.4f}    {share:+.2f} %")


def compare_curves(recipe, model, config, files, qualities, values) -> None:
    """Prints the BD-rate of each value against what is served: whole, lower half, upper half."""
    served = model.error_bits or latents.ERROR_BITS
    anchor, middle = curve(recipe, model, config, files, qualities), len(qualities) // 2
    click.echo(f"{len(files)} pictures, qualities {', '.join(map(str, qualities))}; BD-rate against {served:g}")
    for value in values:
        latents.ERROR_BITS = model.error_bits = min(value, 1e6)
        points = curve(recipe, model, config, files, qualities)
        parts = (slice(None), slice(middle + 1), slice(middle, None))
        shares = [rate_distortion.bd_rate(anchor[part], points[part])[0] for part in parts]
        ends = f"{points[0][0]:.4f} bpp {points[0][1]:.2f} dB to {points[-1][0]:.4f} bpp {points[-1][1]:.2f} dB"
        click.echo(f"{value:10.1f}" + "".join(f"{share:+8.2f} %" for share in shares) + f"   {ends}")


if __name__ == "__main__":
    main()
