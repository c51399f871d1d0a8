"""Expected calibration error: how far the confidence of answers is from the share of right ones."""

import dataclasses
import math

import numpy as np

from components.evaluation.aggregate import Aggregate, Outputs, column


@dataclasses.dataclass(frozen=True)
class CalibrationError(Aggregate):
    """The mean over examples of |mean accuracy - mean confidence| of their bin (arXiv:1706.04599, eq. 3).

    Examples go into bins of equal width by the output `confidence`: (0, 1/bins], (1/bins, 2/bins], ...; `accuracy` is 0
    or 1. The state is each bin's count, sum of confidences and sum of accuracies, float64 [bins, 3].

    Attributes:
      bins: their number.
    """

    name: str = "calibration_error"
    bins: int = 15

    def gatherer(self) -> Aggregate:
        return CalibrationError(bins=self.bins)

    def empty(self) -> np.ndarray:
        return np.zeros((self.bins, 3))

    def add(self, state: np.ndarray, outputs: Outputs) -> np.ndarray:
        confidence, accuracy = column(outputs, "confidence"), column(outputs, "accuracy")
        places = np.clip(np.ceil(confidence * self.bins).astype(int) - 1, 0, self.bins - 1)
        np.add.at(state, places, np.stack([np.ones_like(confidence), confidence, accuracy], 1))
        return state

    def merge(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return one + other

    def result(self, state: np.ndarray) -> float:
        count = state[:, 0].sum()
        return float(np.abs(state[:, 1] - state[:, 2]).sum() / count) if count else math.nan


AGGREGATE = CalibrationError


def reliability(confidence: np.ndarray, hit: np.ndarray) -> list[dict[str, float]]:
    """The bins of confidences [N] and hits [N]: "confidence" and "accuracy" (means) and "count", no empty ones."""
    gather = CalibrationError()
    bins = gather.add(gather.empty(), {"confidence": confidence, "accuracy": hit})
    return [
        {"confidence": sums[0] / count, "accuracy": sums[1] / count, "count": int(count)}
        for count, *sums in bins.tolist()
        if count
    ]
