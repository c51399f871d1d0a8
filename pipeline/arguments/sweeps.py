"""The results file of a sweep: written by `sweep`, taken by `run --hyperparameters`."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from models.contract.recipe import Config, Recipe
from models.contract.training import Judge
from models.files import write_text
from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import shown
from tuning.plan import MEASURED, Plan

FILE = "sweep.json"


def ordered(trials: Sequence[Mapping[str, Any]], judge) -> list[dict[str, Any]]:
    """The best first, of trials as keras-tuner lists them, each as {"trial", "score", "values"}, and "measured", if
    more than the score was.

    What Hyperband notes of its rounds is no value of the configuration and left out.
    """
    found = []
    for one in sorted(trials, key=lambda one: one["score"], reverse=judge.better == "higher"):
        measured = {k.removeprefix(MEASURED): v for k, v in one.items() if k.startswith(MEASURED)}
        values = {k: v for k, v in one.items() if k not in ("trial_id", "score") and "/" not in k}
        # A trial outside the bounds has a score that says only how far.
        trial = {"trial": int(one["trial_id"]) + 1, "score": measured.pop(judge.name, one["score"]), "values": values}
        found.append(trial | ({"measured": measured} if measured else {}))
    return found


def outside(trial: Mapping[str, Any], judge: Judge, plan: Plan) -> bool:
    """Whether a trial misses the plan's bounds."""
    return plan.missed(trial.get("measured", {}) | {judge.name: trial["score"]}) > 0


def write(path: pathlib.Path, recipe: Recipe, config: Config, judge: Judge, plan: Mapping[str, Any],
          data: Sequence[str], trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # fmt: skip
    """Writes what a sweep came to, and returns it; numbers are written such that they are read as the same ones.

    Args:
      config: where the search started. judge: what was compared. plan: how it was done.
      data: data set, folder and digest.
      trials: as `ordered` gives them.
    """
    start = dataclasses.asdict(config)
    found = {
        "recipe": recipe.name,
        "judge": {"name": judge.name, "better": judge.better},
        "plan": dict(plan),
        "data": dict(zip(("dataset", "folder", "digest"), data, strict=True)),
        "config": start | trials[0]["values"],
        "start": start,
        "trials": list(trials),
    }
    write_text(path, json.dumps(found, indent=1))
    return found


def best(path: pathlib.Path, recipe: Recipe) -> dict[str, Any]:
    """All options of the best configuration of a sweep, as they were tried, with the steps of a whole training.

    Raises:
      UserError: no such file, no results of a sweep, or of another recipe.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        of, config = found["recipe"], found["config"]
    except OSError as error:
        raise UserError(f"--hyperparameters {shown(path)}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"--hyperparameters {shown(path)}: not the results of a sweep (OUT/{FILE})") from error
    if of != recipe.name or not isinstance(config, dict):
        raise UserError(f"--hyperparameters {shown(path)}: found for {of}, not for {recipe.name}")
    return config
