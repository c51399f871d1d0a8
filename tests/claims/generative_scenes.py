"""Which claims of selective generative compression (SC, arXiv:1804.02958) hold here: scenes with label maps.

    python -m tests.claims.generative_scenes run --out FILE.jsonl --work DIR [--camvid TAR] [--seeds 1,2,3] [--short]
    python -m tests.claims.generative_scenes report --out FILE.jsonl

Scenes are simulated, with exact label maps, or CamVid's. A box of a quarter is preserved. Bits are of the sections of
really coded scenes; "as much of all" is the same model's symbols of the whole picture without any map, which is GC at
that stride. Labels are those that a small network, trained on originals, sees in what was made up; chance is always
naming the class that it is asked for most often. Each finished run is a line of FILE.
"""

import dataclasses
import io
import json
import pathlib
import sys
import tarfile
import time

import click
import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from components.kinds.scenes import sample
from components.serving.served_codec import record_of
from models.contract import registry
from models.generative.selective_inputs import PART
from models.records import scenes as scene_records
from models.training import loop
from tests.claims.generative_report import scene_report
from tests.claims.ledger import Ledger, folder_of

STEPS, SHORT_STEPS = 6000, 300
OPTIONS = {"filters": 16, "blocks": 3, "critic_channels": 16, "scales": 2, "crop_size": 64, "batch_size": 8,
           "latents": 4, "plain_share": 0.25, "learning_rate": 4e-4, "average": 0.99}  # fmt: skip
CAMVID = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
_COUNTS = {"train": 200, "validation": 16, "test": 32}


def simulated() -> dict[str, list]:
    """(pixels uint8 [H, W, 3], label map uint8 [H, W]) of every split."""
    first, found = 0, {}
    for split, count in _COUNTS.items():
        found[split] = [tuple(sample.scene(n)) for n in range(first, first + count)]
        first += count
    return found


def camvid(path: str) -> dict[str, list]:
    """Likewise of a tar of SPLIT/NAME.jpg and SPLIT/NAME.png below any folders; what is no class is VOID."""
    found: dict[str, dict] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                split = next(s for s in ("train", "val", "test") if s in member.name)
                picture = Image.open(io.BytesIO(archive.extractfile(member).read()))
                name = pathlib.PurePath(member.name).stem
                found.setdefault(split, {}).setdefault(name, {})[picture.mode != "RGB"] = np.array(picture)
    named = {"train": "train", "validation": "val", "test": "test"}
    found = {split: list(found[folder].values()) for split, folder in named.items()}
    return {split: [(one[False], _known(one[True])) for one in scenes] for split, scenes in found.items()}


def _known(label_map: np.ndarray) -> np.ndarray:
    return np.where(label_map < len(CAMVID), label_map, scene_records.VOID).astype(np.uint8)


class Scenes:
    """Records and runs of one set of scenes."""

    def __init__(self, tar: str, work: str, ledger: Ledger, short: bool):
        self.name, self.names = ("CamVid", CAMVID) if tar else ("simulated", sample.NAMES)
        self.work, self.ledger, self.steps = folder_of(work, short), ledger, SHORT_STEPS if short else STEPS
        self.work.mkdir(parents=True, exist_ok=True)
        self.scenes = camvid(tar) if tar else simulated()
        self.files = {split: self._records(split) for split in ("train", "validation")}

    def _records(self, split: str) -> str:
        path = self.work / f"scenes-{self.name}-{split}.gz"
        if not path.exists():
            part = path.with_suffix(".part")
            with tf.io.TFRecordWriter(str(part), "GZIP") as writer:
                for pixels, label_map in self.scenes[split]:
                    picture = tf.train.Example.FromString(record_of(pixels))
                    writer.write(scene_records.scene_example(picture, label_map, self.names).SerializeToString())
            part.replace(path)
        return str(path)

    def run(self, seed: int) -> None:
        """Trains one codec and one segmenter, unless the line is there, and measures on the test scenes."""
        name = f"SC, {self.name}"
        if (name, seed) in self.ledger.done:
            return
        keras.utils.clear_session()
        recipe, start = registry.get("extreme_selective"), time.monotonic()
        own = {"classes": len(self.names), "seed": seed, "steps": self.steps, "steps_per_epoch": self.steps // 6}
        config = recipe.make_config("small", OPTIONS | own)
        folder = self.work / "runs" / f"{name}-{seed}".replace(" ", "")
        model = loop.train(recipe, config, [self.files["train"]], [self.files["validation"]],
                           work_dir=str(folder / "state"), log_dir=str(folder / "logs"), progress=False)  # fmt: skip
        recipe, codec, config = recipe.served(model, config)
        payload = recipe.signatures(codec, config).payload
        segmenter = self.segmenter(seed)
        draw = np.random.default_rng(seed)
        rows = [self.measured(payload, segmenter, *scene, draw) for scene in self.scenes["test"]]
        row = {key: float(np.mean([r[key] for r in rows])) for key in rows[0]}
        for key in ("bits_outside", "changed_by_outside"):
            row[key] = int(round(sum(r[key] for r in rows)))
        labels = np.concatenate([label_map.ravel() for _, label_map in self.scenes["test"]])
        row["chance"] = float(np.bincount(labels[labels < len(self.names)]).max() / (labels < len(self.names)).sum())
        line = self.ledger.add(dataclasses.asdict(config), time.monotonic() - start, run=name, seed=seed, **row)
        click.echo(json.dumps(line))

    def measured(self, payload, segmenter, pixels, labels, draw: np.random.Generator) -> dict:
        """Bits, errors and labels of one scene."""
        height, width = labels.shape
        kept, elsewhere = box(height, width, None), box(height, width, draw)
        x, step, sides = tf.constant(pixels), tf.constant(0), (tf.constant(height), tf.constant(width))
        nothing, everything = np.zeros_like(kept), np.ones_like(kept)
        sections, values = payload.encode_scene(x, tf.constant(labels), tf.constant(kept))
        drawn = payload.draw(values, *sides, step).numpy()
        other = payload.draw(payload.encode_scene(x, tf.constant(labels), tf.constant(elsewhere))[1], *sides, step)
        bits = [8 * len(s.numpy()) for s in sections]
        whole, none = (
            8 * len(payload.encode_scene(x, tf.constant(labels), tf.constant(m))[0][0].numpy())
            for m in (everything, nothing)
        )
        heat, symbols, _ = payload.parts_of(values, *sides)
        disturbed = tf.where(heat[..., None] > 0, symbols, 4 - symbols)  # others where nothing is preserved
        again = tf.concat([tf.reshape(v, [-1]) for v in (heat, disturbed, tf.cast(labels, tf.int32))], 0)
        seen = segmenter(tf.constant(drawn[None] / np.float32(255.0)))[0].numpy().argmax(-1)
        made_up = ~kept & (labels < len(self.names))
        return {
            "inside_mse": error(pixels, drawn, kept), "random_mse": error(pixels, other.numpy(), kept),
            "total_bits": sum(bits), "side_bits": sum(bits[1:]), "gc_bits": whole,
            "break_even": 1 - sum(bits[1:]) / whole, "bits_outside": none,
            "changed_by_outside": float(not np.array_equal(payload.draw(again, *sides, step), drawn)),
            "right": float((seen == labels)[made_up].mean()),
        }  # fmt: skip

    def segmenter(self, seed: int) -> keras.Model:
        """A small network that says the class of each pixel, trained on originals."""
        keras.utils.set_random_seed(seed)
        layers = [
            keras.layers.Conv2D(24, 3, padding="same", dilation_rate=rate, activation="relu") for rate in (1, 2, 4, 8)
        ]
        model = keras.Sequential([*layers, keras.layers.Conv2D(len(self.names), 1)])
        known = [(p, m) for p, m in self.scenes["train"]]
        x = np.stack([p for p, _ in known]).astype(np.float32) / 255.0
        y = np.stack([m for _, m in known])
        weights = (y < len(self.names)).astype(np.float32)
        model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        epochs = 2 if self.steps == SHORT_STEPS else 12
        model.fit(x, np.where(weights > 0, y, 0), 8, epochs, verbose=0, sample_weight=weights)
        return model


def box(height: int, width: int, draw: np.random.Generator | None) -> np.ndarray:
    """What is preserved, bool [H, W]: a box of a quarter in whole positions, in the middle or anywhere."""
    rows, columns = height // PART, width // PART
    tall, wide = rows // 2, columns // 2
    top, left = ((rows - tall) // 2, (columns - wide) // 2) if draw is None else (
        draw.integers(0, rows - tall + 1), draw.integers(0, columns - wide + 1))  # fmt: skip
    found = np.zeros((height, width), bool)
    found[top * PART : (top + tall) * PART, left * PART : (left + wide) * PART] = True
    return found


def error(pixels: np.ndarray, drawn: np.ndarray, where: np.ndarray) -> float:
    """Mean squared error on [0, 1] there."""
    return float(np.square(pixels.astype(np.float64) - drawn)[where].mean() / 255.0**2)


def opened(out: str, short: bool | None = None) -> Ledger:
    """The finished runs of a file."""
    return Ledger(out, ("run", "seed"), sys.modules[__name__], short=short)


@click.group()
def main() -> None:
    """The claims of selective compression."""
    tf.get_logger().setLevel("ERROR")  # each phase is traced anew, which is meant


@main.command("run")
@click.option("--out", required=True, help="A JSON line for each finished run.")
@click.option("--work", required=True, help="Folder for records and states.")
@click.option("--camvid", "tar", default="", help="A tar of pictures with label maps; else simulated scenes.")
@click.option("--seeds", default="1,2,3", show_default=True)
@click.option("--short", is_flag=True, help="Fewer steps.")
def run_command(out, work, tar, seeds, short) -> None:
    """A codec a seed."""
    ledger = opened(out, short)
    experiment = Scenes(tar, work, ledger, short)
    for seed in map(int, seeds.split(",")):
        experiment.run(seed)
    click.echo(scene_report(ledger.done))


@main.command("report")
@click.option("--out", required=True, help="The lines.")
def report_command(out) -> None:
    """Prints the table and the verdicts, trains nothing."""
    click.echo(scene_report(opened(out).done))


if __name__ == "__main__":
    main()
