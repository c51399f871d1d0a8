"""Whether networks on codes are as good as on decoded pictures, and what joint training brings (arXiv:1803.06131).

    python -m tests.claims.understanding --cifar cifar10.npz --camvid camvid_240x180.tar --work DIR --out FILE.jsonl
        [--short] [--seeds 1,2,3] [--only codes,pixels,...]

Classification: packed CIFAR-10 (the last 1,000 training pictures are the validation), enlarged to 64x64, coded by the
released `edic` at three qualities; segmentation: CamVid as it is split, and simulated shapes. Networks on codes
("codes") and on decoded pictures of the same streams ("pixels") have equal multiply-adds: the latter's width is the
largest that takes no more. "taught" is the network on codes with the word of a classifier that sees the pictures.
Joint training starts from "codes" at the lowest rate; beside it "longer" is trained on for as many steps with its codec
as it is, and "fresh" is a new network on the frozen codec that the joint training left, as the paper's control. Every
finished run is a line of FILE, so that the same command goes on where it was stopped; --report prints the tables.
"""

import bisect
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

from components.evaluation.aggregates import iou
from components.kinds.pictures.packed import pictures
from components.kinds.scenes import sample
from components.report.sections.joint import measured
from models.contract import registry
from models.distillation.inputs import CACHED
from models.publishing import pushed
from models.records import kept
from models.records import pictures as picture_records
from models.records import scenes as scene_records
from models.training import loop
from models.understanding import codecs, cost, inputs, options
from models.understanding.reader import Reader
from tests.claims import packed_records, understanding_report
from tests.claims.ledger import Ledger, folder_of

CODEC, QUALITIES = "edic", (10, 40, 75)
SIDE = 64  # of a classified picture
SCENES = ("camvid", "shapes")
CAMVID_CLASSES = 11  # the level above them is void


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes: pictures for training and test; steps of a classifier, of a segmenter and of a joint training; widths."""

    train: int = 6000
    test: int = 3000
    steps: int = 2400
    scene_steps: int = 1500
    joint_steps: int = 600
    width: int = 64
    scene_width: int = 24


SHORT = Setting(1500, 600, 400, 200, 80, 32, 12)


class Experiment:
    """Records, coded once a rate, and finished runs of one setting in a folder."""

    def __init__(self, cifar: str, camvid: str, work: str, out: str, short: bool):
        self.cifar, self.camvid, self.setting = cifar, camvid, SHORT if short else Setting()
        self.work = folder_of(work, short)
        self.work.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(out, ("run", "quality", "seed"), sys.modules[__name__], short=short)

    def plain(self, data: str) -> dict[str, str]:
        """Record files by split, without codes."""
        found = {split: self.work / f"{data}-{split}.gz" for split in ("train", "validation", "test")}
        if not all(path.exists() for path in found.values()):
            (self._cifar if data == "cifar" else self._scenes)(found, data)
        return {split: str(path) for split, path in found.items()}

    def _cifar(self, found: dict[str, pathlib.Path], data: str) -> None:
        s = self.setting
        train, test = (tuple(map(np.stack, zip(*pictures(self.cifar, p), strict=True))) for p in ("train", "test"))
        parts = {"train": [a[: s.train] for a in train], "validation": [a[-1000:] for a in train],
                 "test": [a[: s.test] for a in test]}  # fmt: skip
        for split, (x, y) in parts.items():
            large = [np.array(Image.fromarray(p).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for p in x]
            packed_records.write(found[split], split, np.stack(large), y)

    def _scenes(self, found: dict[str, pathlib.Path], data: str) -> None:
        for split, rows in (self._read_camvid() if data == "camvid" else self._draw_shapes()).items():
            part = found[split].with_suffix(".part")
            with tf.io.TFRecordWriter(str(part), "GZIP") as writer:
                for key, pixels, label_map, names in rows:
                    encoded = tf.io.encode_png(pixels).numpy()
                    record = picture_records.image_example(
                        encoded, key=key, format_name="png", height=pixels.shape[0], width=pixels.shape[1],
                        channels=3, size_bytes=len(encoded),
                    )  # fmt: skip
                    writer.write(scene_records.scene_example(record, label_map, names).SerializeToString())
            part.replace(found[split])

    def _read_camvid(self) -> dict[str, list]:
        rows: dict[str, list] = {"train": [], "validation": [], "test": []}
        with tarfile.open(self.camvid) as tar:
            files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
        for name in sorted(files):
            folder, _, file = name.rpartition("/")
            split = {"val": "validation"}.get(folder, folder)
            if split not in rows:
                continue
            labels_name = f"{folder}_labels/{file.rsplit('.', 1)[0]}.png"
            pixels, labels = (np.array(Image.open(io.BytesIO(files[n]))) for n in (name, labels_name))
            label_map = np.where(labels < CAMVID_CLASSES, labels, scene_records.VOID).astype(np.uint8)
            rows[split].append((file, pixels, label_map, [str(c) for c in range(CAMVID_CLASSES)]))
        return rows

    def _draw_shapes(self) -> dict[str, list]:
        s, rows = self.setting, {}
        for split, (first, count) in {"train": (0, s.train // 4), "validation": (90_000, 200),
                                      "test": (95_000, s.test // 4)}.items():  # fmt: skip
            rows[split] = [(f"{n}", *sample.scene(n), list(sample.NAMES)) for n in range(first, first + count)]
        return rows

    def config(self, data: str, quality: int, rgb: bool, seed: int, name: str = "", **more):
        """The recipe and configuration of a network, of the width that makes the multiply-adds equal."""
        s, scenes = self.setting, data != "cifar"
        recipe = registry.get(name or ("code_segmenter" if scenes else "code_classifier"))
        own = {"codec": CODEC, "quality": quality, "rgb": rgb, "seed": seed, "steps_per_epoch": 100}
        if scenes:
            own |= {"steps": s.scene_steps, "batch_size": 8, "learning_rate": 2e-3, "weight_decay": 1e-3,
                    "views": 4, "flip": True, "shift": 16}  # fmt: skip
        else:
            own |= {"classes": 10, "image_size": SIDE, "steps": s.steps, "batch_size": 64, "learning_rate": 2e-3}
        config = options.with_codec(recipe.make_config("small", own | more))
        config = recipe.adapt(config, [self.plain(data)["train"]]) if scenes else config
        return recipe, dataclasses.replace(config, width=self.width(config, scenes))

    def width(self, config, scenes: bool) -> int:
        """Of the network on codes the setting's; of its twin the largest that takes no more multiply-adds."""
        width = self.setting.scene_width if scenes else self.setting.width
        if not config.rgb:
            return width
        most = self.multiply_adds(dataclasses.replace(config, rgb=False, width=width))
        widths = range(2, 2 * width)
        above = bisect.bisect_right(
            widths, most, key=lambda w: self.multiply_adds(dataclasses.replace(config, width=w))
        )
        return widths[above - 1]

    def multiply_adds(self, config) -> int:
        """Of the network alone, for one picture of the training's size."""
        keras.utils.clear_session()
        recipe = registry.get("code_segmenter" if hasattr(config, "rows") else "code_classifier")
        about = dataclasses.asdict(config)
        own = recipe.config(**{f.name: about[f.name] for f in dataclasses.fields(recipe.config)} | {"codec": ""})
        stride = 1 if config.rgb else 16
        sides = [-(-side // stride) for side in own.sides]
        network = recipe.build(own).network
        return cost.multiply_adds(
            lambda x: network(x, training=False), tf.TensorSpec([1, *sides, config.depth], tf.float32)
        )

    def coded(self, data: str, recipe, config, folder: str = "") -> dict[str, str]:
        """The records with codes of a codec (`config.codec`), by split; written once."""
        found, plain = {}, self.plain(data)
        reader = None
        for split, path in plain.items():
            tag = f"{data}-{split}-{config.quality}{'-pixels' if config.rgb else ''}{folder}"
            found[split] = str(out := self.work / f"{tag}.gz")
            if out.exists():
                continue
            of_codec = codecs.of_about(config.codec_about)
            reader = reader or Reader(of_codec[0], codecs.built(config), of_codec[1], config.quality, config.rgb)
            own = config if split == "train" or not hasattr(config, "views") else dataclasses.replace(
                config, views=1, flip=False, shift=0)  # fmt: skip
            part = out.with_suffix(".part")
            with tf.io.TFRecordWriter(str(part), "GZIP") as writer:
                for record in picture_records.records([path]):
                    values = {inputs.PREFIX + name: value for name, value in own.values(reader, record).items()}
                    writer.write(kept.annotated(record.numpy(), values))
            part.replace(out)
        return found

    def run(self, name: str, data: str, quality: int, seed: int, **more) -> None:
        """Trains "codes", "pixels" or "taught" and measures it, unless the line is there."""
        if (f"{data} {name}", quality, seed) in self.ledger.done:
            return
        recipe, config = self.config(data, quality, name == "pixels", seed,
                                     "code_student" if name == "taught" else "", **more)  # fmt: skip
        files = self.coded(data, recipe, config)
        if name == "taught":
            files, config = self.taught(files, config, seed)
        start = time.monotonic()
        model = self.trained(recipe, config, files, f"{data}-{name}-{quality}-{seed}")
        seconds = time.monotonic() - start
        alone = model.student if name == "taught" else model
        figures = self.figures(alone, config, files["test"]) | {"multiply_adds": self.multiply_adds(config)}
        self.ledger.add(dataclasses.asdict(config), seconds, run=f"{data} {name}", quality=quality, seed=seed,
                        **figures)  # fmt: skip
        click.echo(f"{data} {name} {quality} {seed} {seconds:.0f} s {figures['score']:.4f} {figures['bpp']:.4f}")

    def trained(self, recipe, config, files: dict[str, str], name: str):
        """The model that a training leaves, resumed where one was stopped."""
        keras.utils.clear_session()
        folder = self.work / "runs" / name
        return loop.train(recipe, config, [files["train"]], [files["validation"]], work_dir=str(folder / "state"),
                          log_dir=str(folder / "logs"), progress=False)  # fmt: skip

    def taught(self, files: dict[str, str], config, seed: int) -> tuple[dict[str, str], object]:
        """The records with what a classifier of the pictures says, trained first, and the options that read them."""
        folder, said = self.work / f"teacher-{seed}", {}
        recipe = registry.get("resnet")
        own = recipe.make_config("small", {"classes": 10, "image_size": SIDE, "steps": config.steps, "seed": 100 + seed,
                                           "batch_size": config.batch_size, "steps_per_epoch": 100})  # fmt: skip
        if not folder.exists():
            model = self.trained(recipe, own, self.plain("cifar"), f"teacher-{seed}")
            pushed.save(folder, recipe, own, pushed.anew(recipe, own, model))
        network = pushed.load(str(folder))[2]
        for split, path in files.items():
            said[split] = str(out := pathlib.Path(path.replace(".gz", f"-taught-{seed}.gz")))
            if not out.exists():
                with tf.io.TFRecordWriter(part := str(out) + ".part", "GZIP") as writer:
                    for record in picture_records.records([path]):
                        x = tf.cast(inputs.square(record, SIDE), tf.float32)[None] / 255
                        logits = {CACHED + "logits": network(x, training=False)[0].numpy()}
                        writer.write(kept.annotated(record.numpy(), logits))
                pathlib.Path(part).replace(out)
        outputs = {CACHED + "logits": kept.Output("float32", (10,))}
        return said, dataclasses.replace(config, cached=kept.dumps(outputs))

    def figures(self, model, config, file: str) -> dict:
        """On the test: "score" (accuracy, or mean IoU), "bpp" of the real streams; of a classifier who was right."""
        name = "code_segmenter" if hasattr(config, "rows") else "code_classifier"
        own = dataclasses.replace(config, batch_size=16)
        bits = [8 * len(streams(record)[0]) / np.prod(config.sides) for record in picture_records.records([file])]
        batches = registry.get(name).inputs([file], own, False)
        if name == "code_classifier":
            hits = np.concatenate([np.argmax(model.network(x, training=False), -1) == np.argmax(y, -1)
                                   for x, y in batches])  # fmt: skip
            return {"score": float(hits.mean()), "bpp": float(np.mean(bits)), "count": len(hits),
                    "hits": np.packbits(hits).tobytes().hex()}  # fmt: skip
        confusion = np.zeros((config.classes, config.classes))
        for x, y in batches:
            rows, columns = y.shape[1:]
            said = np.argmax(model.network(x, training=False)[:, :rows, :columns], -1)
            known = y.numpy() >= 0
            np.add.at(confusion, (y.numpy()[known].astype(int), said[known]), 1)
        return {"score": float(np.nanmean(iou.by_class(confusion))), "bpp": float(np.mean(bits))}

    def joint(self, seed: int) -> None:
        """Joint training at the lowest rate, its two controls, and what codec and classifiers are before and after."""
        quality, s = QUALITIES[0], self.setting
        if ("cifar joint", quality, seed) in self.ledger.done:
            return
        start = time.monotonic()
        recipe, config = self.config("cifar", quality, False, seed)
        files, plain = self.coded("cifar", recipe, config), self.plain("cifar")
        before, after = (self.work / f"{which}-{seed}" for which in ("pair", "joint"))
        if not before.exists():
            model = self.trained(recipe, config, files, f"cifar-codes-{quality}-{seed}")
            pushed.save(before, recipe, options.whole(config), model, model.tables)
        together = registry.get("joint_codes")
        own = together.make_config("small", {"model": str(before), "classes": 10, "image_size": SIDE, "seed": seed,
                                             "steps": s.joint_steps, "batch_size": 32})  # fmt: skip
        if not after.exists():
            model = self.trained(together, own, plain, f"joint-{seed}")
            _, pair, known = together.served(model, own)
            pushed.save(after, recipe, options.whole(known), pair, pair.tables)
        records = list(picture_records.records([plain["test"]]))
        found = {name: measured(str(path), records) for name, path in (("before", before), ("after", after))}
        found["longer"] = self._longer(recipe, config, files, before, seed)
        found["fresh"] = self._fresh(recipe, config, after, seed)
        self.ledger.add(dataclasses.asdict(own), time.monotonic() - start, run="cifar joint", quality=quality,
                        seed=seed, **found)  # fmt: skip
        click.echo(f"joint {seed} {json.dumps(found)}")

    def _longer(self, recipe, config, files: dict[str, str], before: pathlib.Path, seed: int) -> float:
        """Accuracy of the classifier trained on for as many steps at the same learning rate, its codec as it is."""
        own = dataclasses.replace(config, init=str(before), steps=self.setting.joint_steps, learning_rate=1e-4,
                                  batch_size=32)  # fmt: skip
        return self.figures(self.trained(recipe, own, files, f"longer-{seed}"), own, files["test"])["score"]

    def _fresh(self, recipe, config, after: pathlib.Path, seed: int) -> float:
        """Accuracy of a new classifier on the codec that the joint training left."""
        folder = self.work / f"codec-{seed}"
        if not folder.exists():
            _, known, pair = pushed.load(str(after))
            of_recipe, of_codec = codecs.of_about(known.codec_about)
            pushed.save(folder, of_recipe, of_codec, pair.codec, pair.codec.tables)
        own = options.with_codec(dataclasses.replace(config, codec=str(folder), codec_about=""))
        files = self.coded("cifar", recipe, own, f"-joint-{seed}")
        return self.figures(self.trained(recipe, own, files, f"fresh-{seed}"), own, files["test"])["score"]


def streams(record: tf.Tensor) -> np.ndarray:
    """The kept streams of a record, [views] bytes."""
    name = inputs.PREFIX + inputs.STREAM
    return np.atleast_1d(kept.parse(record, {name: kept.Output("string", None)})[name].numpy())


@click.command()
@click.option("--cifar", type=click.Path(exists=True, dir_okay=False), help="Packed CIFAR-10.")
@click.option("--camvid", type=click.Path(exists=True, dir_okay=False), help="CamVid's tar.")
@click.option("--work", required=True, help="Records and states.")
@click.option("--out", required=True, help="A JSON line for each finished run.")
@click.option("--seeds", default="1,2,3", show_default=True)
@click.option("--only", default="", help="Runs to do, separated by commas, DATA-NAME or joint; all if empty.")
@click.option("--short", is_flag=True, help="Small sizes, to see that it runs.")
@click.option("--report", "only_report", is_flag=True, help="Print the tables, train nothing.")
def main(cifar, camvid, work, out, seeds, only, short, only_report) -> None:
    """Does what is missing of the experiment, then prints the tables."""
    experiment = Experiment(cifar, camvid, work, out, short)
    wanted = set(filter(None, only.split(",")))
    for seed in [] if only_report else [int(s) for s in seeds.split(",")]:
        for data in ("cifar", *SCENES):
            for quality in QUALITIES:
                for name in ("codes", "pixels", *(["taught"] if data == "cifar" else [])):
                    if not wanted or f"{data}-{name}" in wanted:
                        experiment.run(name, data, quality, seed)
        if not wanted or "joint" in wanted:
            experiment.joint(seed)
    click.echo(understanding_report.report(experiment.ledger.done))


if __name__ == "__main__":
    main()
