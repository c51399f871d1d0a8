"""The score of the Computing in Cardiology Challenge 2017."""

import dataclasses

from components.evaluation import class_scores
from components.evaluation.confusion_counts import ConfusionCounts, Counts, matrix
from models.records.ecg_units import CLASSES


@dataclasses.dataclass(frozen=True)
class ChallengeF1(ConfusionCounts):
    """The mean F1 of `class_scores.challenge_f1`; places are those of CLASSES, classes of other names follow there."""

    name: str = "challenge_f1"

    def result(self, state: Counts) -> float:
        """The score, NaN without an example."""
        confusion = matrix(state, len(CLASSES))
        return class_scores.challenge_f1(confusion, [*CLASSES, *map(str, range(len(CLASSES), len(confusion)))])


AGGREGATE = ChallengeF1
