"""What benchmarks of trainings share: a step of ours, one of a peer in its own process, and taking turns."""

import pathlib
import subprocess
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models.contract import registry
from models.training.loop import compiled_model

ROUNDS = 5


def step(recipe_name: str, options: dict, batch) -> Callable[[], None]:
    """One training step of a recipe on a batch, compiled and run once."""
    recipe = registry.get(recipe_name)
    model = compiled_model(recipe, recipe.make_config("small", options))
    model.make_train_function()
    # The iterator is endless; each call takes one batch of it and waits for the loss.
    iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())
    model.train_function(iterator)
    return lambda: model.train_function(iterator)


def seconds(steps: dict[str, Callable], count: int) -> dict[str, float]:
    """Median over the rounds of the seconds that one step takes."""
    taken: dict[str, list] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, call in steps.items():
            start = time.perf_counter()
            for _ in range(count):
                call()
            taken[name].append((time.perf_counter() - start) / count)
    return {name: float(np.median(values)) for name, values in taken.items()}


class Peer:
    """Another library's training step, in a process of its own, whose Python may be another one's."""

    def __init__(self, python: str, script: str, *arguments: str):
        """Args: python: that has the library. script: beside this file, with its arguments.

        Raises:
          RuntimeError: that Python cannot do it.
        """
        command = [python, str(pathlib.Path(__file__).with_name(script)), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._answer()

    def __call__(self) -> None:
        """One step, waited for."""
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        if not (line := self.process.stdout.readline()):
            raise RuntimeError("the peer has ended")
        return line.strip()
