"""A student's objective: a named, weighted sum of terms, read from one line of text.

    0.1*ce + alpha*logits(temperature=temperature) + 50*rkd_distance(layer=embedding)

A term is WEIGHT*NAME(KEY=VALUE, ...); weight and arguments may be left out. `layer` names the feature of both sides,
`teacher` and `student` that of one. A weight or value that is the name of an option of the configuration stands for its
value, so that the tuner can search it.
"""

import dataclasses
import difflib
import inspect
import re
from collections.abc import Collection, Mapping
from typing import Any

from models.contract.recipe import ConfigError
from models.distillation.attention import AttentionTransfer
from models.distillation.born_again import BornAgain, ConfidenceWeighted, PermutedDarkKnowledge
from models.distillation.correlation import Correlation
from models.distillation.hint import Hint
from models.distillation.logits import LogitRegression, Logits
from models.distillation.relational import RelationalAngle, RelationalDistance
from models.distillation.term import Term

LABELS = "ce"  # cross-entropy with the labels: the only term without a teacher
LOGITS = "logits"  # name of the output, among the features
TERMS: Mapping[str, type[Term]] = {
    "logits": Logits,
    "logit_regression": LogitRegression,
    "hint": Hint,
    "attention": AttentionTransfer,
    "rkd_distance": RelationalDistance,
    "rkd_angle": RelationalAngle,
    "cckd": Correlation,
    "born_again": BornAgain,
    "cwtm": ConfidenceWeighted,
    "dkpp": PermutedDarkKnowledge,
}
_TERM = re.compile(r"(?:(?P<weight>[^\s*()]+)\s*\*\s*)?(?P<name>[A-Za-z_]\w*)\s*(?:\((?P<arguments>[^()]*)\))?")
_PLUS = re.compile(r"(?<!\de)\+(?![^(]*\))", re.IGNORECASE)  # neither of an exponent nor within parentheses
_LAYERS = {"teacher": ("teacher_layer_name",), "student": ("student_layer_name",),
           "layer": ("teacher_layer_name", "student_layer_name")}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Weighted:
    """One term of the sum; `loss` is None for the labels' cross-entropy."""

    name: str
    weight: float
    loss: Term | None


def parse(text: str, options: Mapping[str, Any] | None = None) -> list[Weighted]:
    """Reads an objective.

    Args:
      text: see the module. options: values that weights and arguments may name.

    Returns:
      The terms in order; a second one of a name is called NAME_2.

    Raises:
      ConfigError: the text is no sum of terms, a term or argument has an unknown name or an unusable value.
    """
    found = []
    for part in _PLUS.split(text.strip()):
        matched = _TERM.fullmatch(part.strip())
        if not matched:
            raise ConfigError(f"terms: '{part.strip()}' is no term; wanted is WEIGHT*NAME(KEY=VALUE, ...)")
        found.append(_weighted(matched, dict(options or {})))
    counts = [sum(w.name == other.name for other in found[:i]) for i, w in enumerate(found)]
    found = [dataclasses.replace(w, name=f"{w.name}_{n + 1}") if n else w for w, n in zip(found, counts, strict=True)]
    return found


def check_features(objective: Collection[Weighted], teacher: Collection[str], student: Collection[str]) -> None:
    """Raises ConfigError, with the names that there are, if a term asks for a feature that a model does not have.

    Args:
      objective: the terms. teacher, student: names of the features that each side gives.
    """
    for weighted in objective:
        if weighted.loss is None:
            continue
        for side, known, wanted in zip(
            ("teacher", "student"), (teacher, student), weighted.loss.layer_names, strict=True
        ):
            if wanted is not None and wanted not in known:
                near = difflib.get_close_matches(wanted, list(known), 1, 0)
                nearest = f" (nearest: {near[0]})" if near else ""
                raise ConfigError(
                    f"the term {weighted.name} asks for the {side}'s feature '{wanted}'; there are "
                    f"{', '.join(sorted(known)) or 'none'}{nearest}"
                )


def _weighted(matched: re.Match, options: dict[str, Any]) -> Weighted:
    name = matched["name"]
    weight = _number(matched["weight"] or "1", options, f"the weight of {name}")
    if weight < 0:
        raise ConfigError(f"terms: the weight of {name} is {weight:g}; it must not be below zero")
    arguments = dict(_arguments(name, matched["arguments"] or "", options))
    if name == LABELS:
        if arguments:
            raise ConfigError(f"terms: {LABELS} takes no arguments")
        return Weighted(name, weight, None)
    if name not in TERMS:
        near = difflib.get_close_matches(name, [LABELS, *TERMS], 1, 0)
        raise ConfigError(f"terms: no term '{name}'; there are {LABELS}, {', '.join(TERMS)} (nearest: {near[0]})")
    known = set(inspect.signature(TERMS[name].__init__).parameters) - {"self", "kwargs"}
    known |= {"teacher_layer_name", "student_layer_name"}
    if unknown := set(arguments) - known:
        usable = sorted((known - set(sum(_LAYERS.values(), ()))) | set(_LAYERS))
        raise ConfigError(f"terms: {name} takes no '{min(unknown)}'; it takes {', '.join(usable)}")
    try:
        return Weighted(name, weight, TERMS[name](**arguments))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"terms: {name}: {error}") from error


def _arguments(name: str, text: str, options: dict[str, Any]):
    """(argument of the constructor, value) pairs of "key=value, key=value"."""
    for pair in filter(None, (p.strip() for p in text.split(","))):
        key, equals, value = (s.strip() for s in pair.partition("="))
        if not equals or not value:
            raise ConfigError(f"terms: {name}({text}): '{pair}' is not KEY=VALUE")
        value = options.get(value, value)
        for argument in _LAYERS.get(key, (key,)):
            yield argument, _value(value)


def _value(value: Any) -> Any:
    """Text as a number or a truth value where it is one."""
    if not isinstance(value, str):
        return value
    if value in ("true", "false"):
        return value == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _number(text: str, options: dict[str, Any], what: str) -> float:
    value = _value(options.get(text, text))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) == float("inf"):
        raise ConfigError(f"terms: {what} is '{text}': neither a number nor the name of a numeric option")
    return float(value)
