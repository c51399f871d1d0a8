"""What a trial is measured by beside its history: times and sizes of what would be served, and what it answers."""

import json
import pathlib
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.contract.recipe import Config, ConfigError, Recipe
from models.contract.training import Judge
from models.files import write_text
from models.publishing import export
from models.records import pictures

SECONDS_PER_STEP, LATENCY, BYTES, PARAMETERS = "seconds_per_step", "latency_ms", "model_bytes", "parameters"
OWN = (SECONDS_PER_STEP, LATENCY, BYTES, PARAMETERS)  # the less the better
TIMES = (SECONDS_PER_STEP, LATENCY)  # what else a machine does changes these
_LABEL = "label"  # of an example in the evaluation; below 0: it has none
_RECORDS = 64  # of the validation, that a number of the evaluation is the mean of
_LATENCY_RECORDS, _CALLS, _SECONDS = 8, 30, 5.0  # calls that are timed: so many, or for so long if that is fewer


def judge_of(recipe: Recipe, name: str) -> Judge:
    """A number as what is compared by: which way is better, and of which epoch it is.

    Args:
      name: the judge's own ("" too), "val_" and a metric or a loss (of the history), one of `OWN`, or a metric of the
        evaluation that is a mean of outputs of `serving_default`.

    Raises:
      ConfigError: no such number, or nobody knows which way is better.
    """
    if name in ("", recipe.judge.name):
        return recipe.judge
    if name in OWN or name.startswith("val_") and name.endswith("loss"):
        return Judge(name, "lower", recipe.judge.keep)
    metrics = {metric.name: metric for metric in recipe.evaluation.metrics}
    if metric := metrics.get(name.removeprefix("val_")):
        if name.startswith("val_") or _is_mean(metric):
            return Judge(name, metric.better, recipe.judge.keep)
    known = [recipe.judge.name, *OWN, *(name for name, metric in metrics.items() if _is_mean(metric))]
    raise ConfigError(f"objective {name}: no number of {recipe.name}; there are {', '.join(dict.fromkeys(known))}")


def _is_mean(metric) -> bool:
    return metric.aggregate == "mean" and not metric.arguments


class StepTimes(keras.callbacks.Callback):
    """Times each step, with the wait for its result; the first of a process is left out, in which it is traced.

    Args:
      path: keeps the times of an interrupted training; its folder exists when training begins.
    """

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self._path = path
        self.seconds = json.loads(path.read_text(encoding="ascii")) if path.exists() else []
        self._start = self._is_traced = None

    def on_train_batch_begin(self, batch, logs=None):
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if self._is_traced:
            self.seconds.append(time.perf_counter() - self._start)
        self._is_traced = True

    def on_epoch_end(self, epoch, logs=None):
        write_text(self._path, json.dumps(self.seconds))

    @property
    def median(self) -> float:
        """Seconds of a step; NaN if none was timed."""
        return statistics.median(self.seconds) if self.seconds else float("nan")


def of_history(judge: Judge, history: Sequence[Mapping[str, Any]], name: str) -> float:
    """A number of the epoch that the training gave back; NaN if it was not validated or has no such number."""
    place = judge.given_back(history)
    return float("nan") if place is None else history[place].get(name, float("nan"))


def of_model(
    recipe: Recipe, config: Config, model: keras.Model, names: Sequence[str], validation: Sequence[str],
    folder: pathlib.Path,
) -> dict[str, float]:  # fmt: skip
    """The numbers of `names` that are of the model as it would be served.

    Args:
      validation: record files. folder: place for the exported model, which is removed again.
    """
    wanted = [name for name in names if name not in (SECONDS_PER_STEP, PARAMETERS) and not name.startswith("val_")]
    found = {}
    if PARAMETERS in names:
        served = recipe.served(model, config)[1] if recipe.served else model
        found[PARAMETERS] = float(served.count_params())
    if not wanted:
        return found
    shutil.rmtree(folder, ignore_errors=True)  # of a trial that was killed
    try:
        export.export(recipe, config, model, str(folder))
        if BYTES in wanted:
            found[BYTES] = float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
        if rest := [name for name in wanted if name != BYTES]:
            found |= _answered(str(folder), rest, validation)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _answered(folder: str, names: Sequence[str], validation: Sequence[str]) -> dict[str, float]:
    """Latency and means of outputs of the exported model's `serving_default`."""
    loaded = tf.saved_model.load(folder)
    served = loaded.signatures["serving_default"]
    records = [tf.reshape(record, [1]) for record in pictures.records(validation).take(_RECORDS)]
    found = {}
    if LATENCY in names:
        found[LATENCY] = 1000 * latency(lambda record: served(examples=record), records[:_LATENCY_RECORDS])
    if metrics := [name for name in names if name != LATENCY]:
        answers = [served(examples=record) for record in records]
        counted = [a for a in answers if _LABEL not in a or float(np.ravel(a[_LABEL])[0]) >= 0]
        found |= {n: float(np.mean([np.mean(a[n]) for a in counted])) if counted else float("nan") for n in metrics}
    return found


def latency(call, inputs: Sequence[Any]) -> float:
    """Seconds of a call, the median over the inputs in turns, one at a time, after each was called twice."""
    for _ in range(2):
        for one in inputs:
            call(one)
    seconds, end = [], time.perf_counter() + _SECONDS
    while len(seconds) < len(inputs) or len(seconds) < _CALLS and time.perf_counter() < end:
        start = time.perf_counter()
        answers = call(inputs[len(seconds) % len(inputs)])
        np.asarray(next(iter(answers.values())))  # waits for it
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
