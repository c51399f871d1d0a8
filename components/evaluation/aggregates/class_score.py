"""F1, precision or recall of one class."""

import dataclasses

from components.evaluation import class_scores
from components.evaluation.confusion_counts import ConfusionCounts, Counts, matrix


@dataclasses.dataclass(frozen=True)
class ClassScore(ConfusionCounts):
    """A score of `components.evaluation.class_scores` of one class.

    Attributes:
      score: "f1", "precision" or "recall".
      place: of the class in the outputs `label` and `predicted`.

    Raises:
      ValueError: no such score, or an impossible place.
    """

    score: str = "f1"
    place: int = 0
    may_be_undefined = True

    def __post_init__(self):
        if self.score not in class_scores.KINDS or self.place < 0:
            wanted = ", ".join(class_scores.KINDS)
            raise ValueError(f"{self.name}: no score '{self.score}' of class {self.place}; there are {wanted}")

    def result(self, state: Counts) -> float:
        """The score, NaN where it is undefined."""
        return float(class_scores.class_scores(matrix(state, self.place + 1))[self.score][self.place])


AGGREGATE = ClassScore
