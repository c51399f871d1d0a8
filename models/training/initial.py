"""Weights to start from: those of a pushed model, as far as they fit."""

import json
import pathlib
import warnings

import keras

from models.contract.recipe import Config, ConfigError, Recipe
from models.publishing import pushed


def recipe_of(config: Config) -> str:
    """Name of the recipe whose model `config.init` is; "" without one.

    Raises:
      ConfigError: no model there.
    """
    try:
        return pushed.describe(str(pushed.newest(config.init)))["recipe"] if config.init else ""
    except FileNotFoundError as error:
        raise ConfigError(f"init={config.init}: {error}") from error


def load(recipe: Recipe, model: keras.Model, directory: str, *, whole: bool = True) -> None:
    """Loads the weights of a pushed model: a version folder, or the newest in a folder of versions.

    A model of another recipe gives the layers that both have by name and shape, and the rest starts afresh; a model of
    the same recipe must fit as a whole.

    Args:
      whole: whether `model` is what the recipe builds; one that it only trains with takes the layers it has.

    Raises:
      ConfigError: no model there, or its weights do not fit.
    """
    path = pushed.newest(directory) / pushed.EXTRA / pushed.WEIGHTS
    if not path.is_file():
        raise ConfigError(f"init={directory}: no pushed model there ({path.name} is missing)")
    try:
        about = path.with_name(pushed.ABOUT)
        if not whole or about.is_file() and json.loads(about.read_text(encoding="utf-8"))["recipe"] != recipe.name:
            _load_common(model, path)
        else:
            model.load_weights(path)
    except ValueError as error:
        raise ConfigError(f"init={directory}: its weights do not fit this model: {error}") from error


def _load_common(model: keras.Model, path: pathlib.Path) -> None:
    """Loads what a file of weights has in common with the model; raises ValueError if that is nothing."""
    before = model.get_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras names every layer that does not fit
        model.load_weights(path, skip_mismatch=True)
    loaded = sum(bool((old != new).any()) for old, new in zip(before, model.get_weights(), strict=True))
    if not loaded:
        raise ValueError("no layer is the same")
    print(f"  {loaded} of {len(before)} weights come from another recipe's model", flush=True)
