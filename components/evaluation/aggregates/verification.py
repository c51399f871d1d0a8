"""A figure of how well embeddings tell persons apart."""

import dataclasses
import math
from typing import Any

import numpy as np

from components.evaluation import verification
from components.evaluation.aggregate import Aggregate, Outputs, column, output
from models.faces.verification import RATES

_FIGURES = ("eer", "accuracy", "tar", "rank1")
_HARM, _FAR = "harm", RATES["1e-2"]  # a figure of both scores together
_SCORES = ("cosine", "aligned")
_ENDS = ("", "low", "high")


@dataclasses.dataclass(frozen=True)
class Verification(Aggregate):
    """A figure of `components.evaluation.verification`, of the outputs `embedding`, `label`, `number` and `pairs`.

    The state is the outputs themselves, part by part; which part came first makes no difference. TAR at a FAR is
    undefined where there are too few impostor pairs for it.

    Attributes:
      figure: "eer", "accuracy" (of the listed pairs, by folds), "tar" or "rank1". far: of "tar". Or "harm": how much
        worse the aligned score of an aligned network is than the cosine, by the larger of the equal error rate's
        growth and the loss of TAR at FAR 1e-2, where that is told.
      end: "" is the figure itself, "low" and "high" the ends of its interval.
      score: what pairs are told apart by, "cosine" or "aligned".

    Raises:
      ValueError: no such figure, FAR or end.
    """

    name: str = "verification"
    figure: str = "eer"
    far: float = 0.0
    end: str = ""
    score: str = "cosine"
    may_be_undefined = True

    def __post_init__(self):
        if (
            self.figure not in (*_FIGURES, *([_HARM] if not self.end else []))
            or self.end not in _ENDS
            or self.score not in _SCORES
            or (self.figure == "tar") != (self.far in RATES.values())
        ):
            raise ValueError(
                f"{self.name}: no figure '{self.figure}' at far={self.far:g} with the end '{self.end}' of the score "
                f"'{self.score}'; there are {', '.join(_FIGURES)}, tar at {', '.join(RATES)}, the ends low and high, "
                f"{_HARM}, and the scores {', '.join(_SCORES)}"
            )

    def gatherer(self) -> Aggregate:
        return Verification()

    def empty(self) -> list:
        return []

    def add(self, state: list, outputs: Outputs) -> list:
        labels, numbers = (np.rint(column(outputs, name)).astype(np.int64) for name in ("label", "number"))
        embeddings, pairs = output(outputs, "embedding"), list(np.asarray(output(outputs, "pairs"), np.int64))
        more = [np.asarray(outputs[name], np.float32) for name in ("support", "alignment") if name in outputs]
        state.append((np.asarray(embeddings, np.float32), labels, numbers, *more, pairs))
        return state

    def merge(self, one: list, other: list) -> list:
        return one + other

    def result(self, state: list) -> float:
        """The number, NaN where the set has none."""
        if not sum(len(part[1]) for part in state):
            return math.nan
        *columns, pairs = zip(*state, strict=True)
        columns = [np.concatenate(column) for column in columns]
        faces = verification.faces_of(*columns[:3], [p for part in pairs for p in part], *columns[3:])
        if self.figure == _HARM:
            raw, new = (_figures(faces, score) for score in _SCORES)
            costs = [new["eer"].value - raw["eer"].value, raw["tar"][_FAR].value - new["tar"][_FAR].value]
            return max((cost for cost in costs if not math.isnan(cost)), default=math.nan)
        found = _figures(faces, self.score)[self.figure]
        found = found[self.far] if self.figure == "tar" else found
        return getattr(found, self.end or "value")


def _figures(faces: verification.Faces, score: str) -> dict[str, Any]:
    """Raises KeyError: the network is not an aligned one."""
    if score == "aligned" and faces.align is None:
        raise KeyError("serving_default gives no 'support' and 'alignment': its network is not aligned")
    faces = faces if score == "aligned" else faces._replace(align=None)
    return verification.figures_of(verification.Content(faces, RATES.values()))


AGGREGATE = Verification
