"""Which claims of the distillation papers hold in one small setting, at equal cost and over several seeds.

    python -m tests.claims.distillation --data cifar10.npz --work DIR --out FILE.jsonl

Setting: the packed CIFAR-10 (12,000 training and 3,000 test pictures of 32x32, the last 1,200 training pictures for
validation), no augmentation; a residual teacher of depth 14 and 16 channels, 12 epochs; students of six layers and 8
channels (SmallCNN), 14 epochs, batch 64, whatever the method. Each finished run is a line of FILE, so that the same
command goes on where it was stopped; --report prints the table and the claims from the lines there are. When the
teacher has been trained, commands with other seeds or another --only may work side by side.
"""

import dataclasses
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator

import click
import keras
import numpy as np
import tensorflow as tf

from components.kinds.pictures.packed import pictures, read_packed
from components.training.kept import annotated
from models.classifiers import inputs as classifier_inputs
from models.classifiers import named
from models.contract import registry
from models.distillation import route, student
from models.distillation import teacher as teachers
from models.distillation.inputs import CACHED
from models.distillation.terms.attention import AttentionTransfer
from models.distillation.terms.correlation import Correlation
from models.distillation.terms.relational import RelationalDistance
from models.records import kept
from models.training import loop
from models.training.callbacks import KeepRoute
from tests.claims import packed_records
from tests.claims.distillation_report import EARLY, GENERATIONS, report, scores
from tests.claims.ledger import Ledger

TEMPERATURE = 4.0
KD = "0.1*ce + 0.9*logits(temperature=4)"
# Weights of the literature for the terms of their formulas; CCKD's from a pilot with its mean-squared form.
METHODS = {
    "alone": "ce",
    "kd": KD,
    "hint": KD + " + 1*hint(layer=stage3)",
    "attention": KD + " + 1000*attention(layer=stage3)",
    "rkd": KD + " + 25*rkd_distance + 50*rkd_angle",
    "cckd_taylor": KD + " + 50*cckd(gamma=0.4, order=2)",
    "cckd_heavy": KD + " + 500*cckd(gamma=0.4, order=2)",
    "cckd_bilinear": KD + " + 50*cckd(kernel=bilinear)",
}
ROUTES = {"rco_equal": "equal", "rco_greedy": "greedy"}
NOISE = 0.3  # share of wrong labels
VALIDATION = 1200
RELATIONS = {"cckd_error": Correlation(), "rkd_error": RelationalDistance(), "attention_error": AttentionTransfer()}
HELD_OUT = 300  # test pictures of one batch for the errors of relations
SEEN = 2000  # training pictures for softened divergences, those along the route, and confidences


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes of the experiment; the defaults are those of the published figures."""

    teacher: str = "depth=14,width=16"
    student: str = "width=8"
    teacher_epochs: int = 12
    student_epochs: int = 14
    batch: int = 64
    pictures: int = 0  # of each split, 0: all


class Experiment:
    """Records, teacher and finished runs of one setting in a folder."""

    def __init__(self, npz: str, work: str, out: str, setting: Setting):
        self.work, self.out, self.setting = pathlib.Path(work), pathlib.Path(out), setting
        self.work.mkdir(parents=True, exist_ok=True)
        self.classes = len(read_packed(npz).names)
        sets = {s: tuple(map(np.stack, zip(*pictures(npz, s), strict=True))) for s in ("train", "test")}
        count = setting.pictures or None
        self.x, self.y = (a[:count] for a in sets["test"])
        x, y = (a[:count] for a in sets["train"])
        self.seen, self.seen_labels = x[:SEEN].astype("float32") / 255.0, y[:SEEN]
        held = min(VALIDATION, len(x) // 10)
        self.files = {
            split: packed_records.write(self.work / f"{split}-{len(x[part])}.gz", split, x[part], y[part])
            for split, part in (("train", slice(-held)), ("validation", slice(-held, None)))
        }
        self.per_epoch = (len(x) - held) // setting.batch
        self.ledger = Ledger(self.out, ("run", "seed"), sys.modules[__name__])
        self.done = self.ledger.done

    @property
    def options(self) -> dict:
        """What all runs have in common, for their lines; what else a run is, its name says."""
        return dataclasses.asdict(self.setting) | {"methods": METHODS, "noise": NOISE}

    def common(self, seed: int, epochs: int) -> dict:
        """Options of every run."""
        return {
            "classes": self.classes, "image_size": 32, "batch_size": self.setting.batch, "seed": seed,
            "steps": self.per_epoch * epochs, "steps_per_epoch": self.per_epoch, "learning_rate": 3e-3,
            "weight_decay": 1e-3,
        }  # fmt: skip

    def teacher(self) -> pathlib.Path:
        """The teacher's route, trained when first asked for."""
        folder = self.work / "route"
        recipe = registry.get("resnet")
        options = self.common(1, self.setting.teacher_epochs) | named.settings_of("teacher", self.setting.teacher)
        config = recipe.make_config("small", options)
        if not (folder / str(self.setting.teacher_epochs)).exists():
            keep = KeepRoute(recipe, config, str(folder))
            fit(recipe, config, self.files, self.work / "teacher", callbacks=[keep])
        return folder

    def with_outputs(self, teacher: str, config: student.StudentConfig) -> tuple[student.StudentConfig, dict]:
        """The configuration and record files with a teacher's outputs beside the pictures, written once."""
        names = sorted(config.teacher_names)
        if not names:
            return config, self.files
        say = teachers.load(teacher).of_records(names, 32)
        _, first = next(annotated([self.files["train"]], say, CACHED))
        shapes = kept.dumps({name: kept.Output.of(value) for name, value in first.items()})
        name = "-".join(["kept", *pathlib.Path(teacher).relative_to(self.work).parts, *names])
        files = {}
        for split, path in self.files.items():
            files[split] = str(self.work / f"{name}-{split}-{len(self.x)}.gz")
            if not os.path.exists(files[split]):
                part = f"{files[split]}.part{os.getpid()}"
                with tf.io.TFRecordWriter(part, "GZIP") as writer:
                    for record, _ in annotated([path], say, CACHED):
                        writer.write(record)
                os.replace(part, files[split])
        return dataclasses.replace(config, teacher=teacher, cached=shapes), files

    def run(self, name: str, seed: int, make: Callable[[pathlib.Path], keras.Model]) -> None:
        """Does a run unless its line is there: trains, measures, keeps weights and answers, writes the line."""
        if (name, seed) in self.done:
            return
        keras.utils.clear_session()
        self.teacher()
        folder, start = self.work / "runs" / f"{name}-{seed}", time.monotonic()
        model = make(folder)
        seconds = time.monotonic() - start
        figures = self.measure(model, folder, name)
        click.echo(json.dumps(self.ledger.add(self.options, seconds, run=name, seed=seed, **figures)))

    def measure(self, model, folder: pathlib.Path, name: str) -> dict[str, float | list[float]]:
        """Figures of a student on the test pictures; its answers are kept as `answers.npy`."""
        x = self.x.astype("float32") / 255.0
        p = _softmax(model.predict(x, batch_size=128, verbose=0))
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "answers.npy", p)
        theirs = teachers.load(str(self.teacher())).features(["stage3", "embedding"])
        t = _softmax(theirs.predict(x, batch_size=128, verbose=0)["logits"])
        own = model.features(["stage3", "embedding"])
        features = [{k: np.array(v) for k, v in f(x[:HELD_OUT], training=False).items()} for f in (theirs, own)]
        found = scores(p, self.y, t) | {"teacher_accuracy": float((t.argmax(1) == self.y).mean())}
        for relation, term in RELATIONS.items():
            layer = "stage3" if relation.startswith("attention") else "embedding"
            found[relation] = float(term.compute_loss(*(f[layer] for f in features)))
        found["hint_error"] = unexplained(*(f["stage3"] for f in features))
        seen = [_softmax(m.predict(self.seen, verbose=0)["logits"] / TEMPERATURE) for m in (theirs, own)]
        found["kl_softened"] = float((seen[0] * np.log(seen[0] / seen[1])).sum(1).mean())
        if name in ("kd", "early"):
            found |= self.along_route(model, EARLY if name == "early" else -1)
        if name == "noisy_generation0":
            found |= self.confidences(model)
        return found

    def answers(self, name: str, seed: int) -> np.ndarray:
        """Probabilities that a finished run gave the test pictures, [N, K]."""
        return np.load(self.work / "runs" / f"{name}-{seed}" / "answers.npy")

    def along_route(self, model, own: int) -> dict[str, float | list[float]]:
        """KL(checkpoint || student) of every checkpoint on training pictures, and that of the student's own teacher."""
        logits = np.array(model.predict(self.seen, verbose=0), np.float64)
        log_student = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        anchors = route.checkpoints(str(self.teacher()))
        along = [route.divergence(anchor, self.seen, log_student) for anchor in anchors]
        return {"route_kl": along, "kl_to_own": along[own]}

    def confidences(self, model) -> dict[str, float]:
        """Mean largest probability on training pictures with right and with wrong labels."""
        config = registry.get("distill").make_config("small", self.common(1, 1) | {"terms": "ce", "label_noise": NOISE})
        keys = tf.constant([f"train/{n}" for n in range(len(self.seen))])
        given = classifier_inputs.noisy(tf.constant(self.seen_labels, tf.int64), keys, config).numpy()
        sure, right = _softmax(model.predict(self.seen, verbose=0)).max(1), given == self.seen_labels
        return {"sure_of_right": float(sure[right].mean()), "sure_of_wrong": float(sure[~right].mean())}


def _softmax(logits) -> np.ndarray:
    return tf.nn.softmax(logits).numpy()


def unexplained(teacher: np.ndarray, student: np.ndarray) -> float:
    """Share of a teacher's maps [N, h, w, C] that no linear map of a student's [N, h, w, c] gives.

    The map is fitted on one half of the pictures and judged on the other: students without a regressor of their own can
    be compared.
    """
    half = len(teacher) // 2
    t, s = (m.reshape(len(m), -1, m.shape[-1]).astype(np.float64) for m in (teacher, student))
    s = np.concatenate([s, np.ones_like(s[..., :1])], -1)
    rows = [[m[part].reshape(-1, m.shape[-1]) for m in (s, t)] for part in (slice(half), slice(half, None))]
    (x, y), (x_new, y_new) = rows
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    return float(((y_new - x_new @ weights) ** 2).sum() / ((y_new - y.mean(0)) ** 2).sum())


def fit(recipe, config, files: dict, folder: pathlib.Path):
    """Trains, going on with what an interrupted call left in the folder."""
    return loop.train(recipe, config, [files["train"]], [files["validation"]], work_dir=str(folder / "state"),
                      log_dir=str(folder / "logs"))  # fmt: skip


def students(e: Experiment, seed: int) -> Iterator[tuple[str, Callable]]:
    """The plain distillations and those along the route: name and what trains it."""
    common = e.common(seed, e.setting.student_epochs) | {"student_settings": e.setting.student}
    for name, terms in (METHODS | {"early": KD}).items():

        def plain(folder, terms=terms, place=EARLY if name == "early" else -1):
            recipe = registry.get("distill")
            config = recipe.make_config("small", common | {"terms": terms})
            config, files = e.with_outputs(str(route.checkpoints(str(e.teacher()))[place]), config)
            return fit(recipe, config, files, folder).student

        yield name, plain
    for name, selector in ROUTES.items():

        def along(folder, selector=selector):
            recipe = registry.get("route")
            options = common | {"terms": KD, "selector": selector, "teacher": str(e.teacher())}
            config = recipe.make_config("small", options)
            return fit(recipe, config, e.files, folder).student

        yield name, along


def chain(e: Experiment, seed: int, noise: float) -> Iterator[tuple[str, Callable]]:
    """Generation 0, those behind it, and networks re-trained on labels with the generations' seeds."""
    what = "noisy" if noise else "clean"

    def trained(folder, terms, own_seed, parent=None):
        recipe = registry.get("distill")
        options = e.common(own_seed, e.setting.student_epochs) | {"terms": terms, "label_noise": noise}
        config = recipe.make_config("small", options | {"student_settings": e.setting.student})
        files = e.files
        if parent:
            config, files = e.with_outputs(str(parent / "model" / "1"), config)
        model = fit(recipe, config, files, folder)
        served, own, own_config = recipe.served(model, config)
        keep = KeepRoute(served, own_config, str(folder / "model"))
        keep.set_model(own)
        keep.on_epoch_end(0)
        return own

    def place(k):
        return e.work / "runs" / f"{what}_generation{k}-{seed}"

    yield f"{what}_generation0", lambda folder: trained(folder, "ce", 100 * seed)
    for k in range(1, GENERATIONS + 1):
        yield (
            f"{what}_generation{k}",
            lambda folder, k=k: trained(folder, "born_again", 100 * seed + k, place(k - 1)),
        )
        yield f"{what}_retrained{k}", lambda folder, k=k: trained(folder, "ce", 100 * seed + k)
    for name in () if noise else ("cwtm", "dkpp"):
        yield f"{what}_{name}", lambda folder, name=name: trained(folder, name, 100 * seed + 1, place(0))


@click.command()
@click.option("--data", "npz", required=True, type=click.Path(exists=True, dir_okay=False), help="Packed pictures.")
@click.option("--work", required=True, help="Records, teacher, weights, answers.")
@click.option("--out", required=True, help="A JSON line for each finished run.")
@click.option("--seeds", default="1,2,3", show_default=True)
@click.option("--only", default="", help="Runs to do, separated by commas; a generation needs those before it.")
@click.option("--epochs", default=0, help="Of teacher and students, to try the script.")
@click.option("--pictures", default=0, help="Of each split, to try the script.")
@click.option("--report", "only_report", is_flag=True, help="Print the table and the claims, train nothing.")
def main(npz, work, out, seeds, only, epochs, pictures, only_report) -> None:
    """Does what is missing of the experiment, then prints the table and the claims."""
    setting = Setting(pictures=pictures)
    if epochs:
        setting = dataclasses.replace(setting, teacher_epochs=epochs, student_epochs=epochs)
    experiment = Experiment(npz, work, out, setting)
    wanted = set(filter(None, only.split(",")))
    for seed in [] if only_report else [int(s) for s in seeds.split(",")]:
        runs = [*students(experiment, seed), *chain(experiment, seed, 0.0), *chain(experiment, seed, NOISE)]
        for name, make in runs:
            if not wanted or name in wanted:
                experiment.run(name, seed, make)
    click.echo(report(experiment.done, experiment.answers, experiment.y))


if __name__ == "__main__":
    main()
