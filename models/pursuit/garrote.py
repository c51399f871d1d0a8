"""The non-negative garrote: which parts of a sum are kept, and with what weights (Breiman 1995; arXiv:1705.11041).

Parts are what features, each with its first coefficient, or members of an ensemble contribute to a prediction. Their
weights have no negative values and are found by matching pursuit over the cone of the parts, the most useful first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.pursuit.atoms import Dictionary
from models.pursuit.objectives import Smooth, least_squares
from models.pursuit.problems import OnGram, OnSignals
from models.pursuit.pursuit import Result, pursue


class Selection(NamedTuple):
    """Weights of the parts [p], those of the free parts [q], of any sign, and how the pursuit went."""

    weights: np.ndarray
    free: np.ndarray
    result: Result


def select(
    parts,
    objective: Smooth | np.ndarray,
    *,
    free=None,
    algorithm: str = "fcmp",
    most: int = 0,
    steps: int = 1000,
    tolerance: float = 1e-7,
) -> Selection:
    """Chooses and weighs parts.

    Args:
      parts: [p, n], what each contributes to n predictions; one without any gets no weight.
      objective: of predictions [1, n]; or n numbers, which are to be met by least squares.
      free: [q, n], parts whose weights may be negative, an intercept say.
      algorithm, steps, tolerance: of `pursue`. most: parts in use at most, free ones included (0: no bound).
    """
    parts = np.asarray(parts, "float64")
    free = np.zeros((0, parts.shape[1])) if free is None else np.asarray(free, "float64")
    atoms = np.concatenate([parts, free, -free])
    norms = np.linalg.norm(atoms, axis=1)
    norms = np.where(norms > 0, norms, 1.0)
    unit = tf.constant(atoms / norms[:, None])

    @tf.function(autograph=False)
    def solve():
        if isinstance(objective, Smooth):
            problem = OnSignals(Dictionary(unit), objective, tf.zeros((1, parts.shape[1]), tf.float64))
        else:
            target = tf.constant(np.asarray(objective, "float64")[None])
            # With more predictions than parts, inner products are less to carry.
            few = len(atoms) <= parts.shape[1]
            problem = OnGram.of(unit, target) if few else OnSignals(Dictionary(unit), least_squares(target), target)
        return pursue(problem, algorithm, steps=steps, tolerance=tolerance, most=most, rounds=3)

    result = solve()
    found = result.weights.numpy()[0] / norms
    kept, plus, minus = np.split(found, [len(parts), len(parts) + len(free)])
    return Selection(kept, plus - minus, result)


def of_members(probabilities: Sequence[np.ndarray], labels: np.ndarray, most: int = 0) -> np.ndarray:
    """Weights of an ensemble's members, [M], none negative, with sum 1; a member that does not help has none.

    Least squares of the weighed probabilities against the labels (Brier's score).

    Args:
      probabilities: of each member, [N, K]. labels: [N, K], each row a distribution. most: members at most (0: all).
    """
    parts = np.stack([np.asarray(p, "float64").ravel() for p in probabilities])
    found = select(parts, np.asarray(labels, "float64").ravel(), most=most).weights
    return found / found.sum() if found.sum() > 0 else np.full(len(parts), 1 / len(parts))
