"""Counts of what examples are and what they are taken for, from which all scores of classes come."""

import collections
import dataclasses
from collections.abc import Mapping

import numpy as np

from components.evaluation.aggregate import Aggregate, Outputs, column

Counts = Mapping[tuple[int, int], int]


@dataclasses.dataclass(frozen=True)
class ConfusionCounts(Aggregate):
    """Counts of the outputs (`label`, `predicted`), places of classes; to be given a `result`.

    All scores of a model share one count.
    """

    name: str = "confusion_counts"

    def gatherer(self) -> Aggregate:
        return ConfusionCounts()

    def empty(self) -> collections.Counter:
        return collections.Counter()

    def add(self, state: collections.Counter, outputs: Outputs) -> collections.Counter:
        labels, predicted = (np.rint(column(outputs, key)).astype(int).tolist() for key in ("label", "predicted"))
        state.update(zip(labels, predicted, strict=True))
        return state

    def merge(self, one: collections.Counter, other: collections.Counter) -> collections.Counter:
        return one + other

    def result(self, state: Counts) -> float:
        """How many examples were counted."""
        return float(sum(state.values()))


def matrix(counts: Counts, classes: int = 0) -> np.ndarray:
    """Counts as int [K, K], rows are labels and columns answers; of `classes` classes, or more if there are more."""
    size = 1 + max([classes - 1, *(place for pair in counts for place in pair)])
    confusion = np.zeros((size, size), int)
    for pair, count in counts.items():
        confusion[pair] = count
    return confusion
