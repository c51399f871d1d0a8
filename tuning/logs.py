"""What a search leaves to look at: TensorBoard's events of every trial, with its HParams."""

import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api


def keep(trial_logs: pathlib.Path, folder: pathlib.Path, name: str, values: Mapping[str, Any],
         measured: Mapping[str, float], steps: int) -> None:  # fmt: skip
    """Keeps the events of a trial as `folder/name`, with its values and what it came to as TensorBoard's HParams.

    Args:
      trial_logs: what the training wrote. values: of the searched options. measured: what trials are compared by.
      steps: how many the trial trained.
    """
    target = folder / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(trial_logs, target)
    with tf.summary.create_file_writer(str(target)).as_default():
        api.hparams(dict(values), trial_id=name)
        for number, value in measured.items():
            tf.summary.scalar(number, value, step=steps)


def describe(folder: pathlib.Path, names: Sequence[str], measured: Sequence[str]) -> None:
    """Says beside the trials what they differ in and what they are compared by, for TensorBoard's columns."""
    folder.mkdir(parents=True, exist_ok=True)
    with tf.summary.create_file_writer(str(folder)).as_default():
        api.hparams_config(
            hparams=[api.HParam(name) for name in names], metrics=[api.Metric(name) for name in measured]
        )
