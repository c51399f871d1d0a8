"""k-fold cross-validation of a recipe of recordings: stratified, resumable, folds side by side when asked.

All recordings with a label are pooled and dealt to the folds, class by class, so that no recording is in two. A fold is
the test set of a model that learns from the others; a tenth of those, again of each class, chooses its best epoch.
Vocabulary and amplitude are taken from the recordings that the model learns from.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import pathlib
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components import closure, given
from components.evaluation import ecg_results
from components.kinds.files import DataError
from components.kinds.recordings import transform
from models.contract import registry
from models.contract.recipe import Config, ConfigError, Recipe
from models.files import write_text
from models.records import ecg_units
from models.records import pictures as picture_records
from models.records import recordings as ecg_records
from models.training.loop import TrainingError

RESULTS = "cross_validation.json"
_FOLD = "fold.json"
_VALIDATION = 10  # one in so many of the recordings to learn from


@dataclasses.dataclass(frozen=True)
class Plan:
    """One cross-validation; what is kept of it lies in `out`.

    Attributes:
      recipe: name. config: all options. dataset, folder, digest: of the data. folds: how many. out: folder.
      max_unreadable: share of unreadable files above which nothing is done.
    """

    recipe: str
    config: Mapping[str, Any]
    dataset: str
    folder: str
    digest: str
    folds: int
    out: str
    max_unreadable: float = 0.01

    @property
    def setting(self) -> dict[str, Any]:
        """What decides the results."""
        kept = {name: getattr(self, name) for name in ("recipe", "config", "dataset", "digest", "folds")}
        config = registry.get(self.recipe).config(**self.config)
        code = closure.digest(__name__, names={*given.recipes(self.recipe, config), self.dataset})
        return kept | {"models": given.models(config), "sources": code}

    def place(self, fold: int) -> pathlib.Path:
        """The folder of a fold, counted from 0."""
        return pathlib.Path(self.out) / f"fold-{fold + 1}"


def plan_of(recipe: Recipe, config: Config, **options: Any) -> Plan:
    """The plan for a recipe; `options` are the other attributes of Plan.

    Raises:
      ConfigError: the recipe is of another kind.
      DataError: `out` holds a cross-validation of other options, data or sources, or a damaged one.
    """
    if recipe.data != "recordings":
        raise ConfigError(f"{recipe.name} takes {recipe.data}; cross-validation is of recordings")
    plan = Plan(recipe=recipe.name, config=dataclasses.asdict(config), **options)
    path = pathlib.Path(plan.out) / "setting.json"
    if path.exists():
        kept = _read_json(path)
        if changed := sorted(name for name, value in plan.setting.items() if kept.get(name) != value):
            what = ", ".join(changed)
            raise DataError(f"{plan.out} holds a cross-validation with other {what}; choose another --out")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(plan.setting, indent=1))
    return plan


def deal(labels: Mapping[str, str], folds: int, seed: int) -> list[dict[str, str]]:
    """Who is what in each fold.

    Args:
      labels: class of each recording by its id. folds: how many, 2 or more. seed: of the dealing.

    Returns:
      For each fold, id -> "train", "validation" or "test". Every id is "test" in exactly one fold, and of three or
      more folds "train" in one at least. Of two folds a tenth chooses and is learned from in none: it has no third.

    Raises:
      DataError: a class has too few recordings to be in every training set.
    """
    by_class: dict[str, list[str]] = {}
    for key, label in labels.items():
        by_class.setdefault(label, []).append(key)
    if rare := [label for label, keys in by_class.items() if len(keys) < 3]:
        raise DataError(f"class {rare[0]!r} has {len(by_class[rare[0]])} recordings; each needs 3 to be in every fold")
    home, dealt = {}, 0
    for keys in by_class.values():
        for key in _drawn(keys, f"{seed}/test"):
            home[key] = dealt % folds
            dealt += 1
    plans = []
    for fold in range(folds):
        roles = {key: "test" if home[key] == fold else "train" for key in labels}
        for keys in by_class.values():
            learned = [key for key in _drawn(keys, f"{seed}/validation") if roles[key] == "train"]
            learned.sort(key=lambda key: (home[key] - fold) % folds)
            roles |= {key: "validation" for key in learned[: max(1, round(len(learned) / _VALIDATION))]}
        plans.append(roles)
    return plans


def _drawn(keys: Sequence[str], salt: str) -> list[str]:
    """The keys in an order that their hashes decide."""
    return sorted(keys, key=lambda key: hashlib.sha256(f"{salt}/{key}".encode()).digest())


def run(plan: Plan, parallel: int = 1, told: Callable[[str], None] = print) -> dict[str, Any]:
    """Does the folds that are missing; returns, and writes to RESULTS in the folder, the results of all.

    Args:
      parallel: so many folds at a time, each in a process with its share of the cores; what they print goes to
        `fold-<n>/run.log`.
      told: gets a line when a fold has ended.

    Returns: as of `summary`.

    Raises:
      DataError: the data cannot be used. TrainingError: a loss ran away, or a process was killed.
    """
    records = ecg_results.ingest(
        plan.dataset, plan.folder, pathlib.Path(plan.out) / "ingest", plan.digest, plan.max_unreadable
    )
    missing = [fold for fold in range(plan.folds) if not (plan.place(fold) / _FOLD).exists()]
    if parallel == 1 or len(missing) < 2:
        for fold in missing:
            run_fold(plan, records, fold)
            told(f"fold {fold + 1} of {plan.folds} done")
    else:
        _side_by_side(plan, records, missing, min(parallel, len(missing)), told)
    rows = [_read_json(plan.place(fold) / _FOLD) for fold in range(plan.folds)]
    found = summary(rows) | {"setting": plan.setting}
    write_text(pathlib.Path(plan.out) / RESULTS, json.dumps(found, indent=1))
    return found


def _side_by_side(plan: Plan, records, missing: Sequence[int], parallel: int, told: Callable[[str], None]) -> None:
    threads = max(1, len(os.sched_getaffinity(0)) // parallel)
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    pool = concurrent.futures.ProcessPoolExecutor(parallel, context, _take_share, (threads,))
    with pool:
        running = {pool.submit(_run_logged, plan, records, fold): fold for fold in missing}
        try:
            for done in concurrent.futures.as_completed(running):
                done.result()
                told(f"fold {running[done] + 1} of {plan.folds} done")
        except concurrent.futures.process.BrokenProcessPool as error:
            raise TrainingError("a fold's process was killed; the same command goes on from where it was") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _take_share(threads: int) -> None:
    """Bounds what a process takes of the machine."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def _run_logged(plan: Plan, records: Mapping[str, Sequence[str]], fold: int) -> None:
    """`run_fold` with what it prints in a file."""
    plan.place(fold).mkdir(exist_ok=True)
    with open(plan.place(fold) / "run.log", "a", encoding="utf-8") as log:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            print(f"fold {fold + 1}", file=sys.stderr, flush=True)
            run_fold(plan, records, fold)


def run_fold(plan: Plan, records: Mapping[str, Sequence[str]], fold: int) -> None:
    """Trains and measures one fold; goes on in mid-training where an interrupted call stopped.

    Args:
      records: ingest records by split, which are pooled. fold: counted from 0.
    """
    recipe, place = registry.get(plan.recipe), plan.place(fold)
    prepared = place / "records"
    if not prepared.exists():
        ingested = write_roles(records, plan.folds, fold, place / "ingest")
        transform.transform(ingested, prepared)
        shutil.rmtree(place / "ingest")
    files = transform.split_files(prepared)
    keras.utils.clear_session()
    config = recipe.config(**plan.config)
    model, config, history = ecg_results.trained(recipe, config, files, place / "training")
    answers = ecg_results.answers(recipe, config, model, files["test"])
    row = {"fold": fold + 1, **ecg_results.best_epoch(history, recipe.judge)}
    row |= ecg_results.figures(*answers, json.loads(config.class_names))
    write_text(place / _FOLD, json.dumps(row, indent=1))
    shutil.rmtree(place / "training" / "state")
    shutil.rmtree(prepared)


def write_roles(records: Mapping[str, Sequence[str]], folds: int, fold: int, folder: pathlib.Path) -> dict:
    """Writes the pooled records by their role in a fold, counted from 0; those without a label are left out.

    Args:
      records: ingest records by split. folder: is made anew.

    Returns: files by split, for Transform.

    Raises:
      DataError: no labels, or a class is too rare.
    """
    files = [path for split in picture_records.SPLITS for path in records[split]]
    labels = {}
    for record in picture_records.records(files).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        if name := b"".join(features[ecg_records.LABEL_NAME].bytes_list.value):
            labels[features[ecg_records.ID].bytes_list.value[0]] = name.decode()
    if not labels:
        raise DataError("the recordings have no labels; cross-validation takes a labelled data set")
    roles = deal({key.decode("utf-8", "replace"): label for key, label in labels.items()}, folds, 1)[fold]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = {split: str(folder / f"{split}.gz") for split in picture_records.SPLITS}
    with contextlib.ExitStack() as stack:
        writers = {s: stack.enter_context(tf.io.TFRecordWriter(path, "GZIP")) for s, path in paths.items()}
        for record in picture_records.records(files).as_numpy_iterator():
            key = tf.train.Example.FromString(record).features.feature[ecg_records.ID].bytes_list.value[0]
            if key in labels:
                writers[roles[key.decode("utf-8", "replace")]].write(record)
    return {split: [path] for split, path in paths.items()}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures over folds.

    Args:
      rows: figures of each fold, as of `ecg_results.figures`.

    Returns:
      "folds": the rows; "mean" and "spread" (standard deviation, None of one value): "challenge_f1", "accuracy" and
      "f1/<class>", over the folds where they are defined; "names" and "confusion": of all recordings together.
    """
    names = list(dict.fromkeys(name for row in rows for name in row["names"]))
    order = [*(n for n in ecg_units.CLASSES if n in names), *sorted(set(names) - set(ecg_units.CLASSES))]
    columns = {key: [row[key] for row in rows] for key in ("challenge_f1", "accuracy")}
    columns |= {f"f1/{name}": [row["f1"].get(name) for row in rows] for name in order}
    known = {key: [v for v in values if v is not None] for key, values in columns.items()}
    confusion = np.zeros((len(order), len(order)), int)
    for row in rows:
        places = [order.index(name) for name in row["names"]]
        confusion[np.ix_(places, places)] += np.array(row["confusion"])
    return {
        "folds": list(rows),
        "mean": {key: statistics.fmean(values) if values else None for key, values in known.items()},
        "spread": {key: statistics.stdev(values) if len(values) > 1 else None for key, values in known.items()},
        "names": order,
        "confusion": confusion.tolist(),
    }


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    """What was written for a fold; raises DataError if it is something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise DataError(f"{path}: damaged; delete it, or choose another --out")
    return content
