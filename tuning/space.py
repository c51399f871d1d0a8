"""Search spaces, read from the options of a configuration: a field with a `Search` is tuned, no second list exists."""

import dataclasses
import typing

import keras_tuner

from models.contract.recipe import Config, ConfigError, Search


def space(config: Config) -> keras_tuner.HyperParameters:
    """The keras-tuner space of a configuration's searchable options.

    Each starts at the configuration's own value; a range or list of choices without that value is extended by it.

    Raises:
      ConfigError: no option of the configuration has a search range.
    """
    parameters = keras_tuner.HyperParameters()
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        if search := field.metadata.get("search"):
            _add(parameters, field.name, hints[field.name], search, getattr(config, field.name))
    if not parameters.space:
        raise ConfigError(f"{type(config).__name__} has no option with a search range: nothing to tune")
    return parameters


def apply(config: Config, values: dict[str, typing.Any]) -> Config:
    """The configuration with a trial's values in place of its own."""
    return dataclasses.replace(config, **values)


def _add(parameters: keras_tuner.HyperParameters, name: str, kind: type, search: Search, value: typing.Any) -> None:
    if search.choices:
        parameters.Choice(name, sorted({*search.choices, value}), default=value)
        return
    if search.low is None or search.high is None:
        raise ConfigError(f"option {name}: a search needs choices, or low and high")
    low, high = kind(min(search.low, value)), kind(max(search.high, value))
    make = parameters.Int if kind is int else parameters.Float
    make(name, low, high, sampling="log" if search.log else "linear", default=value)
