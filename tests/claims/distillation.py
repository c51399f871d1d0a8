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
import statistics
import time
from collections.abc import Callable, Iterator

import click
import keras
import numpy as np
import tensorflow as tf

from components.datasets.packed.packed_dataset_builder import unpack
from components.report.classified import calibration_error
from components.teacher import annotated
from models import data, registry, train
from models.distillation import route, student
from models.distillation import teacher as teachers
from models.distillation.attention import AttentionTransfer
from models.distillation.correlation import Correlation
from models.distillation.relational import RelationalDistance

KD = "0.1*ce + 0.9*logits(temperature=4)"
# Weights of the literature for the terms of their formulas; CCKD's from a pilot with its mean-squared form.
METHODS = {
    "alone": "ce",
    "kd": KD,
    "hint": KD + " + 1*hint(layer=stage3)",
    "attention": KD + " + 1000*attention(layer=stage3)",
    "rkd": KD + " + 25*rkd_distance + 50*rkd_angle",
    "cckd_taylor": KD + " + 50*cckd(gamma=0.4, order=2)",
    "cckd_bilinear": KD + " + 50*cckd(kernel=bilinear)",
}
ROUTES = {"rco_equal": "equal", "rco_greedy": "greedy"}
GENERATIONS, NOISE = 3, 0.3
VALIDATION = 1200
RELATIONS = {"cckd_error": Correlation(), "rkd_error": RelationalDistance(), "attention_error": AttentionTransfer()}
HELD_OUT = 300  # test pictures of one batch for the errors of relations


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
        with np.load(npz) as arrays:
            self.classes = len(arrays["names"])
            sets = {s: (unpack(arrays, s), arrays[f"{s}_label"]) for s in ("train", "test")}
        count = setting.pictures or None
        self.x, self.y = (a[:count] for a in sets["test"])
        x, y = (a[:count] for a in sets["train"])
        held = min(VALIDATION, len(x) // 10)
        self.files = {
            "train": self._records("train", x[:-held], y[:-held]),
            "validation": self._records("validation", x[-held:], y[-held:]),
        }
        self.per_epoch = (len(x) - held) // setting.batch
        self.done = {}
        if self.out.exists():
            for line in self.out.read_text().splitlines():
                entry = json.loads(line)
                self.done[entry["run"], entry["seed"]] = entry

    def _records(self, split: str, x: np.ndarray, y: np.ndarray) -> str:
        path = self.work / f"{split}-{len(x)}.gz"
        if not path.exists():
            part = path.with_suffix(".part")
            with tf.io.TFRecordWriter(str(part), "GZIP") as writer:
                for n, (pixels, label) in enumerate(zip(x, y, strict=True)):
                    encoded = tf.io.encode_png(pixels).numpy()
                    record = data.image_example(
                        encoded, key=f"{split}/{n}", format_name="png", height=32, width=32, channels=3,
                        size_bytes=len(encoded), label=int(label), label_name=str(label),
                    )  # fmt: skip
                    writer.write(record.SerializeToString())
            os.replace(part, path)
        return str(path)

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
        options = self.common(1, self.setting.teacher_epochs) | student.settings_of("teacher", self.setting.teacher)
        config = recipe.make_config("small", options)
        if not (folder / str(self.setting.teacher_epochs)).exists():
            keep = route.KeepRoute(recipe, config, str(folder))
            fit(recipe, config, self.files, self.work / "teacher", callbacks=[keep])
        return folder

    def with_outputs(self, teacher: str, config: student.StudentConfig) -> tuple[student.StudentConfig, dict]:
        """The configuration and record files with a teacher's outputs beside the pictures, written once."""
        names = sorted({n for w in config.objective if w.loss for n in w.loss.layer_names[:1] if n})
        if not any(w.loss for w in config.objective):
            return config, self.files
        network = teachers.load(teacher).features(names)
        shapes = json.dumps({n: list(o.shape[1:]) for n, o in network.output.items()})
        name = "-".join(["outputs", *pathlib.Path(teacher).parts[-2:], *names])
        files = {}
        for split, path in self.files.items():
            files[split] = str(self.work / f"{name}-{split}-{len(self.x)}.gz")
            if not os.path.exists(files[split]):
                part = f"{files[split]}.part{os.getpid()}"
                with tf.io.TFRecordWriter(part, "GZIP") as writer:
                    for record in annotated([path], network, 32):
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
        entry = {"run": name, "seed": seed, "seconds": round(seconds, 1)} | self.measure(model, folder)
        self.done[name, seed] = entry
        with self.out.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        click.echo(json.dumps(entry))

    def measure(self, model, folder: pathlib.Path) -> dict[str, float]:
        """Figures of a student on the test pictures; its answers are kept as `answers.npy`."""
        x = self.x.astype("float32") / 255.0
        logits = model.predict(x, batch_size=128, verbose=0)
        p = tf.nn.softmax(logits).numpy()
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "answers.npy", p)
        teacher = teachers.load(str(self.teacher()))
        theirs = teacher.features(["stage3", "embedding"])
        t = tf.nn.softmax(theirs.predict(x, batch_size=128, verbose=0)["logits"]).numpy()
        found = (
            theirs(x[:HELD_OUT], training=False),
            model.features(["stage3", "embedding"])(x[:HELD_OUT], training=False),
        )
        errors = {
            name: float(
                term.compute_loss(*(f["stage3" if name.startswith("attention") else "embedding"] for f in found))
            )
            for name, term in RELATIONS.items()
        }
        return scores(p, self.y, t) | {"teacher_accuracy": float((t.argmax(1) == self.y).mean())} | errors


def scores(p: np.ndarray, labels: np.ndarray, teacher: np.ndarray) -> dict[str, float]:
    """Accuracy, cross-entropy, calibration error, agreement with and KL to the teacher; probabilities [N, K]."""
    hit = p.argmax(1) == labels
    log_p, log_t = (np.log(np.maximum(q.astype(np.float64), 1e-12)) for q in (p, teacher))
    return {
        "accuracy": float(hit.mean()),
        "cross_entropy": float(-log_p[np.arange(len(p)), labels].mean()),
        "calibration_error": calibration_error(p.max(1), hit),
        "agreement": float((p.argmax(1) == teacher.argmax(1)).mean()),
        "kl_to_teacher": float((teacher * (log_t - log_p)).sum(1).mean()),
    }


def fit(recipe, config, files: dict, folder: pathlib.Path, trainer=train.train, **options):
    """Trains, going on with what an interrupted call left in the folder."""
    return trainer(recipe, config, [files["train"]], [files["validation"]], work_dir=str(folder / "state"),
                   log_dir=str(folder / "logs"), **options)  # fmt: skip


def students(e: Experiment, seed: int) -> Iterator[tuple[str, Callable]]:
    """The plain distillations and those along the route: name and what trains it."""
    common = e.common(seed, e.setting.student_epochs) | {"student_settings": e.setting.student}
    for name, terms in METHODS.items():

        def plain(folder, terms=terms):
            recipe = registry.get("distill")
            config = recipe.make_config("small", common | {"terms": terms})
            config, files = e.with_outputs(str(route.checkpoints(str(e.teacher()))[-1]), config)
            return fit(recipe, config, files, folder).student

        yield name, plain
    for name, selector in ROUTES.items():

        def along(folder, selector=selector):
            recipe = registry.get("route")
            options = common | {"terms": KD, "selector": selector, "teacher": str(e.teacher())}

            def stage(recipe, config, *_, work_dir, log_dir, **more):
                config, files = e.with_outputs(config.teacher, config)
                return train.train(recipe, config, [files["train"]], [files["validation"]], work_dir=work_dir,
                                   log_dir=log_dir, **more)  # fmt: skip

            config = recipe.make_config("small", options)
            return fit(recipe, config, e.files, folder, recipe.train, fit=stage).student

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
        keep = route.KeepRoute(served, own_config, str(folder / "model"))
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


def ensemble(e: Experiment, names: list[str], seed: int) -> dict[str, float] | None:
    """Accuracy and cross-entropy of the mean of several runs' probabilities, and the members' mean cross-entropy."""
    paths = [e.work / "runs" / f"{name}-{seed}" / "answers.npy" for name in names]
    if not all(p.exists() for p in paths):
        return None
    answers = [np.load(p) for p in paths]
    each = [scores(p, e.y, p)["cross_entropy"] for p in answers]
    together = scores(np.mean(answers, 0), e.y, answers[0])
    return {k: together[k] for k in ("accuracy", "cross_entropy")} | {"members_cross_entropy": float(np.mean(each))}


def report(e: Experiment) -> str:
    """The table and the claims, as Markdown."""
    figures = ("accuracy", "kl_to_teacher", "cckd_error", "rkd_error", "attention_error", "seconds")
    lines = ["| run | seeds | " + " | ".join(figures) + " |", "| --- | ---: |" + " ---: |" * len(figures)]
    runs: dict[str, dict[int, dict]] = {}
    for (name, seed), entry in e.done.items():
        runs.setdefault(name, {})[seed] = entry
    for name, by_seed in runs.items():
        cells = [spread([entry[f] for entry in by_seed.values()]) for f in figures]
        lines.append(f"| {name} | {len(by_seed)} | " + " | ".join(cells) + " |")
    for what in ("clean", "noisy"):
        for kind in ("generation", "retrained"):
            names = [f"{what}_{kind}{k}" for k in range(1, GENERATIONS + 1)]
            found = [m for s in runs.get(names[0], {}) if (m := ensemble(e, names, s))]
            if found:
                accuracy, entropy = (spread([m[f] for m in found]) for f in ("accuracy", "cross_entropy"))
                below = sum(m["cross_entropy"] <= m["members_cross_entropy"] + 1e-9 for m in found)
                said = f"{accuracy}; cross-entropy {entropy}, at most the members' mean in {below} of {len(found)}"
                lines.append(f"| {what} ensemble of {kind}s | {len(found)} | {said} |" + " |" * (len(figures) - 1))
    return "\n".join([*lines, "", *claims(runs)])


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    digits = 1 if abs(values[0]) >= 10 else 4
    text = f"{statistics.fmean(values):.{digits}f}"
    return text + (f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


@dataclasses.dataclass(frozen=True)
class Claim:
    """What is claimed of a run against another: a figure is higher (sign 1) or lower (-1) by at least so much."""

    text: str
    run: str
    other: str
    figure: str = "accuracy"
    sign: int = 1
    least: float = 0.0


CLAIMS = (
    Claim("KD lowers the divergence from the teacher (1503.02531)", "kd", "alone", "kl_to_teacher", -1),
    Claim("KD is more accurate than labels alone", "kd", "alone"),
    Claim("CCKD, Taylor kernel, lowers its own error by 30 % against KD", "cckd_taylor", "kd", "cckd_error", -1, 0.3),
    Claim("CCKD, bilinear, lowers the same error by 30 %", "cckd_bilinear", "kd", "cckd_error", -1, 0.3),
    Claim("CCKD, Taylor kernel, is more accurate than KD (1904.01802)", "cckd_taylor", "kd"),
    Claim("RKD lowers its own error against KD (1904.05068)", "rkd", "kd", "rkd_error", -1),
    Claim("attention transfer lowers its own error against KD (1612.03928)", "attention", "kd", "attention_error", -1),
    Claim("hints make KD more accurate (1412.6550)", "hint", "kd"),
    Claim("RCO, equal intervals, is more accurate than KD at equal cost (1904.09149)", "rco_equal", "kd"),
    Claim("RCO, greedy search, is more accurate than KD at equal cost", "rco_greedy", "kd"),
    Claim("RCO lowers the divergence from the final teacher", "rco_equal", "kd", "kl_to_teacher", -1),
    Claim("generation 1 beats the re-trained control (1805.04770)", "clean_generation1", "clean_retrained1"),
    Claim("generation 3 beats its control", "clean_generation3", "clean_retrained3"),
    Claim("30 % wrong labels: generation 1 wins by a point", "noisy_generation1", "noisy_retrained1", least=0.01),
    Claim("30 % wrong labels: generation 3 beats its control", "noisy_generation3", "noisy_retrained3"),
    Claim("CWTM beats the re-trained control", "clean_cwtm", "clean_retrained1"),
    Claim("DKPP beats the re-trained control", "clean_dkpp", "clean_retrained1"),
)


def claims(runs: dict[str, dict[int, dict]]) -> list[str]:
    """A line a claim: holds if the mean paired difference is on its side, by more than its standard error and bound.

    Differences of errors are relative to the other run's, of accuracies and divergences absolute.
    """
    lines = ["| claim | difference | seeds on its side | verdict |", "| --- | ---: | ---: | --- |"]
    for text, run, other, figure, sign, least in map(dataclasses.astuple, CLAIMS):
        seeds = sorted(set(runs.get(run, {})) & set(runs.get(other, {})))
        if not seeds:
            lines.append(f"| {text} | | 0 | not run |")
            continue
        pairs = [(runs[run][s][figure], runs[other][s][figure]) for s in seeds]
        gains = [sign * (a - b) / (b if figure.endswith("error") else 1.0) for a, b in pairs]
        mean, error = statistics.fmean(gains), statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else None
        right = sum(g > 0 for g in gains)
        holds = error is not None and mean > error and mean >= least
        verdict = "one seed says nothing" if error is None else "holds here" if holds else "does not hold here"
        shown = f"{sign * mean:+.4f}" + (f" ± {error:.4f}" if error is not None else "")
        lines.append(f"| {text} | {shown} | {right} of {len(seeds)} | {verdict} |")
    return lines


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
    click.echo(report(experiment))


if __name__ == "__main__":
    main()
