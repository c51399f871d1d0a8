"""Teacher, students and controls side by side on the test split: one table, with the spread over seeds."""

import json
import os
import pathlib
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.special
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components import artifacts
from components.evaluation.classifier_answers import probabilities, scores
from models.distillation import teacher as teachers
from models.distillation.terms.term import LOGITS
from models.layers import cost
from models.publishing import pushed
from models.records import pictures as picture_records

FILE = "comparison.json"
ROLES = ("student", "control")
_BATCH, _LATENCY_CALLS = 128, 30


class ComparisonSpec(component_spec.ComponentSpec):
    """What Comparison takes and gives."""

    PARAMETERS = {"settings": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "teacher": component_spec.ChannelParameter(type=standard_artifacts.Model),
        **artifacts.several_models("student"),
        **artifacts.several_models("control"),
    }
    OUTPUTS = {"table": component_spec.ChannelParameter(type=artifacts.ComparisonTable)}


class Executor(base_executor.BaseExecutor):
    """Measures the models; see Comparison."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:  # noqa: N802 (TFX's name)
        """Writes FILE."""
        settings = json.loads(exec_properties["settings"])
        files = artifacts.split_files(input_dict["examples"], settings["split"])
        given = {key: found for key, found in input_dict.items() if found and key != "examples"}
        models = {name: artifacts.saved_model_dir(found[0]) for name, found in given.items()}
        rows = compare(
            models, files, range_=settings["teacher_range"], output=settings["teacher_output"],
            ensemble=settings["ensemble"],
        )  # fmt: skip
        table = artifact_utils.get_single_instance(output_dict["table"])
        path = pathlib.Path(table.uri) / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


class Comparison(base_component.BaseComponent):
    """A row for each model, see `compare`; students and controls are up to `artifacts.MOST` models each."""

    SPEC_CLASS = ComparisonSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, examples, teacher, students: Sequence, controls: Sequence, settings: Mapping[str, Any]):
        """
        Args:
          examples, teacher, students, controls: channels.
          settings: "split", "teacher_range", "teacher_output" and "ensemble" (a row for all students together).
        """
        spec = ComparisonSpec(
            examples=examples,
            teacher=teacher,
            **artifacts.numbered("student", students),
            **artifacts.numbered("control", controls),
            table=types.Channel(type=artifacts.ComparisonTable),
            settings=json.dumps(dict(settings), sort_keys=True),
        )
        super().__init__(spec=spec)


def compare(
    models: Mapping[str, str],
    files: Sequence[str],
    *,
    range_: str = "0..1",
    output: str = "auto",
    ensemble: bool = False,
) -> list[dict[str, Any]]:
    """Measures a teacher and its students on record files.

    Args:
      models: "teacher", "student_0", ..., "control_0", ... -> path. files: records with labels.
      range_, output: of the teacher, as `models.distillation.teacher.load` takes them.
      ensemble: whether a row "ensemble" tells of the mean of the students' probabilities; its costs are their sums.

    Returns:
      Rows, the teacher's first: "role", "seed" (None for a teacher that tells none), the figures of
      `classifier_answers.scores`, "parameters", "multiply_adds", "size_bytes" (of the SavedModel
      without what only training needs), "latency_ms" (median of one picture's `predict`); None where it is not told.
    """
    found = teachers.load(models["teacher"], range=range_, output=output)
    by_teacher, labels = _by_teacher(found, files)
    rows, answers = [], []
    for role in ROLES:
        for n in range(artifacts.MOST):
            if path := models.get(f"{role}_{n}"):
                p, labels = probabilities(path, files)
                rows.append({"role": role, **scores(p, labels, by_teacher), **_costs(path, files)})
                answers += [p] if role == "student" else []
    of_same_classes = not answers or by_teacher.shape == answers[0].shape
    of_teacher = scores(by_teacher, labels, by_teacher) if of_same_classes else dict.fromkeys(rows[0])
    rows.insert(0, of_teacher | {"role": "teacher"} | _costs(models["teacher"], files))
    if ensemble and answers:
        costs = ("parameters", "multiply_adds", "size_bytes", "latency_ms")
        sums = {name: sum(row[name] or 0 for row in rows if row["role"] == "student") for name in costs}
        rows.append({"role": "ensemble", "seed": None} | scores(np.mean(answers, 0), labels, by_teacher) | sums)
    return rows


def _by_teacher(found: teachers.Teacher, files: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The teacher's probabilities [N, K] (K = 0 without logits) and the labels [N]; one of a user cannot `predict`."""
    logits, labels, say = [], [], None
    for records in picture_records.records(files).batch(_BATCH):
        features = picture_records.parse(records)
        labels.append(features[picture_records.LABEL].numpy())
        say = say or found.of_records(size=int(features[picture_records.HEIGHT][0]))
        logits.append(say(records).get(LOGITS, np.zeros((len(labels[-1]), 0), "float32")))
    logits = np.concatenate(logits)
    return scipy.special.softmax(logits, axis=1) if logits.size else logits, np.concatenate(labels)


def _costs(path: str, files: Sequence[str]) -> dict[str, Any]:
    """Seed, size, parameters, multiply-adds and latency of a model."""
    found = teachers.load(path)  # anew: one that was used as a teacher is frozen
    path, network = found.path, found.network  # of a folder of versions the newest
    try:
        about = pushed.describe(path)
    except FileNotFoundError:
        about = {}
    config = about.get("trained_by", about).get("config", {})
    return {
        "seed": config.get("seed"),
        "parameters": cost.parameters(network) or None,
        "multiply_adds": cost.multiply_adds(network) or None,
        "size_bytes": _size(path),
        "latency_ms": _latency(path, files) if about else None,
    }


def _size(path: str) -> int:
    """Bytes of a model's files; of a SavedModel those that a server loads."""
    place = pathlib.Path(path)
    files = [place] if place.is_file() else [f for f in place.rglob("*") if f.is_file()]
    return sum(f.stat().st_size for f in files if pushed.EXTRA not in f.relative_to(place).parts)


def _latency(path: str, files: Sequence[str]) -> float:
    """Median milliseconds of `predict` for one picture, after a first call."""
    import tensorflow as tf

    signatures = tf.saved_model.load(os.fspath(path)).signatures
    picture = picture_records.parse(next(iter(picture_records.records(files))))[picture_records.ENCODED][None]
    times = []
    for _ in range(_LATENCY_CALLS + 1):
        start = time.perf_counter()
        signatures["predict"](image_bytes=picture)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a role: "role", "models", and each figure as (mean, standard deviation or None for a single model)."""
    result = []
    for role in dict.fromkeys(row["role"] for row in rows):
        same = [row for row in rows if row["role"] == role]
        figures = {}
        for name in (n for n in same[0] if n not in ("role", "seed")):
            values = [row[name] for row in same if row[name] is not None]
            spread = statistics.stdev(values) if len(values) > 1 else None
            figures[name] = (statistics.fmean(values), spread) if values else (None, None)
        result.append({"role": role, "models": len(same), **figures})
    return result
