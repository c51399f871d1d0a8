"""Tries configurations of a recipe with the same training loop that trains the final model, only shorter."""

import dataclasses
import json
import math
import pathlib
import shutil
import time
from typing import Any

import keras
import keras_tuner

from models import files
from models.contract.recipe import Config, ConfigError, Recipe
from models.files import write_text
from models.training import loop
from tuning import cluster, logs, measure, oracles, space, supervisor
from tuning.plan import MEASURED, Plan

ONE_OF_SEVERAL = 0  # workers of a tuner that is itself a process of a search with several


class ConfigTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Searches a configuration's space for what the recipe's judge, or the plan's objective, likes best.

    The first trial is the configuration as it stands, so that the result is never worse than no tuning (as far as short
    trials tell). Trials are kept in `directory`: an interrupted search goes on with those that are missing.
    """

    def __init__(self, recipe: Recipe, config: Config, plan: Plan, *, directory: str, logs: str = "", workers: int = 1):
        """
        Args:
          recipe, config: what is tuned and where the search starts.
          plan: how.
          directory: where the trials are kept until the search has ended.
          logs: where the trials' events for TensorBoard stay ("": they do not).
          workers: processes that train at once; above 1 the recipe must be one of the registry.

        Raises:
          ConfigError: no option has a search range, or the objective or a bound is no number of the recipe.
        """
        self.recipe, self.config, self.plan, self.logs, self.workers = recipe, config, plan, logs, workers
        self.judge = measure.judge_of(recipe, plan.objective)
        bounded = [measure.judge_of(recipe, name).name for name in plan.bounded]
        self.measured = tuple(dict.fromkeys([self.judge.name, *bounded]))
        oracle = oracles.make(plan, space.space(config), self.judge, config.seed)
        super().__init__(oracle, directory=directory, project_name=recipe.name, overwrite=False)

    def search(self, train_files: list[str], validation_files: list[str]) -> None:
        """Tries what is missing of the trials, in this process or by workers of their own.

        Another process that searches in the same folder is waited for.
        """
        given = {"train_files": train_files, "validation_files": validation_files}
        if self.workers == ONE_OF_SEVERAL:
            super().search(**given)
            return
        folder = pathlib.Path(self.directory)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with files.held(f"{folder}.lock", "  another run makes this very search; waiting for it"):
            super().search(**given) if self.workers == 1 else self._by_workers(given)

    def _by_workers(self, files: dict[str, list[str]]) -> None:
        if self.logs:
            logs.describe(pathlib.Path(self.logs), self.names, self.measured)
        given = {"recipe": self.recipe.name, "config": dataclasses.asdict(self.config), "files": files}
        given |= {"plan": vars(self.plan), "directory": self.directory, "logs": self.logs}
        cluster.run(given) if cluster.is_led() else supervisor.run(given, self.workers)
        self.oracle.reload()
        for trial in self.oracle.trials.values():
            if _is_done(trial):  # what went over the wire has seven digits
                trial.metrics = type(trial.metrics)()
                for name, value in json.loads(self._score_file(trial).read_text(encoding="ascii")).items():
                    trial.metrics.update(name, value)
        self.oracle.keep_to_bounds()
        self.on_search_end()

    def pre_create_trial(self) -> None:
        """Waits a little where an algorithm may have nothing to try until other trials have ended."""
        if self.workers == ONE_OF_SEVERAL and self.plan.algorithm == "hyperband":
            time.sleep(0.2)

    def on_search_begin(self) -> None:
        """Says to TensorBoard what is compared."""
        if self.logs and self.workers == 1:
            logs.describe(pathlib.Path(self.logs), self.names, self.measured)

    @property
    def names(self) -> list[str]:
        """The options that are searched."""
        return [one.name for one in space.space(self.config).space]

    def on_trial_end(self, trial) -> None:
        """Says what a trial came to, with its values as they were tried."""
        super().on_trial_end(trial)
        ended = self.oracle.get_trial(trial.trial_id)
        came_to = self._came_to(ended) if _is_done(ended) else _last_line(ended.message or trial.message)
        print(f"  trial {int(trial.trial_id) + 1} of {self.oracle.max_trials}: {_said(ended)}: {came_to}", flush=True)

    def _came_to(self, trial) -> str:
        """What was measured of a trial that came through."""
        found = {name: trial.metrics.get_last_value(name) for name in self.measured}
        outside = ", outside the bounds" if self.plan.missed(found) else ""
        return ", ".join(f"{name} {value:.5g}" for name, value in found.items()) + outside

    def on_search_end(self) -> None:
        """Forgets the trials' files: the oracle still knows every result, and logs are kept apart.

        Raises:
          ConfigError: no trial came through.
        """
        if self.workers == ONE_OF_SEVERAL:
            return  # a worker's: others may still train
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.plan.objective or self.plan.bounded:
            for trial in self.completed():
                found = {MEASURED + name: trial.metrics.get_last_value(name) for name in self.measured}
                trial.hyperparameters.values |= found
        if not self.completed():
            trials = list(self.oracle.trials.values())
            last = _last_line(trials[-1].message) if trials else "none was begun"
            raise ConfigError(f"none of {len(trials)} trials of {self.recipe.name} came through; the last: {last}")

    def completed(self) -> list:
        """The trials that came through, the best first."""
        return [trial for trial in self.oracle.get_best_trials(self.oracle.max_trials) if _is_done(trial)]

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints the best trials, as they were tried."""
        done, judge = len(self.completed()), self.judge
        print(f"{done} of {len(self.oracle.trials)} trials came through; {judge.name}, {judge.better} is better:")
        for trial in self.completed()[:num_trials]:
            print(f"  {trial.metrics.get_last_value(judge.name):.5g}  {_said(trial)}")

    def run_trial(self, trial, train_files: list[str], validation_files: list[str]) -> dict[str, float]:
        """Trains one configuration briefly; returns what it is compared by, and what has bounds."""
        folder = pathlib.Path(self.get_trial_dir(trial.trial_id))
        config = self.shortened(trial.hyperparameters.values)
        try:
            found, steps = self._found(config, folder, train_files, validation_files)
        except (ConfigError, loop.TrainingError) as error:
            # Values that do not go together, or a loss that ran away: this trial has failed, the search goes on.
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        except Exception as error:
            raise keras_tuner.errors.FatalError(f"trial {trial.trial_id}: {error}") from error
        for name, value in found.items():
            if not math.isfinite(value):
                raise keras_tuner.errors.FailedTrialError(f"{name} is {value}")
        write_text(self._score_file(trial), json.dumps(found))
        if self.logs:
            values = {name: getattr(config, name) for name in self.names}
            name = f"trial-{int(trial.trial_id) + 1}"
            logs.keep(folder / "logs", pathlib.Path(self.logs), name, values, found, steps)
        return found

    def _found(self, config: Config, folder: pathlib.Path, train: list[str], validation: list[str]) -> tuple:
        """Trains a trial in its folder; gives what is asked for of it, by name, and how many steps it trained."""
        state = folder / "state"
        state.mkdir(parents=True, exist_ok=True)
        times = measure.StepTimes(state / "steps.json")
        timed = [times] if measure.SECONDS_PER_STEP in self.measured else []
        model = loop.train(
            self.recipe, config, train, validation, work_dir=str(state), log_dir=str(folder / "logs"),
            callbacks=[*self._callbacks(), *timed], progress=self.workers == 1,
        )  # fmt: skip
        history = json.loads((folder / "logs" / "history.json").read_text(encoding="utf-8"))
        found = measure.of_model(self.recipe, config, model, self.measured, validation, folder / "served")
        found |= {measure.SECONDS_PER_STEP: times.median} if timed else {}
        for name in self.measured:
            found[name] = found[name] if name in found else measure.of_history(self.recipe.judge, history, name)
        return {name: found[name] for name in self.measured}, history[-1]["step"]

    def _score_file(self, trial) -> pathlib.Path:
        return pathlib.Path(self.get_trial_dir(trial.trial_id)) / "score.json"

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        """What gives up a trial that comes no further."""
        if not self.plan.patience:
            return []
        judge = self.recipe.judge
        mode = "max" if judge.better == "higher" else "min"
        return [keras.callbacks.EarlyStopping(judge.name, patience=self.plan.patience, mode=mode)]

    def shortened(self, values: dict[str, Any]) -> Config:
        """The configuration of a trial: with its values, and fewer steps."""
        steps = oracles.steps_of(values, self.plan.steps_of(self.config.steps))
        config = space.apply(self.config, {name: value for name, value in values.items() if "/" not in name})
        return dataclasses.replace(config, steps=steps, steps_per_epoch=min(config.steps_per_epoch, steps))


def _is_done(trial) -> bool:
    return trial.status == keras_tuner.engine.trial.TrialStatus.COMPLETED


def _said(trial) -> str:
    """Its values."""
    return " ".join(f"{name}={value}" for name, value in trial.hyperparameters.values.items() if "/" not in name)


def _last_line(message: str | None) -> str:
    """What went wrong, of a traceback."""
    lines = [line for line in (message or "").splitlines() if line.strip()]
    return lines[-1].partition(": ")[2] or lines[-1] if lines else "no reason known"
