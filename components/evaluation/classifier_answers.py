"""What a served classifier says of the pictures of records, and how well it does beside a teacher."""

import os
from collections.abc import Sequence

import numpy as np

from components.evaluation.aggregates.calibration_error import CalibrationError
from models.contract.errors import KompaktError

_BATCH = 64
_LEAST = 1e-12  # probability, below which none is taken to be


class ClassifierError(KompaktError, ValueError):
    """A model that is no classifier, or pictures without classes; the message is one line."""


def probabilities(model_dir: str | os.PathLike, files: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """What `predict` of a SavedModel says of every picture of record files.

    Returns:
      Probabilities float32 [N, K], and labels int64 [N] (-1: none).

    Raises:
      ClassifierError: the model has no signature `predict`, or there is no picture.
    """
    import tensorflow as tf

    from models.records import pictures as picture_records

    model = tf.saved_model.load(os.fspath(model_dir))
    if "predict" not in model.signatures:
        raise ClassifierError(f"{model_dir}: not a classifier: no signature 'predict'")
    found, labels = [], []
    for records in picture_records.records(files).batch(_BATCH):
        features = picture_records.parse(records)
        found.append(
            model.signatures["predict"](image_bytes=features[picture_records.ENCODED])["probabilities"].numpy()
        )
        labels.append(features[picture_records.LABEL].numpy())
    if not found:
        raise ClassifierError("the test split holds no picture")
    return np.concatenate(found), np.concatenate(labels)


def scores(p: np.ndarray, labels: np.ndarray, teacher: np.ndarray) -> dict[str, float | None]:
    """The figures of a model beside its teacher.

    Args:
      p, teacher: probabilities [N, K]. labels: int [N]; -1 is none, and one that the models do not know is wrong. The
        teacher may know other classes, or none.

    Returns:
      Of the examples with a label, None without a single one: "accuracy", "top5_accuracy", "cross_entropy" (nats) and
      "calibration_error"; of all, None beside a teacher of other classes: "agreement" (share with its answer),
      "kl_to_teacher" (KL(teacher || model), nats).
    """
    if p.shape != teacher.shape:
        return scores(p, labels, p) | {"agreement": None, "kl_to_teacher": None}
    log_p, log_t = (np.log(np.maximum(q.astype(np.float64), _LEAST)) for q in (p, teacher))
    return _label_scores(p, log_p, labels) | {
        "agreement": float((p.argmax(1) == teacher.argmax(1)).mean()),
        "kl_to_teacher": float((teacher * (log_t - log_p)).sum(1).mean()),
    }


def _label_scores(p: np.ndarray, log_p: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """The figures that need labels, of the pictures that have one."""
    known = labels >= 0
    if not known.any():
        return dict.fromkeys(("accuracy", "top5_accuracy", "cross_entropy", "calibration_error"))
    p, log_p, labels = p[known], log_p[known], labels[known]
    hit = p.argmax(1) == labels
    order = np.argsort(-p, axis=1)[:, :5]
    unknown = labels >= p.shape[1]
    given = np.where(unknown, np.log(_LEAST), log_p[np.arange(len(p)), np.where(unknown, 0, labels)])
    return {
        "accuracy": float(hit.mean()),
        "top5_accuracy": float((order == labels[:, None]).any(1).mean()),
        "cross_entropy": float(-given.mean()),
        "calibration_error": CalibrationError().of({"confidence": p.max(1), "accuracy": hit}),
    }
