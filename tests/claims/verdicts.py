"""Whether experiments bear out what is claimed: paired differences over runs and examples, and one rule for a page.

What two methods gave is paired by run (the same seed, the same teacher) and by test example. The standard error is that
of a bootstrap that draws runs anew, and examples anew for all of them, since all were asked the same ones. Few runs say
little of their own spread: the bootstrap's variance is scaled from n to n - 1 of the outermost level, and intervals are
Student's with Welch's and Satterthwaite's degrees of freedom (doi:10.2307/3002019; doi:10.1080/00031305.2015.1089789).
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.05  # of a page: that pure noise makes one of its claims hold, or one fail; half of it each
RESAMPLES = 2000
_AT_ONCE = 250
HOLDS, DOES_NOT, NOT_SHOWN = "holds", "does not hold", "not shown"


@dataclasses.dataclass(frozen=True, eq=False)
class Difference:
    """What a method gave less what another did, in the direction that is claimed.

    Attributes:
      values: [runs], or with `of_examples` [runs, examples]; a level above runs (teachers, say) is an axis before.
      least: the margin: what is claimed is a mean of more than this; below zero, that it is not worse by as much.
      of_examples: whether the last axis are test examples, that all runs share.
    """

    values: np.ndarray
    least: float = 0.0
    of_examples: bool = False

    @functools.cached_property
    def _levels(self) -> np.ndarray:
        """[..., runs, examples] float64; an axis of one where examples are not told apart."""
        values = np.asarray(self.values, np.float64)
        values = values if self.of_examples else values[..., None]
        if values.ndim < 2 or not values.size or not np.isfinite(values).all():
            raise ValueError(f"differences of shape {np.shape(self.values)}: wanted are finite numbers, a run or more")
        return values

    @property
    def runs(self) -> int:
        """How many there are, over all levels."""
        return int(np.prod(self._levels.shape[:-1]))

    @property
    def mean(self) -> float:
        return float(self._levels.mean())

    @functools.cached_property
    def error(self) -> float | None:
        """Standard error of the mean; None of a single run, which does not tell how runs differ."""
        values = self._levels
        if (outermost := len(values)) < 2:
            return None
        draw, parts = np.random.default_rng(1), range(0, RESAMPLES, _AT_ONCE)
        means = np.concatenate([_drawn(values, draw, min(_AT_ONCE, RESAMPLES - first)) for first in parts])
        return float(np.std(means) * (outermost / (outermost - 1)) ** 0.5)

    @functools.cached_property
    def freedom(self) -> float:
        """Degrees of freedom of `error`: those of the outermost level and of the examples, by their variances."""
        values = self._levels
        of_run, of_example = values.mean(tuple(range(1, values.ndim))), values.mean(tuple(range(values.ndim - 1)))
        parts = [(np.var(m, ddof=1) / len(m), len(m) - 1) for m in (of_run, of_example) if len(m) > 1]
        below = sum(variance**2 / count for variance, count in parts)
        return float(sum(variance for variance, _ in parts) ** 2 / below) if below else float(parts[0][1])

    def interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """Bounds between which the true mean lies in all but `level` of experiments like this; None of a single run."""
        if self.error is None:
            return None
        reach = self.error * stats.t.isf(level / 2, self.freedom)
        return self.mean - reach, self.mean + reach

    def chances(self) -> tuple[float, float]:
        """(p that it holds by chance, p that it fails by chance), each of one side; 1.0 both of a single run."""
        if self.error is None:
            return 1.0, 1.0
        if self.error == 0.0:
            return float(self.mean <= self.least), float(self.mean >= self.least)
        distance = (self.mean - self.least) / self.error
        return float(stats.t.sf(distance, self.freedom)), float(stats.t.cdf(distance, self.freedom))

    def visible(self, claims: int = 1, power: float = 0.8) -> float | None:
        """Distance from its margin at which `power` of such experiments show a true mean, among so many claims."""
        if self.error is None:
            return None
        reach = stats.t.isf(LEVEL / 2 / claims, self.freedom) + stats.t.isf(1 - power, self.freedom)
        return float(self.error * reach)


def _drawn(values: np.ndarray, draw: np.random.Generator, times: int) -> np.ndarray:
    """Means [times] of the runs drawn with replacement, level within level, and of examples drawn for all of them."""
    *levels, examples = values.shape
    often = np.ones((times, 1))  # each run, and below each example, was drawn
    for count in levels:
        below = draw.multinomial(count, np.full(count, 1 / count), size=often.shape)
        often = (often[..., None] * below).reshape(times, -1)
    of_examples = draw.multinomial(examples, np.full(examples, 1 / examples), size=times)
    return ((often @ values.reshape(-1, examples)) * of_examples).sum(1) / values.size


def verdicts(claims: Sequence[Difference]) -> list[str]:
    """Of each claim of a page whether it holds, does not, or neither is shown; in all, noise is let pass in `LEVEL`.

    A claim holds if the lower bound of its interval passes its margin, and does not if the upper bound fails it, at the
    levels of Holm's step-down over the page's claims.
    """
    chances = [claim.chances() for claim in claims]
    holds, fails = (_rejected([pair[side] for pair in chances], LEVEL / 2) for side in (0, 1))
    return [HOLDS if h else DOES_NOT if f else NOT_SHOWN for h, f in zip(holds, fails, strict=True)]


def _rejected(chances: Sequence[float], level: float) -> list[bool]:
    """Holm: the smallest against level / n, the next against level / (n - 1), until one is larger."""
    said, order = [False] * len(chances), sorted(range(len(chances)), key=chances.__getitem__)
    for left, place in zip(range(len(chances), 0, -1), order, strict=True):
        if chances[place] > level / left:
            break
        said[place] = True
    return said


def shown(claim: Difference, digits: int = 4) -> str:
    """The mean and its 95 % interval, as tables have them."""
    bounds = claim.interval()
    mean = f"{claim.mean:+.{digits}f}"
    return f"{mean} ({bounds[0]:+.{digits}f} to {bounds[1]:+.{digits}f})" if bounds else mean
