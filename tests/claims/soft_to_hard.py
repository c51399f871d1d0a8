"""Which claims of soft-to-hard vector quantisation (arXiv:1704.00648) hold here: pictures, and compressed networks.

    python -m tests.claims.soft_to_hard codec --out FILE.jsonl --work DIR --photos DIR --test DIR [--seeds 1,2,3]
    python -m tests.claims.soft_to_hard networks --out FILE.jsonl --work DIR [--data cifar10.npz] [--seeds 1,2,3]
    python -m tests.claims.soft_to_hard report --out FILE.jsonl

Codec: a small one on crops of 64 pixels, at two or three lambdas, with vectors or scalars, with and without the entropy
term, and with sigma that stays. Networks: SmallCNN on the digits of scikit-learn, or on packed CIFAR-10 without
augmentation; compressed with several numbers of centres, and k-means on its kernels at the same ones. Accuracies are
those of what the packed bytes hold. Each finished run is a line of FILE: the same command goes on where it was stopped.
"""

import dataclasses
import json
import pathlib
import sys
import time

import click
import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from models.classifiers import inputs as classifier_inputs
from models.compressed import archive, original
from models.compressed.coded import Coded, as_half, fill, kernels_of, rest_of
from models.compressed.statistics import estimate
from models.contract import registry
from models.layers.vector_quantizer import assigned, kmeans
from models.publishing import pushed
from models.training import loop
from tests.claims import packed_records, strassen
from tests.claims.ledger import Ledger
from tests.claims.soft_to_hard_report import report

_SIDE = 256  # of the pieces of photographs that are trained and tested on
CODEC = {"channels": 24, "blocks": 1, "latents": 16, "crop_size": 64, "batch_size": 8, "steps": 400,
         "steps_per_epoch": 40, "learning_rate": 1e-3}  # fmt: skip
SCALARS = {"dimension": 1, "latents": 64, "centres": 4}
CODECS = {
    "vectors, lambda 0.01": {"lmbda": 0.01},
    "vectors, fixed sigma": {"lmbda": 0.01, "annealing": "fixed"},
    "vectors, no entropy term": {"lmbda": 0.01, "beta": 0.0},
    "scalars, lambda 0.01": {"lmbda": 0.01} | SCALARS,
    "vectors, lambda 0.003": {"lmbda": 0.003},
    "vectors, lambda 0.03": {"lmbda": 0.03},
}
# Beta against the entropy in bits a weight; the numbers of centres are also those of k-means.
_FREE = {"16 centres, no entropy term": {"centres": 16, "beta": 0.0}}
NETWORKS = {
    "digits": {"4 centres": {"centres": 4}, "16 centres": {"centres": 16}} | _FREE,
    "cifar10": {"16 centres, beta 10": {"centres": 16, "beta": 10.0}, "16 centres": {"centres": 16}} | _FREE,
}  # fmt: skip
COUNTS = (4, 16)
STEPS = {"digits": (900, 600), "cifar10": (1600, 600)}  # of an original, and of a compression


def opened(out: str) -> Ledger:
    """The finished runs of a file."""
    return Ledger(out, ("run", "seed"), sys.modules[__name__], strassen)


class Gaps(keras.callbacks.Callback):
    """Hard less soft loss on pictures that are not trained on, after each epoch of the joint phase."""

    def __init__(self, pixels: np.ndarray):
        super().__init__()
        self.pixels, self.found = pixels, []

    def on_epoch_end(self, epoch, logs=None):
        if self.model.config.stage == "joint":
            self.found.append(self.model.gap(self.pixels))


def pieces(folder: str) -> np.ndarray:
    """The centres of all photographs of a folder, uint8 [N, 256, 256, 3]."""
    found = []
    for path in sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in (".png", ".jpg", ".webp")):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        top, left = ((side - _SIDE) // 2 for side in pixels.shape[:2])
        if min(top, left) >= 0:
            found.append(pixels[top : top + _SIDE, left : left + _SIDE])
    return np.stack(found)


def run_codec(name: str, options: dict, seed: int, files: dict, test: np.ndarray, ledger: Ledger, work: str) -> None:
    """Trains one codec and measures bits and errors on the test pictures."""
    keras.utils.clear_session()
    recipe = registry.get("soft_to_hard")
    config = recipe.make_config("small", CODEC | options | {"seed": seed})
    x, start = test.astype("float32") / 255.0, time.monotonic()
    gaps, folder = Gaps(x[:, 96:160, 96:160]), pathlib.Path(work, "runs", f"{name}-{seed}".replace(" ", ""))
    model = loop.train(
        recipe, config, [files["train"]], [files["validation"]], work_dir=str(folder / "state"),
        log_dir=str(folder / "logs"), callbacks=[gaps], progress=False,
    )  # fmt: skip
    coded = [model(x[n : n + 1], training=False) for n in range(len(x))]
    mse = [float(np.mean(np.square(np.array(c["x_hat"][0]) - x[n]))) for n, c in enumerate(coded)]
    row = {"bpp": float(np.mean([float(c["bits"][0]) for c in coded])) / _SIDE**2,
           "psnr": float(np.mean(-10 * np.log10(mse))), "gaps": gaps.found}  # fmt: skip
    click.echo(json.dumps(ledger.add(dataclasses.asdict(config), time.monotonic() - start, run=name, seed=seed, **row)))


class Networks(strassen.Experiment):
    """Records and runs of one data set."""

    def original(self, seed: int) -> str:
        """Folder of the plain network of a seed, trained when first asked for."""
        path = self.work / f"{self.name}-original-{seed}"
        if not (path / pushed.EXTRA / pushed.ABOUT).exists():
            keras.utils.clear_session()
            recipe, start = registry.get("small_cnn"), time.monotonic()
            own = {"width": self.setting.width, "steps": STEPS[self.name][0]}
            config = recipe.make_config("small", self.options(seed) | own)
            model = self.trained(recipe, config, f"original-{seed}")
            model = pushed.anew(recipe, config, model)
            pushed.save(path, recipe, config, model)
            count = sum(w.size for w in model.network.get_weights())
            self.ledger.add(dataclasses.asdict(config), time.monotonic() - start, run=f"{self.name}, original",
                            seed=seed, accuracy=self.accuracy(model.network), bytes=4 * count)  # fmt: skip
        return str(path)

    def trained(self, recipe, config, name: str) -> keras.Model:
        """The model that the training loop gives."""
        folder = self.work / "runs" / f"{self.name}-{name}".replace(" ", "")
        return loop.train(recipe, config, [self.files["train"]], [self.files["validation"]],
                          work_dir=str(folder / "state"), log_dir=str(folder / "logs"), progress=False)  # fmt: skip

    def packed(self, coded: Coded, recipe, config) -> dict:
        """Bytes of an archive, and the accuracy of what is unpacked from it."""
        content, sizes = archive.pack(coded, recipe, config, "0" * 8)
        _, _, model, _ = archive.unpack(content)
        return {"accuracy": self.accuracy(model.network), "bytes": len(content), "parts": sizes}

    def compress(self, name: str, options: dict, seed: int) -> None:
        """One compression, unless its line is there."""
        run, path = f"{self.name}, {name}", self.original(seed)
        if (run, seed) in self.ledger.done:
            return
        keras.utils.clear_session()
        recipe, start = registry.get("compressed_network"), time.monotonic()
        own = {"steps": STEPS[self.name][1], "model": path}
        config = recipe.make_config("small", self.options(seed) | own | options)
        model = self.trained(recipe, config, f"{name}-{seed}")
        seconds = time.monotonic() - start
        validation = recipe.inputs([self.files["validation"]], config, False)
        judged = model.evaluate(validation, verbose=0, return_dict=True)["accuracy"]
        row = self.packed(model.coded(), model.inner_recipe, model.inner_config) | {"validation": judged}
        click.echo(json.dumps(self.ledger.add(dataclasses.asdict(config), seconds, run=run, seed=seed, **row)))

    def kmeans(self, seed: int) -> None:
        """Plain k-means at each number of centres, with the statistics as they were and anew."""
        recipe, config, model = original.load(self.original(seed))
        flat = np.concatenate([np.ravel(k) for k in kernels_of(model.network)])[:, None]
        sizes = [int(np.prod(k.shape)) for k in kernels_of(model.network)]
        for count in COUNTS:
            for anew in (False, True):
                run = f"{self.name}, k-means {count}" + (", statistics anew" if anew else "")
                if (run, seed) in self.ledger.done:
                    continue
                _, _, model = original.load(self.original(seed))
                centres = kmeans(flat, count)
                rest = [as_half(np.array(w)) for w in rest_of(model.network)]
                coded = Coded(centres[:, 0], assigned(flat, centres).astype(np.int32), sizes, rest, True)
                if anew:
                    fill(model.network, coded)
                    estimate(model.network, classifier_inputs.inputs([self.files["train"]], config, True).take(50))
                    coded = coded._replace(rest=[as_half(np.array(w)) for w in rest_of(model.network)])
                row = self.packed(coded, recipe, config)
                self.ledger.add({"count": count, "anew": anew}, 0.0, run=run, seed=seed, **row)


@click.group()
def main() -> None:
    """The claims of soft-to-hard quantisation."""
    tf.get_logger().setLevel("ERROR")  # each phase is traced anew, which is meant


@main.command("codec")
@click.option("--out", required=True, help="A JSON line for each finished run.")
@click.option("--work", required=True, help="Folder for records and states.")
@click.option("--photos", required=True, help="Folder of photographs to learn from.")
@click.option("--test", required=True, help="Folder of photographs to measure on.")
@click.option("--seeds", default="1,2,3", show_default=True)
def codec_command(out, work, photos, test, seeds) -> None:
    """Codecs by CODECS."""
    ledger = opened(out)
    pathlib.Path(work).mkdir(parents=True, exist_ok=True)
    x, y = pieces(photos), pieces(test)
    labels = np.zeros(len(x), int)
    held = max(8, len(x) // 10)
    files = {split: packed_records.write(pathlib.Path(work, f"photos-{split}.gz"), split, x[part], labels[part])
             for split, part in (("train", slice(-held)), ("validation", slice(-held, None)))}  # fmt: skip
    for seed in map(int, seeds.split(",")):
        for name, options in CODECS.items():
            if (name, seed) not in ledger.done:
                run_codec(name, options, seed, files, y, ledger, work)
    click.echo(report(ledger.done))


@main.command("networks")
@click.option("--out", required=True, help="A JSON line for each finished run.")
@click.option("--work", required=True, help="Folder for records, originals and states.")
@click.option("--data", default="", help="Packed pictures (.npz); else the digits of scikit-learn.")
@click.option("--seeds", default="1,2,3", show_default=True)
def networks_command(out, work, data, seeds) -> None:
    """Originals, what k-means makes of them, and compressions by NETWORKS."""
    experiment = Networks(data, work, opened(out))
    for seed in map(int, seeds.split(",")):
        for name, options in NETWORKS[experiment.name].items():
            experiment.compress(name, options, seed)
        experiment.kmeans(seed)
    click.echo(report(experiment.ledger.done))


@main.command("report")
@click.option("--out", required=True)
def report_command(out) -> None:
    """Tables and verdicts of the lines that there are."""
    click.echo(report(opened(out).done))


if __name__ == "__main__":
    main()
