"""The classifier that is compressed: a pushed one, or one that is trained first."""

import dataclasses

import keras

from models.classifiers.named import classifier_recipe, configured, settings_of
from models.contract import registry
from models.contract.recipe import Config, ConfigError, Recipe
from models.publishing import pushed


def is_trained_first(config) -> bool:
    """Whether the model is a recipe to be trained, not one that exists."""
    return config.model in registry.modules().values()


def recipe_to_train(config) -> tuple[Recipe, Config]:
    """The recipe and configuration of a model that is trained first, with the data and training options of the run.

    Raises:
      ConfigError: no such classifier, or unknown options.
    """
    return configured(classifier_recipe("model", config.model), config, "model_settings")


def described(path: str) -> tuple[Recipe, Config]:
    """The recipe and configuration of a pushed classifier.

    Raises:
      ConfigError: there is none at the path, or it cannot be compressed.
    """
    _, recipe, config = pushed.chosen("model", path)
    if recipe.shape != "classifier":
        raise ConfigError(f"model={path}: {recipe.name}, which is no classifier of pictures")
    if config.budget:
        raise ConfigError(f"model={path}: its matrices are of -1, 0 and 1 already, and packed in its ternary.npz")
    return recipe, config


def load(path: str, precision: str = "float32") -> tuple[Recipe, Config, keras.Model]:
    """A pushed classifier with its weights, and the arithmetic that is asked for.

    Raises:
      ConfigError: as `described`, or its weights are not there.
    """
    recipe, config = described(path)
    model = recipe.build(dataclasses.replace(config, precision=precision))
    try:
        model.load_weights(pushed.newest(path) / pushed.EXTRA / pushed.WEIGHTS)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model={path}: its weights cannot be read: {error}") from error
    return recipe, config, model


def check(config) -> None:
    """Raises ConfigError if the options of the model are no options."""
    settings_of("model_settings", config.model_settings)
    if is_trained_first(config):
        recipe_to_train(config)
