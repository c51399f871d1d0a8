"""A student's objective: a named, weighted sum of terms, read from one line of text.

    0.1*ce + alpha*logits(temperature=temperature) + 50*rkd_distance(layer=embedding)

A term is WEIGHT*NAME(KEY=VALUE, ...); weight and arguments may be left out. `layer` names the feature of both sides,
`teacher` and `student` that of one; a loss of the labels alone has no teacher's. A weight or value that is the name of
an option of the configuration stands for its value, so that the tuner can search it.
"""

import dataclasses
import difflib
import inspect
import re
from collections.abc import Collection, Mapping
from typing import Any

from models.contract.recipe import ConfigError
from models.distillation.terms.attention import AttentionTransfer
from models.distillation.terms.born_again import BornAgain, ConfidenceWeighted, PermutedDarkKnowledge
from models.distillation.terms.correlation import Correlation
from models.distillation.terms.embeddings import FeatureConsistency, MutualRelations
from models.distillation.terms.hint import Hint
from models.distillation.terms.labels import CrossEntropy
from models.distillation.terms.logits import DecoupledLogits, LogitRegression, Logits
from models.distillation.terms.relational import RelationalAngle, RelationalDistance
from models.distillation.terms.term import LOGITS, Term

LABELS = "ce"
TERMS: Mapping[str, type[Term]] = {
    LABELS: CrossEntropy,
    "logits": Logits,
    "dkd": DecoupledLogits,
    "logit_regression": LogitRegression,
    "hint": Hint,
    "attention": AttentionTransfer,
    "rkd_distance": RelationalDistance,
    "rkd_angle": RelationalAngle,
    "cckd": Correlation,
    "fcd": FeatureConsistency,
    "coupleface": MutualRelations,
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
    """One term of the sum."""

    name: str
    weight: float
    loss: Term


def parse(
    text: str, options: Mapping[str, Any] | None = None, terms: Mapping[str, type[Term]] = TERMS
) -> list[Weighted]:
    """Reads an objective.

    Args:
      text: see the module. options: values that weights and arguments may name. terms: those there are, by name.

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
        found.append(_weighted(matched, dict(options or {}), terms))
    counts = [sum(w.name == other.name for other in found[:i]) for i, w in enumerate(found)]
    found = [dataclasses.replace(w, name=f"{w.name}_{n + 1}") if n else w for w, n in zip(found, counts, strict=True)]
    return found


def check_features(
    objective: Collection[Weighted], teacher: Collection[str], student: Collection[str] | None = None
) -> None:
    """Raises ConfigError, with the names that there are, if a term asks for a feature that a model does not have.

    Args:
      objective: the terms. teacher: names of all that it gives.
      student: names of its features beside the logits (None: not checked).
    """
    for weighted in objective:
        theirs, own = weighted.loss.layer_names
        sides = [("teacher", teacher, theirs or LOGITS)] if weighted.loss.needs_teacher else []
        if student is not None:
            sides.append(("student", student, own or LOGITS))
        for side, known, wanted in sides:
            if wanted not in known and (side, wanted) != ("student", LOGITS):
                near = difflib.get_close_matches(wanted, list(known), 1, 0)
                nearest = f" (nearest: {near[0]})" if near else ""
                raise ConfigError(
                    f"the term {weighted.name} asks for the {side}'s feature '{wanted}'; there are "
                    f"{', '.join(sorted(known)) or 'none'}{nearest}"
                )


def _weighted(matched: re.Match, options: dict[str, Any], terms: Mapping[str, type[Term]]) -> Weighted:
    name = matched["name"]
    weight = _number(matched["weight"] or "1", options, f"the weight of {name}")
    if weight < 0:
        raise ConfigError(f"terms: the weight of {name} is {weight:g}; it must not be below zero")
    if name not in terms:
        near = difflib.get_close_matches(name, terms, 1, 0)
        raise ConfigError(f"terms: no term '{name}'; there are {', '.join(terms)} (nearest: {near[0]})")
    known = set(inspect.signature(terms[name].__init__).parameters) - {"self", "kwargs"}
    known |= set(_LAYERS["layer"]) if terms[name].needs_teacher else set()
    usable = {k for k, arguments in _LAYERS.items() if known & set(arguments)} | known - set(_LAYERS["layer"])
    pairs = list(_pairs(name, matched["arguments"] or "", options))
    if unknown := {key for key, _ in pairs} - usable:
        raise ConfigError(f"terms: {name} takes no '{min(unknown)}'; it takes {', '.join(sorted(usable)) or 'nothing'}")
    arguments = {a: value for key, value in pairs for a in known.intersection(_LAYERS.get(key, (key,)))}
    try:
        return Weighted(name, weight, terms[name](**arguments))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"terms: {name}: {error}") from error


def _pairs(name: str, text: str, options: dict[str, Any]):
    """(key, value) pairs of "key=value, key=value"."""
    for pair in filter(None, (p.strip() for p in text.split(","))):
        key, equals, value = (s.strip() for s in pair.partition("="))
        if not equals or not value:
            raise ConfigError(f"terms: {name}({text}): '{pair}' is not KEY=VALUE")
        yield key, _value(options.get(value, value))


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
