"""How long a training step takes."""

import time

import keras
import numpy as np

LEFT_OUT = 6  # steps at the start of a phase: tracing, and the first batches


class StepTimes(keras.callbacks.Callback):
    """Seconds of every step, in a list a phase of training."""

    def __init__(self):
        super().__init__()
        self.phases: list[list[float]] = []
        self.last = None

    def on_train_begin(self, logs=None):
        self.phases.append([])

    def on_epoch_begin(self, epoch, logs=None):
        self.last = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        self.phases[-1].append(now - self.last)
        self.last = now

    def mean(self) -> float:
        """Mean over all steps, each phase with its share of them; its first steps count as the others do on average."""
        counts = [len(p) for p in self.phases if p]
        means = [np.mean(p[min(LEFT_OUT, len(p) - 1) :]) for p in self.phases if p]
        return float(np.average(means, weights=counts))
