"""Which claims on distilled and on aligned embeddings of faces hold on part of LFW, at equal cost of the students.

    python -m tests.claims.faces --data FOLDER --work DIR --out FILE.jsonl [--short] [--seeds 1,2,3]

FOLDER holds `faces.tar` (train/ and verification/), `more_identities.tar` and `pairs.csv`: 661 people to train with, of
whom a tenth, by the hashes of their names, are the validation; 349 others, of 240 listed pairs, are the test. Pictures
are the central 128 of 250 pixels, made smaller. A teacher is trained once, then a student by each method and seed for
as many steps; "ida" aligns the scores of the student that learned alone, on the test as it is and on one where half of
the pictures, by the hash of their names, were shrunk to 12 x 12 and enlarged again. Every finished run is a line of
FILE, so that the same command goes on where it was stopped; --report prints the tables from the lines there are.
Weights of the terms were set beforehand, from the sheet's advice and the terms' sizes, and not changed for any figure.
"""

import csv
import dataclasses
import hashlib
import io
import pathlib
import sys
import tarfile
import time

import click
import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from components.evaluation import verification as evaluation
from models.contract import registry
from models.distillation.terms import mining
from models.distillation.terms.correlation import Correlation
from models.faces import alignment, bank, calibration, decision, ida, verification
from models.publishing import pushed
from models.records import faces as face_records
from models.records import pictures as picture_records
from models.training import loop
from models.training.callbacks import KeepRoute
from tests.claims.faces_report import report
from tests.claims.ledger import Ledger

METHODS = {
    "alone": "",
    "fcd": "fcd + 0.02*head",
    "fcd_random": "fcd + coupleface(relations=random) + 0.02*head",
    "fcd_symmetric": "fcd + coupleface(aware=false) + 0.02*head",
    "coupleface": "fcd + coupleface + 0.02*head",
    "cckd": "50*cckd + 0.02*head",
    "rkd": "rkd_distance + 2*rkd_angle + 0.02*head",
    "rco": "fcd + 0.02*head",
}
ANCHORS = 4
CENTRAL, LOW = 128, 12  # pixels of LFW's 250 that are taken; side of a picture of low quality before it is enlarged
FAR = 0.01
OPERATORS = {"subtract": ("subtract", 10), "subtract, K=1": ("subtract", 1), "subtract, K=50": ("subtract", 50),
             "ratio": ("ratio", 10), "zscore": ("zscore", 200)}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes of the experiment."""

    side: int = 32
    teacher: str = "width_percent=25,depth=3"
    student: str = "width_percent=15,depth=1"
    teacher_steps: int = 2500
    student_steps: int = 500
    batch: int = 96


SHORT = Setting(32, "width_percent=25,depth=2", teacher_steps=500, student_steps=300)


class Faces:
    """The pictures: split -> (names, persons' names, pixels uint8 [N, S, S, 3]), and the listed pairs."""

    def __init__(self, folder: pathlib.Path, side: int):
        found: dict[str, list] = {"train": [], "validation": [], "test": []}
        for archive in ("faces.tar", "more_identities.tar"):
            with tarfile.open(folder / archive) as tar:
                for member in sorted((m for m in tar if m.name.endswith(".jpg")), key=lambda m: m.name):
                    *_, top, person, name = ("", *member.name.split("/"))
                    held = int(digest(person), 16) % 10 == 0
                    split = "test" if top == "verification" else "validation" if held else "train"
                    found[split].append((f"{person}/{name}", person, shown(tar.extractfile(member).read(), side)))
        order = {split: sorted(rows, key=lambda row: (row[1], row[0])) for split, rows in found.items()}
        self.splits = {split: tuple(zip(*rows, strict=True)) for split, rows in order.items()}
        places = {name: n for n, name in enumerate(self.splits["test"][0])}
        with open(folder / "pairs.csv", newline="") as file:
            rows = [(places[r["first"]], places[r["second"]], int(r["same"])) for r in csv.DictReader(file)]
        self.pairs = [(*row, n % 10) for n, row in enumerate(sorted(rows, key=lambda r: digest(str(r))))]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def shown(encoded: bytes, side: int) -> np.ndarray:
    """The central part of a picture, made smaller: uint8 [S, S, 3]."""
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    left, top = ((size - CENTRAL) // 2 for size in image.size)
    return np.array(image.resize((side, side), Image.Resampling.BOX, (left, top, left + CENTRAL, top + CENTRAL)))


def is_low(name: str) -> bool:
    """Whether a picture is one of low quality, in the population that has some."""
    return int(digest("low " + name), 16) % 2 == 0


def lowered(pixels: np.ndarray) -> np.ndarray:
    """A picture as if it had been LOW pixels wide."""
    small = Image.fromarray(pixels).resize((LOW, LOW), Image.Resampling.BOX)
    return np.array(small.resize(pixels.shape[:2], Image.Resampling.BILINEAR))


class Experiment:
    """Records, teacher and finished runs of one setting in a folder."""

    def __init__(self, data: str, work: str, out: str, setting: Setting):
        self.work, self.setting = pathlib.Path(work), setting
        self.work.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(out, ("run", "seed"), sys.modules[__name__])
        self.faces = Faces(pathlib.Path(data), setting.side)

    def files(self, population: str = "plain") -> dict[str, str]:
        """Record files by split, written once; of "mixed" half of the pictures are of low quality."""
        found = {}
        for split, (names, people, pixels) in self.faces.splits.items():
            found[split] = str(path := self.work / f"{population}-{split}-{self.setting.side}.gz")
            if path.exists():
                continue
            numbers = {person: n for n, person in enumerate(sorted(set(people)))}
            first = 0 if split == "train" else 100_000  # the others are no classes
            part = path.with_suffix(".part")
            with tf.io.TFRecordWriter(str(part), "GZIP") as writer:
                for n, (name, person, own) in enumerate(zip(names, people, pixels, strict=True)):
                    own = lowered(own) if population == "mixed" and is_low(name) else own
                    encoded = tf.io.encode_png(own).numpy()
                    record = picture_records.image_example(
                        encoded, key=name, format_name="png", height=len(own), width=len(own), channels=3,
                        size_bytes=len(encoded), label=first + numbers[person], label_name=person,
                    )  # fmt: skip
                    writer.write(face_records.face_example(record, n).SerializeToString())
            part.rename(path)
        return found

    def options(self, steps: int, seed: int, network: str) -> dict:
        """Options of every training of a network for faces."""
        sizes = dict(pair.split("=") for pair in network.split(","))
        return sizes | {"steps": steps, "steps_per_epoch": max(1, steps // 10), "batch_size": self.setting.batch,
                        "seed": seed}  # fmt: skip

    def fit(self, recipe, config, name: str, population: str = "plain", **more):
        """Trains, from where it was stopped."""
        keras.utils.clear_session()
        files = self.files(population)
        config = recipe.adapt(config, [files["train"]])
        folder = self.work / "runs" / name
        model = loop.train(recipe, config, [files["train"]], [files["validation"]], work_dir=str(folder / "state"),
                           log_dir=str(folder / "logs"), **more)  # fmt: skip
        return config, model

    def teacher(self) -> pathlib.Path:
        """The teacher's route: its checkpoint of every epoch, trained when first asked for."""
        folder, recipe = self.work / "route", registry.get("face")
        if not (folder / "10").exists():
            options = self.options(self.setting.teacher_steps, 10_001, self.setting.teacher)
            files = self.files()
            config = recipe.adapt(recipe.make_config("small", options), [files["train"]])
            self.fit(recipe, config, "teacher", callbacks=[KeepRoute(recipe, config, str(folder))])
        return folder

    def embedded(self, path, population: str = "plain", split: str = "test") -> np.ndarray:
        """Unit vectors of a split, in its order, by a kept network."""
        _, config, network = pushed.load(str(path))
        vectors, _ = decision.embedded(network, [self.files(population)[split]], config)
        return vectors  # sorted by person and name, as the splits are

    def figures(self, vectors: np.ndarray) -> dict:
        """Those of a test set."""
        people = np.unique(self.faces.splits["test"][1], return_inverse=True)[1]
        listed = [np.array([(b, same, fold) for a, b, same, fold in self.faces.pairs if a == n], int).reshape(-1, 3)
                  for n in range(len(people))]  # fmt: skip
        faces = evaluation.faces_of(vectors, people, np.arange(len(people)), listed)
        found = evaluation.figures(faces, tuple(verification.RATES.values()))
        told = {name: found[name].value for name in ("eer", "accuracy", "rank1")}
        return told | {f"tar_{text}": found["tar"][far].value for text, far in verification.RATES.items()} | {
            "genuine": found["genuine"], "impostors": found["impostors"]}  # fmt: skip

    def errors(self, vectors: np.ndarray) -> dict:
        """How far a student's relations are from the teacher's, on the test's people."""
        theirs = self.embedded(self.teacher() / "10")
        people = np.unique(self.faces.splits["test"][1], return_inverse=True)[1]
        slots = mining.prototypes([(theirs, people)], people.max() + 1)
        others = slots[mining.nearest(slots, 18)[people]]  # a twentieth of 349, as in training
        own, wanted = (np.einsum("nd,nkd->nk", side, others) for side in (vectors, theirs))
        correlation = Correlation(kernel="bilinear").example_losses(theirs[:300], vectors[:300])
        return {"fcd_error": float(1 - (vectors * theirs).sum(1).mean()), "correlation_error": float(correlation),
                "negative_error": float(np.maximum(own - wanted, 0).mean())}  # fmt: skip

    def relations(self) -> dict:
        """Mean cosine of mined and of random negatives, of the teacher's prototypes of the training."""
        vectors = self.embedded(self.teacher() / "10", split="train")
        people = np.unique(self.faces.splits["train"][1], return_inverse=True)[1]
        slots = mining.prototypes([(vectors, people)], people.max() + 1)
        tables = mining.nearest(slots, 30), mining.strangers(len(slots), 30, 1)
        mined, random = (float(np.einsum("nd,nkd->nk", slots, slots[table]).mean()) for table in tables)
        return {"mined": mined, "random": random}

    def run(self, name: str, seed: int) -> None:
        """Trains and measures what is not there."""
        if (name, seed) in self.ledger.done:
            return
        start = time.monotonic()
        if name == "teacher":
            path = self.teacher() / "10"
            found = self.figures(self.embedded(path)) | self.relations()
        elif name == "ida":
            found = self.aligned(seed)
        else:
            path = self.student(name, seed)
            vectors = self.embedded(path)
            found = self.figures(vectors) | self.errors(vectors)
        seconds = time.monotonic() - start
        options = dataclasses.asdict(self.setting) | {"terms": METHODS.get(name, "")}
        self.ledger.add(options, seconds, run=name, seed=seed, steps=self.setting.student_steps, **found)
        click.echo(f"{name} {seed} {seconds:.0f} s {found}")

    def student(self, name: str, seed: int) -> pathlib.Path:
        """Where a method's student of a seed is kept, trained if it is not."""
        folder = self.work / "students" / f"{name}-{seed}"
        if folder.exists():
            return folder
        options = self.options(self.setting.student_steps, seed, self.setting.student)
        route = self.teacher()
        if name == "alone":
            recipe = registry.get("face")
        else:
            recipe = registry.get("coupleface")
            options |= {"terms": METHODS[name], "teacher": str(route / "10")}
            options |= {"teacher": str(route), "anchors": ANCHORS} if name == "rco" else {}
        config, model = self.fit(recipe, recipe.make_config("small", options), f"{name}-{seed}")
        if recipe.served:
            recipe, model, config = recipe.served(model, config)
        fingerprint = f"{recipe.signatures(model, config).fingerprint:08x}"
        pushed.save(folder, recipe, config, pushed.anew(recipe, config, model), fingerprint=fingerprint)
        return folder

    def aligned(self, seed: int) -> dict:
        """Checks on alignment of the student that learned alone, on both populations."""
        found, path = {}, self.student("alone", seed)
        for population in ("plain", "mixed"):
            recipe = registry.get("ida")
            options = {"model": str(path), "seed": seed, "strength": 1.0}
            config, model = self.fit(recipe, recipe.make_config("small", options), f"ida-{population}-{seed}",
                                     population)  # fmt: skip
            pictures, files = ida.face_config(model.config), self.files(population)
            sets = {split: decision.vectors_of(model, [file], pictures) for split, file in files.items()}
            found[population] = self.checks(model, sets, population, seed)
        return found

    def checks(self, model, sets: dict, population: str, seed: int) -> dict:
        """TAR of every operator, thresholds by group, correlations, and the permuted control, on the test."""
        (held, _), (vectors, people), (known, persons) = (sets[s] for s in ("validation", "test", "train"))
        unit, names = decision.unit(vectors), self.faces.splits["test"][0]
        low = np.array([population == "mixed" and is_low(name) for name in names])

        def tar(align=None) -> float:
            pairs = verification.all_pairs(unit, people, align=align)
            return verification.tar_at(verification.curve(pairs.scores, pairs.same), FAR)

        def supported(rows, count, candidates=model.candidates, shown=model.persons, own=None):
            parts = alignment.support(rows, np.array(candidates), np.array(shown), count, own, model.config.duplicate)
            return [np.array(part, np.float64) for part in parts]

        made = {}
        for name, (mode, count) in OPERATORS.items():
            average = float(supported(decision.unit(held), count)[0].mean())
            made[name] = alignment.Alignment(alignment.Form(mode, 1.0, average), *supported(unit, count))
        chosen = made["subtract"]
        order = np.random.default_rng(seed).permutation(len(unit))
        control = chosen._replace(mean=chosen.mean[order])
        said = calibration.said(model, vectors)
        virtual = bank.mixed(decision.unit(known), persons, 2000, seed)
        real = supported(unit, 10, unit, np.repeat(people[:, None], 2, 1).astype("int32"), people)[0]
        by_bank = supported(unit, 10, virtual.embeddings, virtual.persons)[0]
        return {
            "raw": tar(), "permuted": tar(control), **{name: tar(align) for name, align in made.items()},
            "learned": tar(model.alignment_of(said, "learned", 1.0)), "spread": float(chosen.mean.std()),
            "r_prototypes": correlation(chosen.mean, real), "r_virtual": correlation(by_bank, real),
            "r_learned": correlation(said[:, 2], said[:, 0]),
            "thresholds": {name: thresholds(unit, people, low, align)
                           for name, align in (("raw", None), ("subtract", chosen))},
        }  # fmt: skip


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def thresholds(unit: np.ndarray, people: np.ndarray, low: np.ndarray, align) -> list[float]:
    """Thresholds at FAR for impostor pairs of two good pictures, of a good and a low one, of two low ones, as far as
    there are some."""
    rows, columns = np.triu_indices(len(unit), 1)
    scores = (unit[rows].astype(np.float64) * unit[columns]).sum(1)
    scores = scores if align is None else align(scores, rows, columns)
    groups, other = low[rows].astype(int) + low[columns], people[rows] != people[columns]
    return [float(np.quantile(scores[other & (groups == n)], 1 - FAR)) for n in range(3) if (groups == n).any()]


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False), help="Folder with the faces.")
@click.option("--work", required=True, help="Records, networks and states.")
@click.option("--out", required=True, help="A JSON line for each finished run.")
@click.option("--seeds", default="1,2,3", show_default=True)
@click.option("--only", default="", help="Runs to do, separated by commas.")
@click.option("--short", is_flag=True, help="A few minutes instead of hours.")
@click.option("--report", "only_report", is_flag=True, help="Print the tables, train nothing.")
def main(data, work, out, seeds, only, short, only_report) -> None:
    """Does what is missing of the experiment, then prints the tables."""
    experiment = Experiment(data, work, out, SHORT if short else Setting())
    wanted = list(filter(None, only.split(","))) or ["teacher", *METHODS, "ida"]
    for seed in [] if only_report else [int(s) for s in seeds.split(",")]:
        for name in wanted:
            if name != "teacher" or seed == int(seeds.split(",")[0]):
                experiment.run(name, seed)
    click.echo(report(experiment.ledger.done))


if __name__ == "__main__":
    main()
