"""How a search is done: by which algorithm, how long its trials train, how many at once."""

import dataclasses
import os
from collections.abc import Mapping

from models.contract.recipe import ConfigError

ALGORITHMS = ("bayesian", "hyperband", "random")
WORKERS = "KOMPAKT_SWEEP_WORKERS"  # how many processes train at once: no part of what a search comes to
MEASURED = "measured/"  # before names of what a trial came to, among its values, if more than the judge is asked
SHARE = 10  # a trial trains this many times fewer steps than the configuration asks for, if it is not said


@dataclasses.dataclass(frozen=True)
class Plan:
    """A search's own options.

    Attributes:
      trials: configurations to try.
      algorithm: "bayesian"; "hyperband", which begins many trials with few steps and gives the best of them more;
        "random".
      steps: of a trial, the longest with Hyperband (0: a tenth of the configuration's).
      patience: epochs without a better value of the judge after which a trial is given up (0: none is).
      objective: what trials are compared by, a name of `tuning.measure.judge_of` ("": the recipe's judge).
      at_least, at_most: bounds by such names; trials outside come after all that keep to them.
    """

    trials: int
    algorithm: str = "bayesian"
    steps: int = 0
    patience: int = 0
    objective: str = ""
    at_least: Mapping[str, float] = dataclasses.field(default_factory=dict)
    at_most: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.algorithm not in ALGORITHMS:
            raise ConfigError(f"algorithm {self.algorithm}: no such one; there are {', '.join(ALGORITHMS)}")

    def steps_of(self, steps: int) -> int:
        """Steps of a trial of a configuration that trains for `steps`."""
        return self.steps or max(1, steps // SHARE)

    @property
    def bounded(self) -> tuple[str, ...]:
        """Names of what has bounds."""
        return tuple(dict.fromkeys((*self.at_least, *self.at_most)))

    def missed(self, measured: Mapping[str, float]) -> float:
        """By how much a trial lies outside the bounds, in parts of these, all together; 0 if it keeps to them."""
        below = [(low - measured[name], low) for name, low in self.at_least.items()]
        above = [(measured[name] - high, high) for name, high in self.at_most.items()]
        return sum(max(0.0, gap) / (abs(bound) or 1.0) for gap, bound in below + above)

    def said(self) -> dict:
        """The options but the trials that are not the usual ones."""
        defaults = Plan(self.trials)
        return {name: value for name, value in vars(self).items() if value != getattr(defaults, name)}


def workers() -> int:
    """How many processes train at once, as the environment says; one if it says nothing.

    Raises:
      ConfigError: it says something else than a number above 0.
    """
    said = os.environ.get(WORKERS, "1")
    if not said.isdecimal() or int(said) < 1:
        raise ConfigError(f"{WORKERS}={said}: wanted is a number above 0")
    return int(said)
