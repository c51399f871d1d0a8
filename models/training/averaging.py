"""The mean of the weights of the last epochs of a phase (stochastic weight averaging, arXiv:1803.05407)."""

import pathlib

import keras
import numpy as np

from models.contract.recipe import Config
from models.files import replacing


class AverageWeights(keras.callbacks.Callback):
    """Averages the weights after each epoch of the end of a phase, and leaves the model with the mean.

    Validation is of the mean as soon as there is one, and the epoch's entry then says of how many epochs, "averaged".
    Statistics of batch normalisation are averaged as weights are. An interrupted training goes on with the sum so far.

    Args:
      directory: of `average.npz`; exists when training begins.
      config: the phase's own; epochs that end behind `average_from` of its steps count.
      writes: as of `models.training.callbacks.Backup`.
    """

    def __init__(self, directory: str, config: Config, writes: bool = True):
        super().__init__()
        self.writes = writes
        self.path, self.config = pathlib.Path(directory) / "average.npz", config
        self.epoch, self.count, self.sums, self.own = 0, 0, [], None

    def on_train_begin(self, logs=None):
        if self.path.exists():
            with np.load(self.path) as kept:
                self.epoch, self.count = int(kept["epoch"]), int(kept["count"])
                self.sums = [kept[f"{n:04}"] for n in range(len(kept.files) - 2)]

    def on_epoch_begin(self, epoch, logs=None):
        self.running = epoch + 1

    def on_test_begin(self, logs=None):
        self._add()
        if self.count:
            self.own = self.model.get_weights()
            self.model.set_weights(self._mean(self.own))

    def on_test_end(self, logs=None):
        if self.own is not None:
            self.model.set_weights(self.own)
            self.own = None

    def on_epoch_end(self, epoch, logs=None):
        self._add()  # where nothing is validated
        if not self.count:
            return
        logs["averaged"] = float(self.count)
        if not self.writes:
            return
        with replacing(self.path) as part:
            np.savez(part, epoch=self.epoch, count=self.count, **{f"{n:04}": s for n, s in enumerate(self.sums)})

    def on_train_end(self, logs=None):
        if self.count:
            self.model.set_weights(self._mean(self.model.get_weights()))

    def _add(self) -> None:
        """Adds the weights of the running epoch, once: one that is trained again after a kill counts already."""
        reached = min(self.running * self.config.steps_per_epoch, self.config.steps)
        if self.running <= self.epoch or reached <= self.config.average_from * self.config.steps:
            return
        weights = [np.asarray(w, np.float64) for w in self.model.get_weights()]
        self.sums = [s + w for s, w in zip(self.sums, weights, strict=True)] if self.count else weights
        self.epoch, self.count = self.running, self.count + 1

    def _mean(self, own: list[np.ndarray]) -> list[np.ndarray]:
        """The mean in the weights' own types; whole numbers (counters, states of generators) stay the model's own."""
        means = [s / self.count for s in self.sums]
        return [m.astype(w.dtype) if w.dtype.kind not in "iub" else w
                for m, w in zip(means, own, strict=True)]  # fmt: skip
