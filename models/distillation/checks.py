"""Whether a teacher fits the pictures that a student learns from: their size, their range, their classes."""

import dataclasses
from collections.abc import Collection

import numpy as np
import scipy

from models.contract.recipe import ConfigError
from models.distillation.teacher import RANGES, Teacher
from models.distillation.terms.term import LOGITS

_BY_CHANCE = 1e-4  # how often a teacher that knows nothing of the classes is refused as one that knows others


def check_view(teacher: Teacher, size: int) -> None:
    """Raises ConfigError unless a teacher can be shown what the student is shown: pictures of this side, augmented."""
    if teacher.network is None or teacher.side not in (None, size):
        seen = "records" if teacher.network is None else f"pictures of {teacher.side}x{teacher.side}"
        raise ConfigError(
            f"teacher={teacher.path}: it takes {seen}, not {size}x{size} as the student: set image_size, or have its "
            "outputs kept in the records by the pipeline, without crop, flip, cutout and mixup"
        )


def check_answers(
    teacher: Teacher, records, labels: np.ndarray | None, size: int, names: Collection[str] = ()
) -> float | None:
    """Lets a teacher speak of training records.

    Args:
      records: serialised, string [N]. labels: int [N]; None if its classes are not those of the data.
      size: side of the pictures, unless the teacher has its own. names: features that it is asked for too.

    Returns:
      The share that it gets right; None without labels or logits.

    Raises:
      ConfigError: an answer is no number or no distribution; or another range of pixels or order of classes makes it
        right far more often; or it is right less often than by chance.
    """
    said = teacher.of_records(names, size)(records)
    for values in said.values():
        bad = int((~np.isfinite(values.reshape(len(values), -1)).all(1)).sum())
        if bad:
            raise ConfigError(f"teacher={teacher.path}: {bad} of {len(values)} answers are not finite numbers")
    if LOGITS not in said:
        return None
    sums = np.exp(said[LOGITS]).sum(1)
    if teacher.output == "probabilities" and not np.allclose(sums, 1, atol=1e-2):
        raise ConfigError(
            f"teacher={teacher.path}: its outputs add up to {sums[0]:.3g}, not to 1; set teacher_output=logits"
        )
    if labels is None:
        return None
    right = _right(said, labels)
    if not teacher.is_ours and teacher.network is not None:
        _check_range(teacher, records, labels, size, right)
    _check_order(teacher, said[LOGITS].argmax(1), labels)
    return right


def _check_range(teacher: Teacher, records, labels: np.ndarray, size: int, right: float) -> None:
    """Raises ConfigError if pixels of another range make a teacher right far more often."""
    others = {
        r: _right(dataclasses.replace(teacher, range=r).of_records(size=size)(records), labels)
        for r in RANGES if r != teacher.range
    }  # fmt: skip
    best = max(others, key=others.get)
    if others[best] > right + 0.2:
        raise ConfigError(
            f"teacher={teacher.path}: right on {right:.0%} of {len(labels)} training pictures with pixels in "
            f"{teacher.range}, on {others[best]:.0%} with {best}; set teacher_range={best}"
        )


def _check_order(teacher: Teacher, answers: np.ndarray, labels: np.ndarray) -> None:
    """Raises ConfigError if the teacher's classes are those of the data in another order, or others.

    The order that fits best on every other picture is tried on the rest: it must not be one by chance.

    Args:
      answers, labels: int [N].
    """
    count = max(answers.max(), labels.max()) + 1
    table = np.zeros((count, count))
    np.add.at(table, (answers[::2], labels[::2]), 1)
    # Where nothing was seen a class stays what it is.
    meant = scipy.optimize.linear_sum_assignment(table + 1e-6 * np.eye(count), maximize=True)[1]
    right, reordered = ((a == labels[1::2]).mean() for a in (answers[1::2], meant[answers[1::2]]))
    if reordered > right + 0.2:
        moved = [f"its {a} is {b}" for a, b in enumerate(meant) if a != b]
        raise ConfigError(
            f"teacher={teacher.path}: its classes are in another order than those of the data: right on {right:.0%} of "
            f"{len(labels[1::2])} training pictures as they are, on {reordered:.0%} if {', '.join(moved[:12])}"
            f"{', ...' if len(moved) > 12 else ''}"
        )
    hits, shares = int((answers == labels).sum()), [np.bincount(v, minlength=count) / len(v) for v in (answers, labels)]
    if scipy.stats.binom.cdf(hits, len(labels), float(shares[0] @ shares[1])) < _BY_CHANCE:
        raise ConfigError(
            f"teacher={teacher.path}: right on {hits} of {len(labels)} training pictures, fewer than if it guessed: "
            "its classes are not those of the data"
        )


def _right(said: dict, labels: np.ndarray) -> float:
    return float((said[LOGITS].argmax(1) == labels).mean())
