"""The contract of a system: one file below models/ whose last lines say `RECIPE = Recipe(...)`.

A recipe ties together a frozen configuration, the function that builds the Keras model, its input pipeline, the
signatures that are served and the metrics that bless it. The pipeline, the tuner, the tests and the command line know
systems only through this contract.
"""

import dataclasses
import difflib
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

from models.contract.errors import KompaktError
from models.contract.training import Judge


class ConfigError(KompaktError, ValueError):
    """A configuration that cannot be used; the message says which option and what is valid."""


@dataclasses.dataclass(frozen=True)
class Search:
    """Where the tuner looks for an option's value: an interval (`low`, `high`) or a list of `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple = ()


def option(
    default: Any,
    about: str,
    *,
    search: Search | None = None,
    choices: tuple = (),
    low: float | None = None,
    high: float | None = None,
    is_model: bool = False,
    in_fingerprint: bool = True,
) -> Any:
    """A field of a configuration: its default, what it means with its unit, its valid values and its search range.

    With `is_model` the value may be the path of a model; what lies there then decides the result, not the path alone.
    What is not `in_fingerprint` changes nothing of what one such model must have in common with another to read it.
    """
    metadata = {"about": about, "search": search, "choices": choices, "low": low, "high": high, "is_model": is_model,
                "in_fingerprint": in_fingerprint}  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """The options that every system has: those of its training."""

    steps: int = option(2000, "training steps (batches)", low=1)
    steps_per_epoch: int = option(200, "steps between two validations, log points and checkpoints", low=1)
    batch_size: int = option(8, "examples a step over all replicas", low=1)
    learning_rate: float = option(
        1e-3, "peak of the schedule (linear warm-up, then cosine)", search=Search(1e-4, 2e-3, log=True), low=0.0
    )
    warmup_fraction: float = option(0.02, "part of the steps in which the learning rate rises", low=0.0, high=1.0)
    final_rate_fraction: float = option(0.02, "last learning rate over the peak", low=0.0, high=1.0)
    gradient_clip_norm: float = option(1.0, "global norm above which gradients are scaled down", low=0.0)
    precision: str = option(
        "auto",
        "arithmetic of the layers: auto is mixed_float16 on a GPU and float32 elsewhere",
        choices=("auto", "float32", "mixed_float16", "mixed_bfloat16"),
    )
    seed: int = option(1, "seed of the initial weights, the data order and the training noise", low=0)
    optimizer: str = option("adam", "adam, or sgd with Nesterov's momentum", choices=("adam", "sgd"))
    momentum: float = option(0.9, "of sgd", low=0.0, high=1.0)
    average_from: float = option(
        1.0, "part of a phase's steps behind which the weights of epochs are averaged (1: none)", low=0.0, high=1.0
    )
    weight_decay: float = option(0.0, "part of each weight taken off a step, times the learning rate", low=0.0)
    init: str = option(
        "", "a pushed model whose weights training starts from, as far as they fit; empty: fresh ones", is_model=True
    )

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name), hints[field.name]))


def _checked(field: dataclasses.Field, value: Any, kind: type) -> Any:
    """Returns the value in the field's type, or raises ConfigError: a wrong type, choice or interval."""
    value = _converted(field.name, value, kind)
    allowed, low, high = (field.metadata.get(k) for k in ("choices", "low", "high"))
    if allowed and value not in allowed:
        near = difflib.get_close_matches(str(value), [str(a) for a in allowed], 1, 0)
        raise ConfigError(f"{field.name}={value}: not one of {', '.join(map(str, allowed))} (nearest: {near[0]})")
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ConfigError(f"{field.name}={value}: must be {bounds}")
    return value


def _converted(name: str, value: Any, kind: type) -> Any:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    try:
        if kind is bool and isinstance(value, str):
            return words[value.lower()]
        if kind is int and isinstance(value, str):
            return int(value)
        if kind is float and not isinstance(value, bool):
            value = float(value)
            if value != value or value in (float("inf"), float("-inf")):
                raise ValueError(value)
            return value
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"{name}={value}: not a valid {kind.__name__}") from None
    if type(value) is not kind:
        raise ConfigError(f"{name}={value!r}: must be of type {kind.__name__}, not {type(value).__name__}")
    return value


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number of a set of examples that is reported, and what of it blesses a model.

    Attributes:
      name: of the number; where `aggregate` is "mean" and has no arguments, the output of `serving_default` it is of.
      unit: as it is printed ("dB", "bpp", "" if dimensionless).
      better: "higher" or "lower".
      lower_bound, upper_bound: what the evaluation split gives must lie within them (None: no bound).
      tolerance: how much worse than the last pushed model it may be, in its unit (None: not compared).
      aggregate: how the outputs of `serving_default` for the examples become one number: the name of a file in
        components/evaluation/aggregates/. Where there is an output `label` of one number an example, examples with
        label -1 have none and are left out of everything.
      arguments: of the aggregate, as JSON has them.
      title: what tables call it (empty: its name).
      detail: whether it is one of many that only a table of their own shows, left out of summaries.
    """

    name: str
    unit: str
    better: str
    lower_bound: float | None = None
    upper_bound: float | None = None
    tolerance: float | None = None
    aggregate: str = "mean"
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    title: str = ""
    detail: bool = False


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How a model is judged.

    Attributes:
      metrics: what is measured and bounded.
      slices: record features by whose values the metrics are also reported.
      comparable: options that must be equal before a model is compared with an earlier one (two codecs at different
        rate points are no better or worse than each other).
    """

    metrics: tuple[Metric, ...]
    slices: tuple[str, ...] = ()
    comparable: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One system of the literature, ready to train, tune, evaluate and serve.

    Attributes:
      name: what the command line calls it.
      shape: which pipeline trains it, the name of a file in pipeline/shapes/.
      summary: one line with the paper.
      config: subclass of `Config`.
      presets: option values by preset name; "small" trains on two cores, "paper" has the paper's sizes.
      build: config -> keras.Model, with every variable made and `compute_loss` of its own.
      inputs: (files, config, training) -> tf.data.Dataset of batches; infinite and shuffled when training.
      signatures: (model, config) -> tf.Module with `functions`, name -> tf.function, that are saved as signatures, and
        an integer `fingerprint`; one function is `serving_default`: examples string [B] -> dict of [B, 1] and, for
        aggregates that take more than a number an example, of [B, ...]. A codec's has `tables` and `reads` as well
        (`models.codecs.serving.server`).
      evaluation: what is measured and what blesses a model.
      adapt: (config, training files) -> config, with the options filled in that the data decide (the number of classes,
        say); called once, before the model is built.
      served: (model, config) -> (recipe, model, config) of what is exported: a part of the trained model, if not all.
      beside: (model, config, training files, folder) -> None: writes what else the options ask for into the folder of
        the exported model that TensorFlow leaves alone. Where a part of the model is served, the part's recipe is asked
        first, then the one that was trained.
      labelled: whether its records need class labels.
      data: what its records are of, "pictures" or "recordings" (`components.kinds`).
      judge: by what trials of a search are compared, and which epoch a training gives back.
      phases: (config, Files) -> generator of the `Phase`s of its training, which is sent the model that each has left;
        one phase if nothing is said.
      compile: (model, config) -> None, with `model.compile` and optimizers of its own: one, or several as
        `models.training.optimizers.Optimizers`; one as the configuration describes it if nothing is said.
      callbacks: (model, config, Files) -> Keras callbacks of a phase that see the model, the options and the data.
      report: what the page of a run shows of the model, names of files in components/report/sections/, in their order.
      batching: whether a server may put the requests of several clients into one batch.
    """

    name: str
    shape: str
    summary: str
    config: type[Config]
    presets: Mapping[str, Mapping[str, Any]]
    build: Callable
    inputs: Callable
    signatures: Callable
    evaluation: Evaluation
    adapt: Callable = lambda config, files: config
    served: Callable | None = None
    beside: Callable | None = None
    labelled: bool = False
    data: str = "pictures"
    judge: Judge = Judge()
    phases: Callable | None = None
    compile: Callable | None = None
    callbacks: Callable | None = None
    report: tuple[str, ...] = ()
    batching: bool = True
    source: str = dataclasses.field(default_factory=lambda: sys._getframe(2).f_globals.get("__file__", "?"))

    def make_config(self, preset: str = "small", overrides: Mapping[str, Any] | None = None) -> Config:
        """The configuration of a preset with single options replaced.

        Args:
          preset: a key of `presets`.
          overrides: option name -> value, as Python values or as text ("128", "true").

        Raises:
          ConfigError: unknown preset or option (the nearest valid name is given), or an unusable value.
        """
        if preset not in self.presets:
            raise ConfigError(f"{self.name} has no preset '{preset}'; it has {', '.join(self.presets)}")
        values = dict(self.presets[preset]) | dict(overrides or {})
        known = [f.name for f in dataclasses.fields(self.config)]
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1, 0)
                raise ConfigError(f"{self.name} has no option '{name}'; the nearest is '{near[0]}'")
        return self.config(**values)
