"""What is minimised: smooth convex functions of a signal x [B, d], one for each problem of a batch.

An objective has `value` and `gradient`; `curvature` if it is quadratic, so that steps can be exact; and `smoothness`, a
Lipschitz constant of the gradient, or None where it is found by backtracking.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops


@dataclasses.dataclass(frozen=True)
class Smooth:
    """Any smooth convex objective.

    Attributes:
      value: x [B, d] -> f(x) [B]. gradient: x [B, d] -> [B, d].
      smoothness: L with |grad f(x) - grad f(y)| <= L |x - y|, a number or [B]; None: found by backtracking.
      curvature: d [B, d] -> d'Hd [B], of a quadratic; steps then are exact. None: steps follow the smoothness.
    """

    value: Callable
    gradient: Callable
    smoothness: Any = None
    curvature: Callable | None = None


def least_squares(signals) -> Smooth:
    """|x - y|^2 / 2 with y = signals [B, d]; its smoothness is 1 and its steps are exact."""
    return Smooth(
        value=lambda x: 0.5 * ops.sum(ops.square(x - signals), axis=-1),
        gradient=lambda x: x - signals,
        smoothness=1.0,
        curvature=lambda d: ops.sum(ops.square(d), axis=-1),
    )


def logistic(signs, smoothness: float | None = None) -> Smooth:
    """Mean over examples of log(1 + exp(-s x)), where x [B, d] are margins of d examples and s = signs [B, d], 1 or -1.

    With columns of features as atoms this is logistic regression with coefficients that have no negative values.

    Args:
      smoothness: 1 / (4 d) if nothing is said.
    """
    return Smooth(
        value=lambda x: ops.mean(ops.softplus(-signs * x), axis=-1),
        gradient=lambda x: -signs * ops.sigmoid(-signs * x) / signs.shape[-1],
        smoothness=smoothness or 0.25 / signs.shape[-1],
    )
