"""Tries configurations of a recipe with the same training loop that trains the final model, only shorter."""

import dataclasses
import json
import math
import pathlib
import shutil
from typing import Any

import keras_tuner

from models import files
from models.contract.recipe import Config, ConfigError, Recipe
from models.training import loop
from tuning import space

_SHARE = 10  # a trial trains this many times fewer steps than the configuration asks for


class _Oracle(keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian optimisation whose first trial is the space's own starting point."""

    def populate_space(self, trial_id: str) -> dict:
        """Values of the next trial, and its status."""
        if not self.start_order:
            return {"status": keras_tuner.engine.trial.TrialStatus.RUNNING, "values": dict(self.get_space().values)}
        return super().populate_space(trial_id)


def drawn(trials: int, options: int) -> int:
    """How many of the trials are drawn before the others are chosen by what these have shown.

    A third of them, the configuration as it stands among those, so that most of any search is Bayesian; three for each
    searched option, keras-tuner's own number, where there are as many.
    """
    return max(2, min(3 * options, math.ceil(trials / 3)))


class ConfigTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Searches a configuration's space for what the recipe's judge likes best.

    The first trial is the configuration as it stands, so that the result is never worse than no tuning (as far as short
    trials tell). Trials are kept in `directory`: an interrupted search goes on with those that are missing.
    """

    def __init__(self, recipe: Recipe, config: Config, *, trials: int, directory: str):
        """
        Args:
          recipe, config: what is tuned and where the search starts.
          trials: number of configurations to try.
          directory: where the trials are kept.

        Raises:
          ConfigError: no option has a search range.
        """
        self.recipe, self.config = recipe, config
        searched, judge = space.space(config), recipe.judge
        oracle = _Oracle(
            objective=keras_tuner.Objective(judge.name, "max" if judge.better == "higher" else "min"),
            max_trials=trials,
            num_initial_points=drawn(trials, len(searched.space)),
            hyperparameters=searched,
            seed=config.seed,
            # Those that fail do so early; a search is given up when all have, see `on_search_end`.
            max_consecutive_failed_trials=trials + 1,
        )
        oracle.verbose = 0  # its tables round the values
        super().__init__(oracle, directory=directory, project_name=recipe.name, overwrite=False)

    def on_trial_end(self, trial) -> None:
        """Says what a trial came to, with its values as they were tried."""
        super().on_trial_end(trial)
        ended = self.oracle.get_trial(trial.trial_id)
        came_to = f"{self.recipe.judge.name} {ended.score:.5g}" if _is_done(ended) else _last_line(ended.message)
        print(f"  trial {int(trial.trial_id) + 1} of {self.oracle.max_trials}: {_said(ended)}: {came_to}", flush=True)

    def on_search_end(self) -> None:
        """Forgets the trials' files: the oracle still knows every result.

        Raises:
          ConfigError: no trial came through.
        """
        shutil.rmtree(self.directory, ignore_errors=True)
        if not self.completed():
            trials = list(self.oracle.trials.values())
            last = _last_line(trials[-1].message) if trials else "none was begun"
            raise ConfigError(f"none of {len(trials)} trials of {self.recipe.name} came through; the last: {last}")

    def completed(self) -> list:
        """The trials that came through, the best first."""
        return [trial for trial in self.oracle.get_best_trials(self.oracle.max_trials) if _is_done(trial)]

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints the best trials, as they were tried."""
        done, judge = len(self.completed()), self.recipe.judge
        print(f"{done} of {len(self.oracle.trials)} trials came through; {judge.name}, {judge.better} is better:")
        for trial in self.completed()[:num_trials]:
            print(f"  {trial.score:.5g}  {_said(trial)}")

    def search(self, *args, **kwargs) -> None:
        """Runs the trials that are missing; another process that searches in the same folder is waited for."""
        folder = pathlib.Path(self.directory)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with files.held(f"{folder}.lock", "  another run makes this very search; waiting for it"):
            super().search(*args, **kwargs)

    def run_trial(self, trial, train_files: list[str], validation_files: list[str]) -> dict[str, float]:
        """Trains one configuration briefly; returns what the recipe's judge says of it."""
        folder = pathlib.Path(self.get_trial_dir(trial.trial_id))
        try:
            loop.train(
                self.recipe, self.shortened(trial.hyperparameters.values), train_files, validation_files,
                work_dir=str(folder / "state"), log_dir=str(folder / "logs"),
            )  # fmt: skip
        except (ConfigError, loop.TrainingError) as error:
            # Values that do not go together, or a loss that ran away: this trial has failed, the search goes on.
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        except Exception as error:
            raise keras_tuner.errors.FatalError(f"trial {trial.trial_id}: {error}") from error
        history = json.loads((folder / "logs" / "history.json").read_text(encoding="utf-8"))
        score = self.recipe.judge.value(history)
        if not math.isfinite(score):
            raise keras_tuner.errors.FailedTrialError(f"{self.recipe.judge.name} is {score}")
        return {self.recipe.judge.name: score}

    def shortened(self, values: dict[str, Any]) -> Config:
        """The configuration of a trial: with its values, and fewer steps."""
        steps = max(1, self.config.steps // _SHARE)
        config = space.apply(self.config, values)
        return dataclasses.replace(config, steps=steps, steps_per_epoch=min(config.steps_per_epoch, steps))


def _is_done(trial) -> bool:
    return trial.status == keras_tuner.engine.trial.TrialStatus.COMPLETED


def _said(trial) -> str:
    """Its values."""
    return " ".join(f"{name}={value}" for name, value in trial.hyperparameters.values.items())


def _last_line(message: str | None) -> str:
    """What went wrong, of a traceback."""
    lines = [line for line in (message or "").splitlines() if line.strip()]
    return lines[-1].partition(": ")[2] or lines[-1] if lines else "no reason known"
