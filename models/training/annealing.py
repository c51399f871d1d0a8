"""Schedules of a quantiser's hardness sigma (`models.layers.vector_quantizer`), as callbacks of a training."""

from collections.abc import Callable

import keras
import numpy as np

from models.layers.vector_quantizer import LARGEST_SIGMA, VectorQuantizer


def aimed_gap(first: float, step: int, horizon: float) -> float:
    """The gap that the schedule of arXiv:1704.00648 wants: first T / (T + t)."""
    return first * horizon / (horizon + step)


def next_sigma(sigma: float, least: float, gap: float, aimed: float, gain: float) -> float:
    """sigma + gain (gap - aimed), between `least` and 1e6: harder where the gap lags behind the schedule."""
    return float(np.clip(sigma + gain * (gap - aimed), least, LARGEST_SIGMA))


class Anneal(keras.callbacks.Callback):
    """Hardens quantisers every `every` steps: by the gap of the hard loss over the soft one, or geometrically.

    How far it is lies in the quantisers' variables, which are saved with the model: a killed training goes on.

    Args:
      quantizers: that share one sigma.
      steps: of the training. every: steps between two changes.
      gap: () -> hard loss less soft loss with the weights as they are; None: sigma is multiplied instead.
      horizon: T, steps after which half of the first gap is aimed at.
      gain: first sigmas that are added for a first gap too much.
      ratio: of the last sigma to the first, of the geometric schedule.
      samples: () -> values for `VectorQuantizer.reseed`, asked for in the first third of the steps; None: none are.
    """

    def __init__(
        self,
        quantizers: list[VectorQuantizer],
        steps: int,
        every: int = 10,
        gap: Callable[[], float] | None = None,
        horizon: float = 100.0,
        gain: float = 1.0,
        ratio: float = 100.0,
        samples: Callable[[], np.ndarray] | None = None,
    ):
        super().__init__()
        self.quantizers, self.steps, self.every, self.gap = quantizers, steps, max(1, every), gap
        self.horizon, self.gain, self.ratio, self.samples = horizon, gain, ratio, samples
        self.step, self.least, self.gaps = 0, 0.0, []

    def on_train_begin(self, logs=None):
        sigma, (step, _) = float(self.quantizers[0].sigma), np.array(self.quantizers[0].annealed)
        self.step, self.least = int(step), sigma if not step else self.quantizers[0].first_sigma

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step % self.every:
            return
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()  # on JAX variables lag behind a step that is not synchronised
        first = float(np.array(self.quantizers[0].annealed)[1])
        sigma = float(self.quantizers[0].sigma)
        if self.gap is None:
            sigma = min(sigma * self.ratio ** (self.every / self.steps), LARGEST_SIGMA)
        else:
            gap = float(self.gap())
            self.gaps.append((self.step, gap))
            # The network adapts to soft values first: only then is there a gap to close.
            first = max(first, gap) if self.step <= self.horizon else first
            if first > 0:
                aimed = aimed_gap(first, self.step, self.horizon)
                sigma = next_sigma(sigma, self.least, gap, aimed, self.gain * self.least / first)
        for quantizer in self.quantizers:
            quantizer.sigma.assign(sigma)
            quantizer.annealed.assign([float(self.step), first])
            if self.samples and self.step <= self.steps // 3:
                quantizer.reseed(self.samples(), self.step)
