"""What a squared error is worth in bits to the encoder: costs of a pushed codec under several values of ERROR_BITS.

    python -m tests.claims.error_bits --model DIR --pictures FOLDER

Infinity is plain rounding. The cost is bpp + lambda MSE; its change is given in percent of the bits.
"""

import math
import os
import pathlib

import click
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from components.serving import served_codec  # noqa: E402
from models.codecs.serving import latents  # noqa: E402
from models.publishing import pushed  # noqa: E402
from tests.claims.edic_ablation import measure  # noqa: E402
from tests.claims.mixture_size import pictures_of  # noqa: E402

VALUES = (math.inf, 40.0, 30.0, 24.0, 18.0, 14.0, 10.0, 6 / math.log(2))


@click.command()
@click.option("--model", "directory", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
def main(directory, pictures):
    """Code PICTURES with every value."""
    recipe, config, model = pushed.load(str(served_codec.newest_version(directory)))
    files, plain = pictures_of(pictures), None
    click.echo("error bits     bpp      dB    cost    against rounding")
    for value in VALUES:
        # Large enough is infinite: no symbol costs so much.
        latents.ERROR_BITS = min(value, 1e6)
        mean = {k: float(np.mean(v)) for k, v in measure(recipe, model, config, files).items()}
        plain = plain or mean
        share = 100 * (mean["rd_cost"] - plain["rd_cost"]) / plain["bpp"]
        click.echo(f"{value:10.1f}{mean['bpp']:9.4f}{mean['psnr_db']:8.2f}{mean['rd_cost']:9.4f}    {share:+.2f} %")


if __name__ == "__main__":
    main()
