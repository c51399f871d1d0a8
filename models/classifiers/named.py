"""Classifiers that another recipe's options name: a student, a teacher, a network whose examples are weighed."""

import dataclasses
import json

from models.classifiers import classifier
from models.contract import registry
from models.contract.recipe import Config, ConfigError, Recipe


def settings_of(name: str, text: str) -> dict[str, str]:
    """Reads KEY=VALUE,KEY=VALUE; raises ConfigError if it is something else."""
    pairs = [p.partition("=") for p in text.split(",") if p.strip()]
    if not all(equals and key.strip() for key, equals, _ in pairs):
        raise ConfigError(f"{name}={text}: wanted is KEY=VALUE,KEY=VALUE")
    return {key.strip(): value.strip() for key, _, value in pairs}


def classifier_recipe(option_name: str, name: str) -> Recipe:
    """The classifier's recipe that an option names.

    Raises:
      ConfigError: there is none of that name, or it is no classifier.
    """
    known = {n: r for n, r in registry.recipes().items() if r.shape == "classifier"}
    if name not in known:
        raise ConfigError(f"{option_name}={name}: not one of the classifiers {', '.join(known)}")
    return known[name]


def configured(recipe: Recipe, config: classifier.PicturesConfig, settings: str) -> tuple[Recipe, Config]:
    """A recipe with the data and training options of another's configuration, but where a setting says otherwise.

    Args:
      settings: name of the option of `config` that holds the recipe's own options, KEY=VALUE,KEY=VALUE.

    Raises:
      ConfigError: unknown options or values.
    """
    shared = {
        f.name: getattr(config, f.name) for f in dataclasses.fields(classifier.PicturesConfig) if f.name != "init"
    }
    return recipe, recipe.make_config("small", shared | settings_of(settings, getattr(config, settings)))


def check_classes(config, known: Config) -> None:
    """Checks classes and their names, as the data of `config` have them, against those of the model that it names.

    Raises:
      ConfigError: the data have other classes than the model, or in another order.
    """
    if config.classes != known.classes:
        raise ConfigError(
            f"model={config.model}: it tells {known.classes} classes apart, the data have {config.classes}"
        )
    names = [classifier.json_list("class_names", c.class_names) for c in (config, known)]
    if all(names) and names[0] != names[1]:
        raise ConfigError(f"model={config.model}: its classes are {json.dumps(names[1])}, those of the data "
                          f"{json.dumps(names[0])}")  # fmt: skip
