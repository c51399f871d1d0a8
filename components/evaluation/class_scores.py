"""The challenge's scores of recordings: F1, precision and recall by class, and the mean F1 that is the challenge's own.

    F1_c = 2 TP_c / (recordings taken for c + recordings of c)

A recording without a label, -1, is left out. A class that nothing belongs to and nothing was taken for has
no F1 (NaN) and is left out of the mean; the same holds for the precision of a class that nothing was taken for and the
recall of a class that nothing belongs to.
"""

from collections.abc import Sequence

import numpy as np

from models.records.ecg_units import CLASSES, SCORED

KINDS = ("f1", "precision", "recall")


def counted(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Confusions of int [N] and [N], int [classes, classes]: rows are what recordings are, columns what they pass for.

    Recordings without a label are left out.
    """
    known = labels >= 0
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels[known], predicted[known]), 1)
    return confusion


def class_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of each class by their kind, float64 [K], of confusions as of `counted`; NaN where undefined."""
    confusion = np.asarray(confusion, np.float64)
    right, is_, taken = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    with np.errstate(invalid="ignore"):
        return {"f1": 2 * right / (is_ + taken), "precision": right / taken, "recall": right / is_}


def challenge_f1(confusion: np.ndarray, names: Sequence[str]) -> float:
    """Mean F1 of SCORED, by the classes' names; of all classes there are, if the names are not the challenge's.

    NaN without a single recording.
    """
    scores = dict(zip(names, class_scores(confusion)["f1"], strict=True))
    found = [scores[name] for name in SCORED if name in scores and not np.isnan(scores[name])]
    found = found or [score for name, score in scores.items() if name not in CLASSES and not np.isnan(score)]
    return float(np.mean(found)) if found else float("nan")


def bootstrap(
    labels: np.ndarray, predicted: np.ndarray, names: Sequence[str], draws: int = 1000, seed: int = 1
) -> tuple[float, float]:
    """The 95 % interval of the challenge's F1 over recordings drawn anew with replacement (percentiles), or NaN."""
    if not (labels >= 0).any():
        return float("nan"), float("nan")
    random, found = np.random.default_rng(seed), []
    for _ in range(draws):
        chosen = random.integers(0, len(labels), len(labels))
        found.append(challenge_f1(counted(labels[chosen], predicted[chosen], len(names)), names))
    return float(np.nanpercentile(found, 2.5)), float(np.nanpercentile(found, 97.5))
