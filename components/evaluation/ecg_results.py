"""What a trained model of electrocardiograms does on records that it has not seen: answers, and the figures of them."""

import json
import math
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components.artifacts import LOCAL_BEAM
from components.evaluation import class_scores
from components.evaluation.aggregates.calibration_error import CalibrationError
from components.evaluation.aggregates.mean import Mean
from components.ingest.example_gen import REPORT_FILE, Executor
from models.contract.recipe import Config, Recipe
from models.contract.training import Judge
from models.records import pictures as picture_records


def ingest(
    dataset: str, folder: str, out: str | os.PathLike, digest: str = "", max_unreadable: float = 0.01
) -> dict[str, list[str]]:
    """What the first step of a pipeline does, outside of it: records by split; those there are, if `out` is complete.

    Args:
      dataset, folder, digest, max_unreadable: as of `components.ingest.example_gen.TfdsExampleGen`.
      out: folder that gets `Split-<name>/*.gz` and the step's report.

    Raises:
      DataError: the data cannot be used.
    """
    target = pathlib.Path(out)
    if not (target / REPORT_FILE).is_file():
        examples = standard_artifacts.Examples()
        examples.uri = str(target)
        with tempfile.TemporaryDirectory() as work:
            context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=list(LOCAL_BEAM), tmp_dir=work)
            settings = {"dataset": dataset, "folder": folder, "digest": digest, "max_unreadable": max_unreadable}
            Executor(context).Do({}, {"examples": [examples]}, settings)
    return {split: sorted(map(str, target.glob(f"Split-{split}/*.gz"))) for split in picture_records.SPLITS}


def answers(recipe: Recipe, config: Config, model: keras.Model, files: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """What a model says of every labelled recording of transformed records, each once and whole.

    Returns:
      Labels int64 [N], places in the model's own order of classes; probabilities float32 [N, K].
    """
    batches = recipe.inputs(list(files), config, False)
    labels = np.concatenate([keras.ops.convert_to_numpy(y).argmax(1) for _, y in batches])
    logits = model.predict(batches, verbose=0)
    return labels, keras.ops.convert_to_numpy(keras.ops.softmax(logits))


def figures(labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The figures of answers, fit for JSON (None where one is not defined).

    Args:
      labels: int [N]; recordings with -1 have none and are left out. probabilities: [N, K]. names: of the K classes.

    Returns:
      "names"; "recordings": their number; "challenge_f1" and "interval": its 95 % bootstrap interval; "f1", "precision"
      and "recall": of each class by its name; "accuracy"; "calibration_error"; "confusion": counts [K][K].
    """
    known = labels >= 0
    labels, probabilities = labels[known], probabilities[known]
    predicted = probabilities.argmax(1)
    confusion = class_scores.counted(labels, predicted, len(names))
    hit = predicted == labels
    by_class = {
        kind: {name: _number(value) for name, value in zip(names, values, strict=True)}
        for kind, values in class_scores.class_scores(confusion).items()
    }
    return {
        "names": list(names),
        "recordings": len(labels),
        "challenge_f1": _number(class_scores.challenge_f1(confusion, names)),
        "interval": [_number(bound) for bound in class_scores.bootstrap(labels, predicted, names)],
        **by_class,
        "accuracy": _number(Mean("accuracy").of({"accuracy": hit})),
        "calibration_error": _number(CalibrationError().of({"confidence": probabilities.max(1), "accuracy": hit})),
        "confusion": confusion.tolist(),
    }


def chosen_offsets(labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> list[float]:
    """What, added to the logits of the classes, gives the best challenge F1 on recordings: to be asked of validation.

    Class by class, in tenths up to one either way; the first class, and what does not help, stay at zero.

    Args:
      labels: int [N], none of them missing. probabilities: [N, K]. names: of the K classes.
    """
    logits, found = np.log(np.maximum(probabilities, 1e-9)), np.zeros(len(names))

    def score(offsets):
        return class_scores.challenge_f1(class_scores.counted(labels, (logits + offsets).argmax(1), len(names)), names)

    steps = sorted(np.arange(-10, 11) / 10, key=abs)
    for _ in range(2):
        for place in range(1, len(names)):
            tried = [np.where(np.arange(len(names)) == place, step, found) for step in steps]
            found = max([found, *tried], key=score)  # the first of equal ones
    return found.tolist()


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def trained(
    recipe: Recipe, config: Config, files: Mapping[str, Sequence[str]], folder: str | os.PathLike, **options
) -> tuple[keras.Model, Config, list[dict]]:
    """Trains on transformed records, going on with what an interrupted call left in `folder`.

    Args:
      files: of the splits train and validation. options: for the training loop.

    Returns:
      The model; the configuration with what the data decide; the history.
    """
    from models.training import loop

    config = recipe.adapt(config, list(files["train"]))
    folder = pathlib.Path(folder)
    model = loop.train(
        recipe, config, list(files["train"]), list(files["validation"]),
        work_dir=str(folder / "state"), log_dir=str(folder / "logs"), **options,
    )  # fmt: skip
    return model, config, json.loads((folder / "logs" / "history.json").read_text(encoding="utf-8"))


def best_epoch(history: Sequence[Mapping[str, float]], judge: Judge) -> dict[str, Any]:
    """Which epoch a training gave back, by its history.

    Returns:
      "best_epoch": from 1, over all phases; the last where weights are averaged, None without a validation.
      "validation_f1": [step, value] of each.
    """
    curve = [(row["step"], row["val_f1"]) for row in history if row.get("val_f1") is not None]
    place = judge.given_back(history)
    return {"best_epoch": None if place is None else place + 1, "validation_f1": curve}
