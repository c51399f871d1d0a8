"""What a recipe may say of its training: the phases it goes through, and by what the result is judged.

def phases(config, files):
    model = yield Phase("first", steps=100, options={"learning_rate": 1e-3})
    yield Phase("second", steps=config.steps - 100, frozen=lambda model: [model.encoder])
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class Files(NamedTuple):
    """What a training reads and where it may write.

    Attributes:
      train, validation: TFRecord files for the recipe's `inputs`.
      work: folder of the state, which lasts until the training is done; what was costly to find out can be kept there.
      logs: folder that ends up in the model run. For a phase both are folders of its own.
    """

    train: Sequence[str]
    validation: Sequence[str]
    work: str
    logs: str


def _everything(model, before) -> None:
    """Hands all weights on."""
    model.set_weights(before.get_weights())


@dataclasses.dataclass(frozen=True)
class Phase:
    """One stretch of a training, with optimizers and learning-rate schedules of its own.

    Each phase builds its model anew, so that nothing but what `inherit` and `prepare` say comes from before.

    Attributes:
      name: names the folder of its state and its entries of the history; no two phases of a training share one.
      steps: how many; those of all phases add up to the configuration's.
      options: options of the configuration that are different in this phase: learning_rate, seed, what `build` takes.
      build: config -> keras.Model, if this phase trains another model than the recipe's `build` makes.
      inherit: (model, model of the phase before) -> None: what is handed on; all weights, if nothing is said.
      prepare: (model, config, files) -> None, before the first step and before the optimizers exist. A killed training
        that goes on prepares again, and then loads its state over what that left in variables.
      frozen: model -> the layers that do not learn in this phase.
    """

    name: str
    steps: int
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    build: Callable | None = None
    inherit: Callable = _everything
    prepare: Callable = lambda model, config, files: None
    frozen: Callable = lambda model: ()

    def config(self, config):
        """The configuration of this phase, given the training's."""
        return dataclasses.replace(config, steps=self.steps, **self.options)


def single(config, files):
    """The phases of a training that has one."""
    yield Phase("", config.steps)


@dataclasses.dataclass(frozen=True)
class Judge:
    """By what trained models are told apart, in the trials of a search and among the epochs of a training.

    No option that is searched may change it while the weights stay the same, as a weight of a term in the loss does.

    Attributes:
      name: a number of the history, of the validation: "val_...".
      better: "lower" or "higher".
      keep: the epoch whose weights a training gives back: the "last" or the "best" one of the last phase. Where weights
        are averaged (`Config.average_from`) it gives back their mean, and the last epoch is judged.
      over: the value of an epoch is the mean over so many up to it: the largest of many noisy numbers is mostly noise.
    """

    name: str = "val_loss"
    better: str = "lower"
    keep: str = "last"
    over: int = 1

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.name.replace("val_", "validation ", 1).replace("_", " ")

    def prefers(self, value: float, other: float) -> bool:
        """Whether a value is better than another; no number is never better."""
        return value > other if self.better == "higher" else value < other

    @property
    def worst(self) -> float:
        """What every number is better than."""
        return -math.inf if self.better == "higher" else math.inf

    def given_back(self, history: Sequence[Mapping[str, Any]]) -> int | None:
        """Place in a history of the epoch that its training gave back; None if none of the last phase was validated."""
        own = [n for n, e in enumerate(history) if self.name in e and e.get("phase") == history[-1].get("phase")]
        if not own or self.keep == "last" or "averaged" in history[own[-1]]:
            return own[-1] if own else None
        return (max if self.better == "higher" else min)(own, key=lambda n: self.smoothed(history[: n + 1]))

    def value(self, history: Sequence[Mapping[str, Any]]) -> float:
        """Of the epoch that a training with this history gave back; NaN if it was not validated."""
        if (place := self.given_back(history)) is None:
            return math.nan
        if self.keep == "last" or "averaged" in history[place]:
            return history[place][self.name]
        return self.smoothed(history[: place + 1])

    def smoothed(self, history: Sequence[Mapping[str, Any]]) -> float:
        """Of a history's last epoch: the mean over its phase's last `over`, or those there are; `worst` of none."""
        own = [e[self.name] for e in history if self.name in e and e.get("phase") == history[-1].get("phase")]
        return math.fsum(own[-self.over :]) / len(own[-self.over :]) if own else self.worst
