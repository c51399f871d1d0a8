"""How the models of electrocardiograms are trained: the best epoch is kept, and the CRNN is trained in three phases.

Phase 0 trains the CNN under a mean and a dense layer; phase 1 the LSTMs on top of it, the CNN as it is, its batch
normalisation included; phase 2 everything at a lower rate. Each begins with the best epoch of the one before.
"""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np

from models.contract.recipe import Config, ConfigError, Recipe
from models.publishing import pushed
from models.training.loop import train

JUDGE = "val_f1"  # of the epochs of a training, the one with the highest is kept


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best validation F1 in a file, and leaves the model with them at the end.

    An interrupted training goes on with the file of before. Without a validation the last epoch stays.

    Args:
      directory: of `best.npz`; exists when training begins.
    """

    def __init__(self, directory: str):
        super().__init__()
        self.path = pathlib.Path(directory) / "best.npz"

    def on_epoch_end(self, epoch, logs=None):
        score = float((logs or {}).get(JUDGE, -np.inf))
        if not score > self.best() or not np.isfinite(list(logs.values())).all():
            return
        weights = {f"{n:04}": values for n, values in enumerate(self.model.get_weights())}
        temporary = self.path.with_name("partial-best.npz")
        np.savez(temporary, score=score, **weights)
        os.replace(temporary, self.path)

    def best(self) -> float:
        """The best F1 so far; minus infinity before the first epoch."""
        if not self.path.exists():
            return -np.inf
        with np.load(self.path) as kept:
            return float(kept["score"])

    def on_train_end(self, logs=None):
        if self.path.exists():
            with np.load(self.path) as kept:
                self.model.set_weights([kept[name] for name in sorted(kept.files) if name != "score"])


def train_best(
    recipe: Recipe,
    config: Config,
    train_files: Sequence[str],
    validation_files: Sequence[str],
    *,
    work_dir: str,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **options,
) -> keras.Model:
    """`models.training.loop.train`, returning the model of the epoch with the best validation F1."""
    callbacks = [*callbacks, KeepBest(work_dir)]
    return train(recipe, config, train_files, validation_files, work_dir=work_dir, callbacks=callbacks, **options)


class OneHistory(keras.callbacks.Callback):
    """Writes one `history.json` over all phases: their entries, steps and seconds counted on, and each its "phase".

    Args:
      work_dir, log_dir: of the whole training.
      plan: phases so far and their steps, in order; the present one is the last.
    """

    def __init__(self, work_dir: str, log_dir: str, plan: Sequence[tuple[int, int]]):
        super().__init__()
        self.work_dir, self.shown = pathlib.Path(work_dir), pathlib.Path(log_dir) / "history.json"
        self.plan = list(plan)

    def on_epoch_end(self, epoch, logs=None):
        entries, before, seconds = [], 0, 0.0
        for phase, steps in self.plan:
            own = json.loads((folder(self.work_dir, phase) / "history.json").read_text(encoding="utf-8"))
            for entry in own:
                moved = {"step": entry["step"] + before, "seconds": round(entry["seconds"] + seconds, 2)}
                entries.append(entry | moved | {"phase": phase})
            before, seconds = before + steps, entries[-1]["seconds"]
        temporary = self.shown.with_suffix(".tmp")
        temporary.write_text(json.dumps(entries, indent=1), encoding="utf-8")
        os.replace(temporary, self.shown)

    def on_train_end(self, logs=None):  # also of a phase that had been trained before
        self.on_epoch_end(0)


def folder(directory: str | os.PathLike, phase: int) -> pathlib.Path:
    """Where a phase's state, or its logs, lie."""
    return pathlib.Path(directory) / f"phase-{phase}"


def plan_of(recipe: Recipe, config: Config) -> list[tuple[int, int]]:
    """The phases to go through and the steps of each, which add up to `config.steps`; the last is phase 2."""
    shares = (config.cnn_share, config.lstm_share)
    if config.init and pushed.describe(str(pushed.newest(config.init)))["recipe"] == recipe.name:
        shares = (0.0, 0.0)
    plan = [(phase, int(config.steps * share)) for phase, share in enumerate(shares)]  # the shares are less than 1
    plan.append((2, config.steps - sum(steps for _, steps in plan)))
    return [(phase, steps) for phase, steps in plan if steps]


def train_in_phases(
    pretraining: Callable[[Config], keras.Model],
    recipe: Recipe,
    config: Config,
    train_files: Sequence[str],
    validation_files: Sequence[str],
    *,
    work_dir: str,
    log_dir: str,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **options,
) -> keras.Model:
    """Trains a CRNN in three phases; as `models.training.loop.train`, which trains each of them, with the same
    callbacks.

    A killed training goes on in the phase, and at the epoch, where it was. A share of 0 leaves phase 0 or 1 out. A
    pushed model of the same recipe (`config.init`) is only put through phase 2; one of another gives its CNN.

    Args:
      pretraining: builds the model of phase 0, whose `cnn` is like that of the recipe's model.
    """
    try:
        plan = plan_of(recipe, config)
    except FileNotFoundError as error:
        raise ConfigError(f"init={config.init}: {error}") from error
    model = None
    for n, (phase, steps) in enumerate(plan):
        rate = config.learning_rate * (config.joint_rate if phase == 2 else 1.0)
        own = dataclasses.replace(config, steps=steps, learning_rate=rate, seed=config.seed + phase,
                                  init="" if n else config.init)  # fmt: skip
        build = pretraining if phase == 0 else functools.partial(_continued, recipe, phase, model)
        model = train_best(
            dataclasses.replace(recipe, build=build, name=f"{recipe.name}, phase 0" if phase == 0 else recipe.name),
            own, train_files, validation_files,
            work_dir=str(folder(work_dir, phase)), log_dir=str(folder(log_dir, phase)),
            callbacks=[*callbacks, OneHistory(work_dir, log_dir, plan[: n + 1])], **options,
        )  # fmt: skip
    return model


def _continued(recipe: Recipe, phase: int, before: keras.Model | None, config: Config) -> keras.Model:
    """The recipe's model with what the phase before has trained; in phase 1 its CNN stays as it is."""
    model = recipe.build(config)
    if isinstance(before, type(model)):
        model.set_weights(before.get_weights())
    elif before is not None:
        model.cnn.set_weights(before.cnn.get_weights())
    model.cnn.trainable = phase != 1
    return model
