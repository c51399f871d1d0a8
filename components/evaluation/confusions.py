"""What the report measures of a classifier: who is taken for whom, and how far its confidence can be trusted."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.evaluation.evaluator import BINS
from models.contract.errors import KompaktError

_BATCH = 64


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


def reliability(confidence: np.ndarray, hit: np.ndarray) -> list[dict[str, float]]:
    """Bins of equal width by confidence [N]: "confidence" and "accuracy" (means) and "count", empty ones left out."""
    places = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    bins = [np.flatnonzero(places == b) for b in range(BINS)]
    return [
        {"confidence": float(confidence[b].mean()), "accuracy": float(hit[b].mean()), "count": len(b)}
        for b in bins
        if len(b)
    ]


def calibration_error(confidence: np.ndarray, hit: np.ndarray) -> float:
    """Expected calibration error of confidences [N] and hits [N], 0 or 1 (arXiv:1706.04599, eq. 3)."""
    bins = reliability(confidence, hit)
    return sum(b["count"] * abs(b["accuracy"] - b["confidence"]) for b in bins) / len(confidence)


def measure_int8(model_dir: str, files: Sequence[str]) -> dict[str, float] | None:
    """How the int8 TFLite file beside a SavedModel does on record files beside that.

    Returns:
      None without such a file; else "accuracy" and "float_accuracy" (of the SavedModel), "agreement" (share of the
      pictures with the same answer), "size_bytes" (of the file).

    Raises:
      ClassifierError: as `probabilities`.
    """
    from models.classifiers import int8
    from models.publishing import pushed

    path = pathlib.Path(model_dir) / pushed.EXTRA / int8.FILE
    if not path.is_file():
        return None
    p, labels = probabilities(model_dir, files)
    served, quantized = p.argmax(1), int8.probabilities(path, files).argmax(1)
    return {
        "accuracy": float((quantized == labels).mean()),
        "float_accuracy": float((served == labels).mean()),
        "agreement": float((quantized == served).mean()),
        "size_bytes": path.stat().st_size,
    }


def measure(model_dir: str, files: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Confusions and reliability of a pushed classifier on record files.

    Returns:
      "names": of the classes; "confusion": counts [K][K], rows are what a picture is, columns what it is taken for;
      "reliability": as of the function.

    Raises:
      ClassifierError: as `probabilities`, or no picture has a class that the model knows.
    """
    p, labels = probabilities(model_dir, files)
    known = (labels >= 0) & (labels < p.shape[1])
    if not known.any():
        raise ClassifierError("no picture of the test split has a class that the model knows")
    p, labels = p[known], labels[known]
    confusion = np.zeros((p.shape[1], p.shape[1]), int)
    np.add.at(confusion, (labels, p.argmax(1)), 1)
    return {
        "names": list(names) or [str(c) for c in range(p.shape[1])],
        "confusion": confusion.tolist(),
        "reliability": reliability(p.max(1), p.argmax(1) == labels),
    }
