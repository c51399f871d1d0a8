"""What passes of the search for better latents are worth: rate, error and time of a pushed variable-rate codec.

    python -m tests.claims.passes --model DIR --pictures FOLDER

The cost is bpp + lambda MSE; its change is given in percent of the bits, the mean over pictures and the range. Seconds
are the median of coding and decoding one picture.
"""

import os
import pathlib
import time

import click
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from components.serving import served_codec  # noqa: E402
from components.serving.codec_family import CodecFamily  # noqa: E402
from tests.claims.kodak_rd import read_pictures  # noqa: E402

PASSES, QUALITIES = (0, 1, 2, 4, 8, 16, 32), (0, 50, 100)


@click.command()
@click.option("--model", "directory", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True, file_okay=False))
@click.option("--most", default=max(PASSES), show_default=True, help="Passes to go up to.")
def main(directory, pictures, most):
    """Code PICTURES with more and more passes."""
    codec, found = served_codec.ServedCodec(directory), read_pictures(pictures)
    lmbdas = {point.quality: point.lmbda for point in CodecFamily([directory]).points}
    if not served_codec.is_variable(codec.description):
        raise click.UsageError(f"{directory}: a model of one rate")
    click.echo("quality  passes     bpp      dB   MS-SSIM  seconds    cost against none (range)")
    for quality in QUALITIES:
        plain = None
        for passes in (p for p in PASSES if p <= most):
            points, seconds = [], []
            for picture in found.values():
                start = time.monotonic()
                points.append(codec.measure(picture, quality, passes)[0])
                seconds.append(time.monotonic() - start)
            bpp, db, similarity = (np.array([getattr(p, k) for p in points]) for k in ("bpp", "psnr_db", "ms_ssim"))
            cost = bpp + lmbdas[quality] * 255.0**2 * 10 ** (-db / 10)
            plain = (cost, bpp) if plain is None else plain
            change = 100 * (cost - plain[0]) / plain[1]
            click.echo(
                f"{quality:7}{passes:8}{bpp.mean():8.4f}{db.mean():8.2f}{similarity.mean():10.4f}{np.median(seconds):9.2f}"
                f"    {change.mean():+.1f} % ({change.min():+.1f} to {change.max():+.1f})"
            )


if __name__ == "__main__":
    main()
