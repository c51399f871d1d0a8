"""What happens beside the steps of a training: its state, history, epochs that are kept, TensorBoard, the bar.

None of them looks at numbers of a step before the epoch ends but in threads of their own (`async_safe`), so that Keras
need not wait for a GPU after every step.
"""

import json
import math
import pathlib
import re
import sys
import time

import keras
import numpy as np
from tqdm import tqdm

from models.contract.recipe import Config, Recipe
from models.contract.training import Judge, Phase
from models.files import replacing, write_text
from models.publishing import pushed


class Backup(keras.callbacks.Callback):
    """Keeps the newest state (weights and all optimizers) as `epoch-N.weights.h5`, renamed into place when complete.

    A loss that is no number ends the training, and no state of it is kept; `broken` then says so. One that does not
    write reads what another process of the same training wrote.
    """

    async_safe = True

    def __init__(self, directory: str, writes: bool = True):
        super().__init__()
        self.writes, self.directory = writes, pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.broken = False

    def saved(self) -> list[tuple[int, pathlib.Path]]:
        """(epochs done, file), oldest first."""
        files = self.directory.glob("epoch-*.weights.h5")
        return sorted((int(re.search(r"epoch-(\d+)", f.name)[1]), f) for f in files)

    def restore(self, model: keras.Model) -> int:
        """Loads the newest state; returns how many epochs it has behind it (0 without one)."""
        if not (saved := self.saved()):
            return 0
        epoch, path = saved[-1]
        model.load_weights(path)
        return epoch

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self.broken = self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if self.broken or not self.writes:
            return
        old = self.saved()
        with replacing(self.directory / f"epoch-{epoch + 1}.weights.h5") as part:
            self.model.save_weights(part)
        for _, path in old:
            path.unlink()


class LastStep(keras.callbacks.Callback):
    """Ends the training after so many steps, within an epoch if need be; the epoch is closed as any other."""

    def __init__(self, steps: int):
        super().__init__()
        self.left = steps

    def on_train_batch_begin(self, batch, logs=None):  # Keras looks whether to stop when the step is done
        self.left -= 1
        if self.left <= 0:
            self.model.stop_training = True


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the epoch that a judge likes best in a file, and leaves the model with them at the end.

    An interrupted training goes on with the file of before. Without a validation the last epoch stays.

    Args:
      directory: of `best.npz`; exists when training begins.
      judge: what is compared. writes: as of `Backup`.
      history: its entries so far, the ended epoch's too, for a judge that looks over several; without, each by itself.
    """

    def __init__(self, directory: str, judge: Judge, history: "History | None" = None, writes: bool = True):
        super().__init__()
        self.path, self.judge = pathlib.Path(directory) / "best.npz", judge
        self.history, self.writes = history, writes

    def on_epoch_end(self, epoch, logs=None):
        if not self.writes:
            return
        score = float((logs or {}).get(self.judge.name, self.judge.worst))
        if self.history and self.judge.name in (logs or {}):
            *before, this = self.history.entries
            score = self.judge.smoothed([*before, this | {self.judge.name: score}])
        if not self.judge.prefers(score, self.best()) or not np.isfinite(list(logs.values())).all():
            return
        weights = {f"{n:04}": values for n, values in enumerate(self.model.get_weights())}
        with replacing(self.path) as part:
            np.savez(part, score=score, **weights)

    def best(self) -> float:
        """The best value so far; the worst there is before the first epoch."""
        if not self.path.exists():
            return self.judge.worst
        with np.load(self.path) as kept:
            return float(kept["score"])

    def on_train_end(self, logs=None):
        if self.path.exists():
            with np.load(self.path) as kept:
                self.model.set_weights([kept[name] for name in sorted(kept.files) if name != "score"])


class History(keras.callbacks.Callback):
    """Writes `history.json`, one entry an epoch over all phases, going on with what an interrupted run had written.

    An entry is {"step": of the whole training, "seconds", metric: value, ...}, with "phase" where phases have names.

    Args:
      work_dir: keeps the copy from which a killed training goes on. log_dir: gets the other. writes: as of `Backup`.
    """

    def __init__(self, work_dir: str, log_dir: str, writes: bool = True):
        super().__init__()
        self.writes = writes
        self.kept = pathlib.Path(work_dir) / "history.json"
        self.shown = pathlib.Path(log_dir) / "history.json"
        self.entries = json.loads(self.kept.read_text()) if self.kept.exists() else []

    def enter(self, phase: Phase, config: Config, done: int, first: int) -> None:
        """Begins with a phase.

        Args:
          phase, config: the phase, and its own configuration. done: steps before it. first: its epochs done already.
        """
        self.phase = {"phase": phase.name} if phase.name else {}
        self.config, self.done = config, done
        if (reached := self.steps_after(first)) < done + config.steps:  # entries behind a finished phase are of others
            self.entries = [e for e in self.entries if e["step"] <= reached]
        self.before, self.start = (self.entries[-1]["seconds"] if self.entries else 0.0), time.monotonic()
        for path in (self.kept, self.shown):
            path.parent.mkdir(parents=True, exist_ok=True)
        if self.entries:
            self.write()

    def steps_after(self, epochs: int) -> int:
        """Training steps done after so many epochs of the phase."""
        return self.done + min(epochs * self.config.steps_per_epoch, self.config.steps)

    def on_epoch_end(self, epoch, logs=None):
        seconds = round(self.before + time.monotonic() - self.start, 2)
        numbers = {k: float(v) for k, v in (logs or {}).items()}
        self.entries.append({"step": self.steps_after(epoch + 1), "seconds": seconds, **numbers, **self.phase})
        self.write()

    def write(self):
        """Writes both copies, each complete or not at all."""
        if not self.writes:
            return
        for path in (self.kept, self.shown):
            write_text(path, json.dumps(self.entries, indent=1))


class Summaries(keras.callbacks.TensorBoard):
    """TensorBoard's scalars of each epoch."""

    async_safe = True

    def __init__(self, log_dir: str):
        super().__init__(log_dir, write_graph=False)


class Progress(keras.callbacks.Callback):
    """A progress bar over all steps with the last losses."""

    async_safe = True

    def __init__(self, steps: int, done: int):
        super().__init__()
        seconds = 1.0 if sys.stderr.isatty() else 30.0  # a log is not filled with bars
        self.bar = tqdm(total=steps, initial=done, desc="train", unit="step", mininterval=seconds, dynamic_ncols=True)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(1)
        if self.bar.n % 20 == 0:
            self.bar.set_postfix({k: f"{float(v):.3g}" for k, v in (logs or {}).items()}, refresh=False)

    def on_train_end(self, logs=None):
        self.bar.close()


class KeepRoute(keras.callbacks.Callback):
    """Keeps the model after every epoch as `<epochs done>/assets.extra/`, in the form in which teachers are loaded."""

    async_safe = True

    def __init__(self, recipe: Recipe, config: Config, directory: str):
        super().__init__()
        self.recipe, self.config, self.directory = recipe, config, pathlib.Path(directory)

    def on_epoch_end(self, epoch, logs=None):
        folder = self.directory / str(epoch + 1)
        if not folder.exists():  # else of an epoch that is trained again
            self.directory.mkdir(parents=True, exist_ok=True)
            with replacing(folder) as part:
                pushed.save(part, self.recipe, self.config, pushed.anew(self.recipe, self.config, self.model))
