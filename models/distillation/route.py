"""Route constrained optimisation: the student follows checkpoints of its teacher's training, easy to hard.

Jin et al. (arXiv:1904.09149). The route is a folder of checkpoints, one an epoch; its anchors are chosen at equal
intervals, or greedily: the furthest checkpoint whose hardness for the student as it stands is still below delta. Each
anchor is a stage with a learning-rate schedule of its own; all stages together take `steps`, as a plain student does.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np

from models.classifiers import classifier
from models.classifiers import inputs as classifier_inputs
from models.classifiers.serving import signatures
from models.contract.recipe import Config, ConfigError, Recipe, Search, option
from models.distillation import student
from models.distillation import teacher as teachers
from models.distillation.objective import LOGITS
from models.publishing import pushed
from models.training import loop

SELECTORS = ("equal", "greedy")
_VALIDATED = 10_000  # pictures at most on which the hardness is measured, as in the paper


@dataclasses.dataclass(frozen=True)
class RouteConfig(student.StudentConfig):
    """Options of a distillation along a route."""

    selector: str = option("equal", "how anchors are chosen on the route", choices=SELECTORS)
    anchors: int = option(4, "stages among which the steps are divided, at most", low=1)
    delta: float = option(
        0.8, "hardness ratio up to which the greedy search takes a further checkpoint", search=Search(0.1, 3.0), low=0.0
    )


class KeepRoute(keras.callbacks.Callback):
    """Keeps the model after every epoch as `<epochs done>/assets.extra/`, in the form in which teachers are loaded."""

    def __init__(self, recipe: Recipe, config: Config, directory: str):
        super().__init__()
        self.recipe, self.config, self.directory = recipe, config, pathlib.Path(directory)

    def on_epoch_end(self, epoch, logs=None):
        folder = self.directory / str(epoch + 1)
        partial = folder.with_name(f"{folder.name}.partial")
        pushed.save(partial, self.recipe, self.config, pushed.anew(self.recipe, self.config, self.model))
        if not folder.exists():
            os.replace(partial, folder)


def checkpoints(route: str) -> list[pathlib.Path]:
    """Folders of a route's checkpoints, in the order of their epochs.

    Raises:
      ConfigError: there are none.
    """
    found = sorted((f for f in pathlib.Path(route).glob("*") if f.name.isdecimal()), key=lambda f: int(f.name))
    if not found:
        raise ConfigError(f"teacher={route}: no route there, that is no folder with a checkpoint for each epoch")
    return found


def equal_epochs(count: int, anchors: int) -> list[int]:
    """Positions of at most `anchors` of `count` checkpoints at equal intervals; the last is always one of them.

    >>> equal_epochs(12, 4)
    [2, 5, 8, 11]
    """
    return sorted({round(count * k / anchors) - 1 for k in range(1, anchors + 1)} - {-1})


def next_anchor(divergences: Sequence[float], current: int, delta: float) -> int:
    """The greedy choice: the furthest later checkpoint that is not too hard, or the very next one.

    Hardness of checkpoint j is (H_j - H_i) / H_i: the growth of the mean KL(teacher_j || student) over that of the
    anchor i on which the student was just trained. The paper's normaliser could not be checked.

    Args:
      divergences: H of every checkpoint for the student as it stands, nats. current: i. delta: bound, at least 0.
    """
    here = max(divergences[current], 1e-8)
    easy = [j for j in range(current + 1, len(divergences)) if (divergences[j] - divergences[current]) / here < delta]
    return max(easy, default=min(current + 1, len(divergences) - 1))


def divergence(anchor: pathlib.Path, pixels: np.ndarray, log_student: np.ndarray) -> float:
    """Mean KL(anchor || student) of pictures [N, S, S, 3], given the student's log probabilities [N, K]; nats."""
    logits = np.array(teachers.load(str(anchor)).features().predict(pixels, verbose=0)[LOGITS], np.float64)
    log_teacher = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return float((np.exp(log_teacher) * (log_teacher - log_student)).sum(1).mean())


def train_along(
    recipe: Recipe,
    config: RouteConfig,
    train_files: Sequence[str],
    validation_files: Sequence[str],
    *,
    work_dir: str,
    log_dir: str,
    fit: Callable = loop.train,
    **options,
) -> student.Student:
    """Trains a student along a route, in place of `models.training.loop.train`; goes on after an interruption.

    The anchors that were followed are written to `anchors.json` in `log_dir`: [{"epoch", "steps", "divergences"}], the
    latter (nats, of every checkpoint, after the stage) only of the greedy search. The last stage is the teacher itself.

    Args:
      config: its `teacher` is the route's folder. The rest is as of `models.training.loop.train`.

    Returns:
      The trained student, with the last teacher beside it.

    Raises:
      ConfigError: no route, or as `student.build`.
    """
    route = checkpoints(config.teacher)
    stages = min(config.anchors, len(route), config.steps)
    note = pathlib.Path(work_dir) / "anchors.json"
    done = json.loads(note.read_text()) if note.exists() else []
    planned = equal_epochs(len(route), stages)
    weights, model, left = None, None, stages
    current = None
    while current != len(route) - 1:
        stage = stages - left
        current = _choose(config, route, planned, done, stage, current, left)
        # The end may come early: what is left of the steps then goes to it.
        steps = _steps(config.steps, stages, stage, last=current == len(route) - 1)
        staged = dataclasses.replace(config, teacher=str(route[current]), steps=steps, seed=config.seed)
        folder = pathlib.Path(work_dir) / f"stage-{stage}"
        logs = pathlib.Path(log_dir) / f"stage-{stage}" if current != len(route) - 1 else pathlib.Path(log_dir)
        model = fit(recipe, staged, train_files, validation_files, work_dir=str(folder), log_dir=str(logs),
                    weights=weights, **options)  # fmt: skip
        weights = model.student.get_weights()
        left -= 1
        if stage >= len(done):
            entry = {"epoch": int(route[current].name), "steps": steps}
            if config.selector == "greedy" and current != len(route) - 1:
                entry["divergences"] = _divergences(model, route, config, train_files)
            done.append(entry)
            for path in (note, pathlib.Path(log_dir) / "anchors.json"):
                path.write_text(json.dumps(done, indent=1))
    return model


def _steps(steps: int, stages: int, stage: int, last: bool) -> int:
    """Steps of a stage: an equal share, or for the last one all that is left."""
    before = steps * stage // stages
    return (steps if last else steps * (stage + 1) // stages) - before


def _choose(config, route, planned, done, stage, current, left) -> int:
    """Position of the anchor of a stage."""
    if left == 1:
        return len(route) - 1
    if config.selector == "equal" or current is None:
        return planned[stage]
    return next_anchor(done[stage - 1]["divergences"], current, config.delta)


def _divergences(model, route, config, files) -> list[float]:
    """H of every checkpoint for a student, on a fifth of the training pictures or 10,000, whichever is less."""
    plain = dataclasses.replace(config, batch_size=256, label_noise=0.0)
    pixels = np.concatenate([np.array(x) for x, _ in classifier_inputs.inputs(files, plain, False)])
    pixels = pixels[::5][:_VALIDATED]
    pieces = np.split(pixels, range(256, len(pixels), 256))
    logits = np.concatenate([np.array(model.student(piece, training=False), np.float64) for piece in pieces])
    log_student = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return [divergence(anchor, pixels, log_student) for anchor in route]


RECIPE = Recipe(
    name="route",
    shape="route",
    summary="Student that follows its teacher's training from checkpoint to checkpoint, RCO (arXiv:1904.09149)",
    config=RouteConfig,
    presets={"small": classifier.SMALL, "paper": classifier.PAPER | {"student": "mobilenet_v2"}},
    build=student.build,
    inputs=student.inputs,
    signatures=signatures,
    evaluation=classifier.EVALUATION,
    report=("comparison", "confusions"),
    adapt=student.adapt,
    served=student.served,
    labelled=True,
    train=train_along,
)
