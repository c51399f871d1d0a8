"""How the outputs for the examples of a set become one number of the set: by an aggregate, a file in `aggregates/`.

An aggregate is a frozen dataclass, whose fields are its arguments; the last line of its file says AGGREGATE = the
class, and the file's name is what a recipe calls it by. It is NumPy alone: `components.evaluation.evaluator` puts it
into TFMA, and whoever has the outputs in hand takes `of`.
"""

import abc
import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from components import found
from components.evaluation import aggregates

Outputs = Mapping[str, np.ndarray]
NO_LABEL = -1


class Aggregate(abc.ABC):
    """A number of a set of examples, of what is gathered over its parts in any order.

    Attributes:
      name: of the metric, for those that read the output of that name.
      may_be_undefined: whether a set may have no such number (NaN), which then says nothing against the model.
    """

    name: str
    may_be_undefined = False

    @abc.abstractmethod
    def empty(self) -> Any:
        """What is gathered of no example: a picklable value."""

    @abc.abstractmethod
    def add(self, state: Any, outputs: Outputs) -> Any:
        """The state with more examples; may change and return the one that is given.

        Args:
          outputs: of the served signature, by name, [B, ...] of any shape and type.

        Raises:
          KeyError: an output is missing (see `output`).
        """

    @abc.abstractmethod
    def merge(self, one: Any, other: Any) -> Any:
        """The state of two parts of a set together; may change and return the first."""

    @abc.abstractmethod
    def result(self, state: Any) -> float:
        """The number, NaN where the set has none."""

    def gatherer(self) -> "Aggregate":
        """Whose state this one reads; several with equal gatherers share what is gathered. By default its own."""
        return self

    def of(self, outputs: Outputs) -> float:
        """The number of a set that is in hand: outputs [N, ...]. Examples without a label are left out."""
        return self.result(self.add(self.empty(), labelled(outputs)))

    def of_parts(self, parts: Iterable[Any]) -> Any:
        """The states of parts of a set, merged."""
        return functools.reduce(self.merge, parts, self.empty())


def output(outputs: Outputs, name: str) -> np.ndarray:
    """An output [B, ...] by its name. Raises KeyError: there is none; the message lists those there are."""
    if name not in outputs:
        raise KeyError(f"serving_default gives no '{name}'; it gives {', '.join(sorted(outputs))}")
    return np.asarray(outputs[name])


def column(outputs: Outputs, name: str) -> np.ndarray:
    """An output of one number an example, [B] or [B, 1], as float64 [B].

    Raises:
      KeyError: as `output`.
      ValueError: it has several numbers an example.
    """
    values = output(outputs, name)
    if values.size != len(values):
        raise ValueError(f"'{name}' has the shape {values.shape[1:]} an example; wanted is one number")
    return values.reshape(-1).astype(np.float64)


def labelled(outputs: Outputs) -> Outputs:
    """The outputs of the examples that have a label: all, but those whose output `label`, if there is one, is -1.

    An output `label` of several numbers an example is left to the aggregate.
    """
    label = np.asarray(outputs["label"]) if "label" in outputs else np.zeros(0)
    if not label.size or label.size != len(label):
        return outputs
    known = label.reshape(-1) != NO_LABEL
    return outputs if known.all() else {name: np.asarray(value)[known] for name, value in outputs.items()}


def make(kind: str, name: str, arguments: Mapping[str, Any]) -> Aggregate:
    """The aggregate of a metric.

    Args:
      kind: name of its file. name: of the metric. arguments: of its class, lists for tuples.

    Raises:
      LookupError: no such aggregate.
      TypeError, ValueError: arguments that it does not take; the message names it.
    """
    made = found.find(aggregates, kind, "aggregate").AGGREGATE
    known = {field.name for field in dataclasses.fields(made)} - {"name"}
    if unknown := sorted(set(arguments) - known):
        taken = ", ".join(sorted(known)) or "nothing"
        raise TypeError(f"{name}: the aggregate '{kind}' takes no '{unknown[0]}'; it takes {taken}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    return made(name=name, **values)
