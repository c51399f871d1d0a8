"""The algorithms of a search: keras-tuner's own, whose first trial is the configuration as it stands."""

import math
from collections.abc import Mapping
from typing import Any

import keras_tuner

from models.contract.training import Judge
from tuning.plan import Plan

EPOCHS = "tuner/epochs"  # keras-tuner's name for how long Hyperband has a trial train,
WHOLE = 9  # in parts of the longest: a ninth, a third, all of its steps
_RUNNING, _COMPLETED = keras_tuner.engine.trial.TrialStatus.RUNNING, keras_tuner.engine.trial.TrialStatus.COMPLETED


class _Resumed:
    """keras-tuner notes a trial's end while it still counts as under way; who goes on there would train it again."""

    def set_state(self, state: dict) -> None:
        """Takes up the state of a search that was interrupted."""
        super().set_state(state)
        self.ongoing_trials = {name: t for name, t in self.ongoing_trials.items() if t.trial_id not in self.end_order}

    def reload(self) -> None:
        """Takes up all of a search that was interrupted."""
        super().reload()
        self.keep_to_bounds()


class _Bounded:
    """A trial outside the bounds is worse than all that keep to them, and the further the worse.

    That is the rule of Deb, "An efficient constraint handling method for genetic algorithms" (2000): an algorithm that
    looks for good scores finds the way into the bounds by it, and no weight has to be chosen.
    """

    plan: Plan

    def score_trial(self, trial) -> None:
        """Scores a trial that has come through, and anew those outside the bounds."""
        super().score_trial(trial)
        self.keep_to_bounds()

    def keep_to_bounds(self) -> None:
        """Scores all trials by what was measured of them."""
        done = [t for t in self.trials.values() if t.status == _COMPLETED and t.metrics.exists(self.objective.name)]
        sign = 1.0 if self.objective.direction == "min" else -1.0
        costs = [sign * t.metrics.get_last_value(self.objective.name) for t in done]
        missed = [self.plan.missed({n: t.metrics.get_last_value(n) for n in self.plan.bounded}) for t in done]
        kept = [cost for cost, gap in zip(costs, missed, strict=True) if not gap]
        worst, spread = (max(kept), max(kept) - min(kept) or abs(max(kept)) or 1.0) if kept else (0.0, 1.0)
        for trial, cost, gap in zip(done, costs, missed, strict=True):
            trial.score = sign * (worst + spread * gap / (1.0 + gap) if gap else cost)


class _Bayesian(_Resumed, _Bounded, keras_tuner.oracles.BayesianOptimizationOracle):
    def populate_space(self, trial_id: str) -> dict:
        """Values of the next trial, and its status."""
        return super().populate_space(trial_id) if self.start_order else _start(self)


class _Random(_Resumed, _Bounded, keras_tuner.oracles.RandomSearchOracle):
    def populate_space(self, trial_id: str) -> dict:
        """Values of the next trial, and its status."""
        return super().populate_space(trial_id) if self.start_order else _start(self)


class _Hyperband(_Resumed, _Bounded, keras_tuner.oracles.HyperbandOracle):
    def populate_space(self, trial_id: str) -> dict:
        """Values of the next trial, and its status; the first is drawn too, since it has a place in a round."""
        found = super().populate_space(trial_id)
        return found if self.start_order else found | {"values": found["values"] | self.get_space().values}


def _start(oracle: keras_tuner.Oracle) -> dict:
    return {"status": _RUNNING, "values": dict(oracle.get_space().values)}


def make(plan: Plan, space: keras_tuner.HyperParameters, judge: Judge, seed: int) -> keras_tuner.Oracle:
    """The oracle of a search of a space by what a judge says."""
    common = {
        "objective": keras_tuner.Objective(judge.name, "max" if judge.better == "higher" else "min"),
        "hyperparameters": space,
        "seed": seed,
        # Those that fail do so early; a search is given up when all have, see `ConfigTuner.on_search_end`.
        "max_consecutive_failed_trials": plan.trials + 1,
    }
    if plan.algorithm == "hyperband":
        # As many rounds as the trials suffice for, and no more trials than were asked for.
        oracle = _Hyperband(max_epochs=WHOLE, hyperband_iterations=plan.trials, **common)
        oracle.max_trials = plan.trials
    elif plan.algorithm == "random":
        oracle = _Random(max_trials=plan.trials, **common)
    else:
        points = drawn(plan.trials, len(space.space))
        oracle = _Bayesian(max_trials=plan.trials, num_initial_points=points, **common)
    oracle.plan = plan
    oracle.verbose = 0  # its tables round the values
    return oracle


def steps_of(values: Mapping[str, Any], steps: int) -> int:
    """Steps of a trial with these values, of which Hyperband's say how long it trains; `steps` are the longest's."""
    return max(1, steps * values.get(EPOCHS, WHOLE) // WHOLE)


def drawn(trials: int, options: int) -> int:
    """How many of the trials are drawn before the others are chosen by what these have shown.

    A third of them, the configuration as it stands among those, so that most of any search is Bayesian; three for each
    searched option, keras-tuner's own number, where there are as many.
    """
    return max(2, min(3 * options, math.ceil(trials / 3)))
