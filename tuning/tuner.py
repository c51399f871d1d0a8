"""Tries configurations of a recipe with the same training loop that trains the final model, only shorter."""

import dataclasses
import json
import math
import pathlib
import shutil

import keras_tuner
from keras_tuner.src.engine import base_tuner

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


class ConfigTuner(base_tuner.BaseTuner):
    """Searches a configuration's space for the lowest validation loss.

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
        oracle = _Oracle(
            objective=keras_tuner.Objective("val_loss", "min"),
            max_trials=trials,
            hyperparameters=space.space(config),
            seed=config.seed,
        )
        super().__init__(oracle, directory=directory, project_name=recipe.name, overwrite=False)

    def on_search_end(self) -> None:
        """Forgets the trials' files: the oracle still knows every result."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def run_trial(self, trial, train_files: list[str], validation_files: list[str]) -> dict[str, float]:
        """Trains one configuration briefly; returns its last validation loss."""
        steps = max(1, self.config.steps // _SHARE)
        config = space.apply(self.config, trial.hyperparameters.values)
        config = dataclasses.replace(config, steps=steps, steps_per_epoch=min(config.steps_per_epoch, steps))
        folder = pathlib.Path(self.get_trial_dir(trial.trial_id))
        try:
            (self.recipe.train or loop.train)(
                self.recipe, config, train_files, validation_files,
                work_dir=str(folder / "state"), log_dir=str(folder / "logs"),
            )  # fmt: skip
        except (ConfigError, loop.TrainingError) as error:
            # Values that do not go together, or a loss that ran away: this trial has failed, the search goes on.
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        except Exception as error:
            raise keras_tuner.errors.FatalError(f"trial {trial.trial_id}: {error}") from error
        history = json.loads((folder / "logs" / "history.json").read_text(encoding="utf-8"))
        losses = [entry["val_loss"] for entry in history if "val_loss" in entry]
        if not losses or not math.isfinite(losses[-1]):
            raise keras_tuner.errors.FailedTrialError(f"validation loss {losses[-1:] or 'missing'}")
        return {"val_loss": losses[-1]}
