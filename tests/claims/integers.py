"""What exact integers cost: bits under the integer parameters against bits under the float ones, on the same latents.

    python -m tests.claims.integers --pictures FOLDER --model DIR [--model DIR ...]

For each picture a codec's latents are quantised as they are served. "float" is what its own network in floating point
and its continuous scales expect of them, "integer" the same densities at the parameters that the coder is given
(fixed-point network, rounded means, scale levels and weights), "coded" the sections of the stream, without header.
"""

import os
import pathlib

import click
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # noqa: E402

from components.evaluation import rate_distortion  # noqa: E402
from components.serving import served_codec  # noqa: E402
from models.codecs.serving.latents import MixtureLatents, mixture_bits  # noqa: E402
from models.publishing import pushed  # noqa: E402
from tests.claims.mixture_size import pictures_of  # noqa: E402


def bits(server, pixels: np.ndarray) -> np.ndarray:
    """Bits of uint8 [H, W, 3] in float, in integer, coded: float64 [3]."""
    latents, y = server.payload.latents, server.payload.analyse(tf.constant(pixels))
    sections, y_hat = latents.encode(y)
    z_hat = tf.round(latents.model.hyper_latents(y))
    height, width = tf.shape(y)[1], tf.shape(y)[2]
    if isinstance(latents, MixtureLatents):
        each = mixture_bits(tf.reshape(y_hat, [-1]), *latents.mixtures(latents.parameters(z_hat, height, width)))
    else:
        mean, level = latents.means_and_levels(latents.parameters(z_hat, height, width))
        each = latents.bits(y_hat - mean, [level])
    integer = float(latents.model.prior(z_hat)[0]) + float(tf.reduce_sum(tf.cast(each, tf.float64)))
    coded = 8 * sum(len(section.numpy()) for section in sections)
    return np.array([float(latents.model.estimated_bits(y_hat, z_hat)[0]), integer, coded])


@click.command()
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True, file_okay=False))
@click.option("--model", "models", required=True, multiple=True, type=click.Path(path_type=pathlib.Path, exists=True))
def main(pictures, models):
    """Compare float and integer parameters."""
    files = pictures_of(pictures)
    for directory in map(served_codec.newest_version, models):
        recipe, config, model = pushed.load(str(directory))
        server = recipe.signatures(model, config)
        found = np.stack([bits(server, rate_distortion.read_rgb(f)) for f in files])
        shares = 100 * (found[:, 1:] / found[:, :1] - 1)
        click.echo(f"{recipe.name}, lambda {config.lmbda}: {len(files)} pictures, % over the float parameters")
        for name, values in zip(("integer", "coded"), shares.T, strict=True):
            click.echo(f"  {name:8} mean {values.mean():+.3f}, from {values.min():+.3f} to {values.max():+.3f}")


if __name__ == "__main__":
    main()
