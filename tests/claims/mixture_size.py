"""What K buys: Gaussian mixtures of K components fitted to one set of frozen latents, bits a latent on other pictures.

    python -m tests.claims.mixture_size --model DIR --train FOLDER --pictures FOLDER [--steps N] [--seeds N] --out FILE

The model is a pushed `mean_scale_hyperprior`. Its analysis and hyper-analysis stay as they are and give integer latents
and hyper-latents; for each K and seed the network from hyper-latents to mixtures (`edic`'s) is trained anew on crops of
the training pictures, all with the same steps and the same crops, then measured on whole pictures. Distortion is the
same by construction. Each finished fit is a line of FILE; the same command goes on where it was stopped.
"""

import json
import os
import pathlib
from collections.abc import Sequence

import click
import keras
import numpy as np
from keras import ops

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from components.evaluation import rate_distortion  # noqa: E402
from components.serving import served_codec  # noqa: E402
from models.codecs.hyperprior import crop_like  # noqa: E402
from models.contract import registry  # noqa: E402
from models.entropy.densities import gaussian, mixture  # noqa: E402
from models.publishing import pushed  # noqa: E402

COMPONENTS = (1, 2, 3, 5)
CROP, BATCH = 192, 16
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def pictures_of(folder: pathlib.Path) -> list[pathlib.Path]:
    """The pictures below a folder, sorted.

    Raises:
      click.UsageError: it holds none.
    """
    if not (files := sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)):
        raise click.UsageError(f"{folder}: no pictures here")
    return files


def latents_of(model: keras.Model, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integer latents and hyper-latents, float32, of uint8 [B, H, W, 3] with sides that 64 divides."""
    y = ops.cast(model.analysis(np.float32(pixels) / 255), "float32")
    return np.rint(np.array(y)), np.rint(np.array(model.hyper_latents(y)))


def training_latents(model: keras.Model, files: Sequence[pathlib.Path], crops: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents and hyper-latents of random crops, drawn evenly over the pictures."""
    rng, parts = np.random.default_rng(1), []
    pixels = [rate_distortion.read_rgb(f) for f in files]
    pixels = [p for p in pixels if min(p.shape[:2]) >= CROP]
    for _ in range(crops // BATCH):
        batch = []
        for picture in (pixels[i] for i in rng.integers(len(pixels), size=BATCH)):
            top, left = (rng.integers(side - CROP + 1) for side in picture.shape[:2])
            batch.append(picture[top : top + CROP, left : left + CROP])
        parts.append(latents_of(model, np.stack(batch)))
    return tuple(np.concatenate(p) for p in zip(*parts, strict=True))


class Mixtures(keras.Model):
    """Only what gives mixtures from hyper-latents; its loss is bits a latent."""

    def __init__(self, codec: keras.Model):
        super().__init__()
        codec.trainable = False  # all of it but
        codec.hyper_synthesis.trainable = True
        self.codec, self.network = codec, codec.hyper_synthesis

    def call(self, z_hat):
        """Outputs of the hyper-synthesis of hyper-latents [B, h, w, N]."""
        return ops.cast(self.network(z_hat), "float32")

    def bits(self, y_hat, parameters):
        """Bits [B] of integer latents [B, h, w, M]."""
        means, levels, logits = self.codec.split(crop_like(parameters, y_hat))
        return mixture.bits(y_hat, means, gaussian.scale_of(levels), logits)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.sum(self.bits(y, y_pred)) / np.prod(y.shape[1:]) / ops.shape(y)[0]


def fit(codec: keras.Model, components: int, seed: int, data: tuple[np.ndarray, np.ndarray], steps: int) -> Mixtures:
    """Trains the mixtures of K components on frozen latents."""
    keras.utils.set_random_seed(seed)
    edic = registry.get("edic")
    shape = {"channels": codec.config.channels, "latents": codec.config.latents}
    parts = {"components": components, "attention": False, "enhancement": "off"}
    model = Mixtures(edic.build(edic.make_config("small", shape | parts)))
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps, alpha=0.02)
    model.compile(optimizer=keras.optimizers.Adam(rate, global_clipnorm=1.0))
    y_hat, z_hat = data
    order = np.random.default_rng(seed)
    for _ in range(steps):
        chosen = order.integers(len(y_hat), size=BATCH)
        model.train_on_batch(z_hat[chosen], y_hat[chosen])
    return model


def measured(codec: keras.Model, model: Mixtures, files: Sequence[pathlib.Path]) -> list[float]:
    """Bits a latent of each picture, cut to sides that 64 divides."""
    found = []
    for file in files:
        pixels = rate_distortion.read_rgb(file)
        height, width = (side // 64 * 64 for side in pixels.shape[:2])
        y_hat, z_hat = latents_of(codec, pixels[None, :height, :width])
        found.append(float(model.bits(y_hat, model(z_hat))[0]) / y_hat.size)
    return found


@click.command()
@click.option("--model", "directory", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--train", "folder", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--pictures", required=True, type=click.Path(path_type=pathlib.Path, exists=True))
@click.option("--steps", default=1500, show_default=True)
@click.option("--seeds", default=3, show_default=True)
@click.option("--crops", default=2048, show_default=True, help="Training crops, the same for all.")
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path), help="Finished fits, one JSON a line.")
def main(directory, folder, pictures, steps, seeds, crops, out):
    """Fit mixtures of 1, 2, 3 and 5 components to frozen latents."""
    done = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    wanted = [(seed, k) for seed in range(1, seeds + 1) for k in COMPONENTS]
    left = [pair for pair in wanted if pair not in {(d["seed"], d["components"]) for d in done}]
    if left:
        _, _, codec = pushed.load(str(served_codec.newest_version(directory)))
        data, files = training_latents(codec, pictures_of(folder), crops), pictures_of(pictures)
    for seed, k in left:
        bits = measured(codec, fit(codec, k, seed, data, steps), files)
        done.append({"seed": seed, "components": k, "steps": steps, "bits": bits})
        with out.open("a") as file:
            file.write(json.dumps(done[-1]) + "\n")
        click.echo(f"seed {seed}  K = {k}  {np.mean(bits):.5f} bits a latent")
    of = {(d["seed"], d["components"]): np.mean(d["bits"]) for d in done}
    click.echo("K   bits a latent (each seed)   against K = 1")
    for k in COMPONENTS:
        values = [of[s, k] for s in range(1, seeds + 1)]
        gains = [100 * (of[s, k] / of[s, 1] - 1) for s in range(1, seeds + 1)]
        figures = " ".join(f"{v:.5f}" for v in values)
        click.echo(f"{k}   {figures}   {np.mean(gains):+.2f} % (from {min(gains):+.2f} to {max(gains):+.2f})")


if __name__ == "__main__":
    main()
