"""Intersection over union of pixels' classes: of one class, or the mean over classes."""

import dataclasses

import numpy as np

from components.evaluation.aggregate import Aggregate, Outputs, output


@dataclasses.dataclass(frozen=True)
class IntersectionOverUnion(Aggregate):
    """Of the outputs `confusion`, pixels [B, K + 1, K] by what they are (the last row: no class that the model knows)
    and what they are taken for; those of a set are added up first, as VOC does.

    Attributes:
      place: of the class; -1: the mean over the classes that are there or were taken to be.
    """

    name: str = "iou"
    place: int = -1
    may_be_undefined = True

    def gatherer(self) -> Aggregate:
        return IntersectionOverUnion()

    def empty(self) -> np.ndarray:
        return np.zeros((0, 0))

    def add(self, state: np.ndarray, outputs: Outputs) -> np.ndarray:
        return self.merge(state, output(outputs, "confusion").astype(np.float64).sum(axis=0))

    def merge(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        if not one.size or not other.size:
            return one if one.size else other
        return one + other

    def result(self, state: np.ndarray) -> float:
        """The ratio, NaN where there is no such class, or no pixel."""
        found = by_class(state)
        if self.place >= 0:
            return float(found[self.place]) if self.place < len(found) else float("nan")
        known = found[~np.isnan(found)]
        return float(known.mean()) if len(known) else float("nan")


def by_class(confusion: np.ndarray) -> np.ndarray:
    """Ratios [K] of confusions [K + 1, K], or [K, K]; NaN of a class that nothing is and nothing was taken for."""
    if not confusion.size:
        return np.zeros(0)
    right = np.diagonal(confusion)
    union = confusion.sum(axis=1)[: len(right)] + confusion.sum(axis=0) - right
    with np.errstate(invalid="ignore"):
        return right / union


AGGREGATE = IntersectionOverUnion
