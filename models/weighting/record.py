"""What the weights of a training were: counts by stage, from which the report and the claims are drawn."""

import keras
import numpy as np
from keras import ops

from models.classifiers.classifier import cross_entropy

BINS, HIGHEST = 80, 4.0  # of the histogram of weights; larger weights are in its last bin
TENTHS = 10
FILE = "weighting.json"


class Record(keras.layers.Layer):
    """Sums over the batches of each stage.

    Variables, float32: `histogram` [K, 2, BINS], how many right and wrong labels had a weight in each bin; `sums`
    [K, 2, 2], their number and the sum of their weights; `ranks` [K, TENTHS, 2], the same by tenths of the batch from
    the smallest loss to the largest; `effective` [K, 2], batches and their effective sizes over B,
    (sum w)^2 / (B sum w^2).
    """

    def __init__(self, stages: int, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.stages = stages
        shapes = {"histogram": (2, BINS), "sums": (2, 2), "ranks": (TENTHS, 2), "effective": (2,)}
        for name, shape in shapes.items():
            made = self.add_weight(shape=(stages, *shape), trainable=False, initializer="zeros", name=name)
            setattr(self, name, made)
        self.built = True

    def add(self, stage, weights, wrong, logits, labels) -> None:
        """Takes a batch: stage, int32 scalar; weights and wrong [B]; logits and labels [B, K]."""
        weights, wrong = (ops.stop_gradient(ops.cast(t, "float32")) for t in (weights, wrong))
        here = ops.one_hot(stage, self.stages)
        sides = ops.stack([1.0 - wrong, wrong])  # [2, B]
        bins = ops.one_hot(ops.cast(ops.clip(weights / HIGHEST, 0.0, 0.9999) * BINS, "int32"), BINS)
        count = ops.shape(weights)[0]
        rank = ops.argsort(ops.argsort(cross_entropy(labels, ops.stop_gradient(logits))))
        tenths = ops.transpose(ops.one_hot(rank * TENTHS // count, TENTHS))  # [TENTHS, B]
        size = ops.square(ops.sum(weights)) / (
            ops.maximum(ops.sum(ops.square(weights)), 1e-12) * ops.cast(count, "float32")
        )
        found = {"histogram": sides @ bins, "effective": ops.stack([ops.ones_like(size), size])}
        for name, groups in (("sums", sides), ("ranks", tenths)):
            found[name] = ops.stack([ops.sum(groups, axis=-1), ops.sum(groups * weights, axis=-1)], axis=-1)
        for name, value in found.items():
            variable = getattr(self, name)
            variable.assign_add(ops.reshape(here, (-1,) + (1,) * len(value.shape)) * value)

    def summary(self) -> dict[str, list]:
        """By stage, None where there was nothing: "right" and "wrong" (mean weights), "auc" (chance that a right label
        weighs more than a wrong one), "effective" (mean effective size of a batch over its size), "by_loss" (mean
        weight by tenths of the loss); "auc_all", "histogram" ([2][BINS]) over all stages, "highest" its end.
        """
        sums, ranks, effective = (np.array(v, np.float64) for v in (self.sums, self.ranks, self.effective))
        weights = np.array(self.histogram, np.float64)
        return {
            "right": [_ratio(s, n) for n, s in sums[:, 0]], "wrong": [_ratio(s, n) for n, s in sums[:, 1]],
            "auc": [auc(*stage) for stage in weights], "auc_all": auc(*weights.sum(0)),
            "effective": [_ratio(s, n) for n, s in effective],
            "by_loss": [[_ratio(s, n) for n, s in stage] for stage in ranks],
            "histogram": weights.sum(0).tolist(), "highest": HIGHEST,
        }  # fmt: skip


def _ratio(total: float, count: float) -> float | None:
    return round(float(total / count), 5) if count else None


def auc(right: np.ndarray, wrong: np.ndarray) -> float | None:
    """Chance that a weight of one histogram is larger than one of another, ties counted half; None if one is empty."""
    if not right.sum() or not wrong.sum():
        return None
    below = np.cumsum(wrong) - wrong / 2
    return round(float((right * below).sum() / (right.sum() * wrong.sum())), 5)
