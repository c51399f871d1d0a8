"""Route constrained optimisation: the student follows checkpoints of its teacher's training, easy to hard.

Jin et al. (arXiv:1904.09149). The route is a folder of checkpoints, one an epoch; its anchors are chosen at equal
intervals, or greedily: the furthest checkpoint whose hardness for the student as it stands is still below delta. Each
anchor is a stage with a learning-rate schedule of its own; all stages together take `steps`, as a plain student does.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from models.classifiers import classifier
from models.classifiers import inputs as classifier_inputs
from models.contract.recipe import ConfigError, Recipe, Search, option
from models.contract.training import Files, Phase
from models.distillation import student
from models.distillation import teacher as teachers
from models.distillation.inputs import prepare
from models.distillation.stages import hand_on
from models.distillation.terms.objective import LOGITS

SELECTORS = ("equal", "greedy")
STAGE_SEED = 100  # a stage's seed less that of the stage before: further than seeds of students lie apart
_VALIDATED = 10_000  # pictures at most on which the hardness is measured, as in the paper


@dataclasses.dataclass(frozen=True)
class RouteConfig(student.StudentConfig):
    """Options of a distillation along a route."""

    selector: str = option("equal", "how anchors are chosen on the route", choices=SELECTORS)
    anchors: int = option(4, "stages among which the steps are divided, at most", low=1)
    delta: float = option(
        0.8, "hardness ratio up to which the greedy search takes a further checkpoint", search=Search(0.1, 3.0), low=0.0
    )

    def __post_init__(self):
        super().__post_init__()
        if self.hint_terms:
            raise ConfigError("hint_terms: a route has stages of its own; use the recipe distill")
        if self.budget:
            raise ConfigError("budget: a route has stages of its own; use the recipe strassen_resnet")


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


def stages(config: RouteConfig, files: Files):
    """The phases of a training along a route: one for each anchor that is followed, the last with the teacher itself.

    The anchors are written to `anchors.json` beside the history: [{"epoch", "steps", "divergences"}], the latter (nats,
    of every checkpoint, after the stage) only of the greedy search.

    Args:
      config: its `teacher` is the route's folder.

    Raises:
      ConfigError: no route.
    """
    route = checkpoints(config.teacher)
    count = min(config.anchors, len(route), config.steps)
    planned = equal_epochs(len(route), count)
    notes = [pathlib.Path(folder) / "anchors.json" for folder in (files.work, files.logs)]
    done = json.loads(notes[0].read_text()) if notes[0].exists() else []
    current, before = None, 0
    for stage in range(count):
        current = _choose(config, route, planned, done, stage, current, count - stage)
        is_last = current == len(route) - 1
        # The end may come early: what is left of the steps then goes to it.
        steps = (config.steps if is_last else config.steps * (stage + 1) // count) - before
        # Each stage draws its batches anew: with one seed all would see the same ones first.
        options = {"teacher": str(route[current]), "seed": config.seed + STAGE_SEED * stage}
        model = yield Phase(f"stage-{stage}", steps, options, inherit=hand_on, prepare=prepare)
        before += steps
        if stage >= len(done):
            done.append({"epoch": int(route[current].name), "steps": steps})
            if config.selector == "greedy" and not is_last:
                done[-1]["divergences"] = _divergences(model, route, config, files.validation)
        for note in notes:
            note.write_text(json.dumps(done, indent=1))
        if is_last:
            return


def _choose(config, route, planned, done, stage, current, left) -> int:
    """Position of the anchor of a stage."""
    if left == 1:
        return len(route) - 1
    if config.selector == "equal" or current is None:
        return planned[stage]
    return next_anchor(done[stage - 1]["divergences"], current, config.delta)


def _divergences(model, route, config, files) -> list[float]:
    """H of every checkpoint for a student, on pictures that it does not train on, 10,000 at most."""
    plain = dataclasses.replace(config, batch_size=256)
    batches = classifier_inputs.inputs(files, plain, False).take(-(-_VALIDATED // plain.batch_size))
    pixels = np.concatenate([np.array(x) for x, _ in batches])[:_VALIDATED]
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
    phases=stages,
    **student.SHARED,
)
