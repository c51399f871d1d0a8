"""The network for faces that is aligned: a pushed one, or one that is trained first."""

import dataclasses
import json
import pathlib
from typing import NamedTuple

import keras

from models.classifiers.named import settings_of
from models.contract import registry
from models.contract.recipe import Config, ConfigError, Recipe
from models.publishing import pushed

SHAPE = "face"


class Original(NamedTuple):
    """A pushed network: its recipe, configuration and fingerprint (hex), and where it lies."""

    recipe: Recipe
    config: Config
    fingerprint: str
    place: pathlib.Path


def is_trained_first(config) -> bool:
    """Whether the model is a recipe to be trained, not one that exists."""
    return config.model in registry.modules().values()


def recipe_to_train(config) -> tuple[Recipe, Config]:
    """The recipe and configuration of a network that is trained first: its small preset, with `model_settings`.

    Raises:
      ConfigError: no network for faces, or unknown options.
    """
    recipe = _faces("model", config.model, config.model)
    shared = {name: getattr(config, name) for name in ("precision", "seed")}
    return recipe, recipe.make_config("small", shared | settings_of("model_settings", config.model_settings))


def described(path: str) -> Original:
    """What a pushed network for faces says of itself.

    Raises:
      ConfigError: there is none at the path.
    """
    about, recipe, config = pushed.chosen("model", path)
    return Original(_faces("model", path, recipe.name), config, about["fingerprint"], pushed.newest(path))


def load(found: Original) -> keras.Model:
    """The network with its weights.

    Raises:
      ConfigError: they are not there.
    """
    model = found.recipe.build(dataclasses.replace(found.config, precision="float32"))
    try:
        model.load_weights(found.place / pushed.EXTRA / pushed.WEIGHTS)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model={found.place}: its weights cannot be read: {error}") from error
    return model


def kept(found: Original) -> str:
    """Recipe and configuration as a text that `again` reads, so that a network can be made anew without its folder."""
    return json.dumps({"recipe": found.recipe.name, "config": dataclasses.asdict(found.config)}, sort_keys=True)


def again(text: str) -> tuple[Recipe, Config]:
    """The recipe and configuration that `kept` told."""
    said = json.loads(text)
    recipe = _faces("network", text, said["recipe"])
    return recipe, recipe.config(**said["config"])


def _faces(option: str, value: str, name: str) -> Recipe:
    recipe = registry.get(name)
    if recipe.shape != SHAPE:
        raise ConfigError(f"{option}={value}: {recipe.name}, which is no network for faces as they are trained")
    return recipe
