"""Frechet distance between the features of pictures and of what a codec makes of them, here called FD."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from components.evaluation.aggregate import Aggregate, Outputs, output


class Moments(NamedTuple):
    """Of vectors [N, D], float64: their number, their sum [D] and the sum of their outer products [D, D]."""

    count: int
    total: np.ndarray | float
    products: np.ndarray | float


_NONE = Moments(0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class FrechetDistance(Aggregate):
    """Between the Gaussians of two sets of vectors, |m - n|^2 + trace(C + D - 2 (C D)^(1/2)) (arXiv:1706.08500, eq. 6).

    It is of this project's own network (`models.generative.perception.features`), so no FID: values compare only under
    one network, at equal numbers and sizes of pictures, since few vectors make every distance larger.

    Attributes:
      drawn, real: outputs [B, P, D] or [B, D], vectors of examples.
      least: how many vectors of each kind a dimension needs; fewer give a covariance that says nothing, and the set has
        no distance (NaN). Vectors of one picture are alike, so that many pictures tell more than many vectors.
    """

    name: str = "fd"
    drawn: str = "features"
    real: str = "features_of_original"
    least: float = 2.0
    may_be_undefined = True

    def gatherer(self) -> Aggregate:
        return FrechetDistance(drawn=self.drawn, real=self.real)

    def empty(self) -> tuple[Moments, Moments]:
        return _NONE, _NONE

    def add(self, state: tuple[Moments, Moments], outputs: Outputs) -> tuple[Moments, Moments]:
        return self.merge(state, tuple(moments(output(outputs, name)) for name in (self.drawn, self.real)))

    def merge(self, one: tuple[Moments, Moments], other: tuple[Moments, Moments]) -> tuple[Moments, Moments]:
        return tuple(Moments(*(a + b for a, b in zip(*pair, strict=True))) for pair in zip(one, other, strict=True))

    def result(self, state: tuple[Moments, Moments]) -> float:
        """The distance, NaN of too few vectors (see `least`)."""
        if any(not side.count or side.count < self.least * len(side.total) or side.count < 2 for side in state):
            return math.nan
        return distance(*(gaussian(side) for side in state))


AGGREGATE = FrechetDistance


def moments(vectors: np.ndarray) -> Moments:
    """Of vectors [..., D]."""
    rows = np.asarray(vectors, np.float64).reshape(-1, np.shape(vectors)[-1])
    return Moments(len(rows), rows.sum(0), rows.T @ rows)


def gaussian(found: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and unbiased covariance [D, D] of two vectors or more."""
    mean = found.total / found.count
    return mean, (found.products - found.count * np.outer(mean, mean)) / (found.count - 1)


def distance(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """The squared Frechet distance of two Gaussians, each a mean [D] and a covariance [D, D]; never below zero.

    trace (C D)^(1/2) is the sum of the singular values of C^(1/2) D^(1/2): nothing is complex or inverted, as with a
    general matrix root of singular covariances, and no small eigenvalue loses its digits to a root.
    """
    (mean, covariance), (mean2, covariance2) = one, other
    common = np.linalg.svd(_root(covariance) @ _root(covariance2), compute_uv=False).sum()
    found = np.square(mean - mean2).sum() + np.trace(covariance) + np.trace(covariance2) - 2 * common
    return max(0.0, float(found))


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric root [D, D]; eigenvalues that rounding brought below zero are zero."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def between(drawn: np.ndarray, real: np.ndarray, least: float = 2.0) -> float:
    """The distance of vectors [..., D] that are in hand; NaN of too few."""
    made = FrechetDistance(least=least)
    return made.result((moments(drawn), moments(real)))
