"""The mean over examples of one output."""

import dataclasses
import math

from components.evaluation.aggregate import Aggregate, Outputs, column


@dataclasses.dataclass(frozen=True)
class Mean(Aggregate):
    """The mean of an output of one number an example; its state is the sum and the count.

    The mean of a set's PSNR is thus the mean of its pictures' PSNRs, not the PSNR of the mean error.

    Attributes:
      output: its name. [default: the metric's]
    """

    name: str
    output: str = ""

    def empty(self) -> tuple[float, int]:
        return 0.0, 0

    def add(self, state: tuple[float, int], outputs: Outputs) -> tuple[float, int]:
        values = column(outputs, self.output or self.name)
        return state[0] + float(values.sum()), state[1] + len(values)

    def merge(self, one: tuple[float, int], other: tuple[float, int]) -> tuple[float, int]:
        return one[0] + other[0], one[1] + other[1]

    def result(self, state: tuple[float, int]) -> float:
        return state[0] / state[1] if state[1] else math.nan


AGGREGATE = Mean
