"""A codec that an option of another system names: a released one, or the path of a pushed one.

What it is made from stands in a second option, so that a model that holds the codec can be built where that is not.
"""

import dataclasses
import json

from models.contract import registry
from models.contract.recipe import Config, ConfigError, Recipe
from models.publishing import pushed, released


def described(option: str, codec: str) -> tuple[Recipe, Config]:
    """The recipe and configuration of a released or pushed codec.

    Args:
      option: what names it, for messages. codec: a released model, or a path.

    Raises:
      ConfigError: there is none, or it has no latents.
    """
    try:
        path = pushed.newest(codec)
        known = codec in released.names()
        said = released.describe(released.path_of(codec)) if known else pushed.describe(str(path))
        recipe = registry.get(said["recipe"])
        config = recipe.config(**said["config"])
    except FileNotFoundError as error:
        raise ConfigError(f"{option}={codec}: no pushed model, no released one and no recipe") from error
    except (ValueError, KeyError, TypeError, LookupError) as error:
        raise ConfigError(f"{option}={codec}: of another version of this project: {error}") from error
    return recipe, with_latents(option, codec, recipe, config)


def with_latents(option: str, codec: str, recipe: Recipe, config: Config) -> Config:
    """The configuration again. Raises ConfigError: it is no image codec with latents."""
    if recipe.shape != "codec":
        raise ConfigError(f"{option}={codec}: {recipe.name}, which is no image codec")
    if not hasattr(config, "lmbda"):
        raise ConfigError(f"{option}={codec}: {recipe.name} is lossless or generative, and has no latents to be read")
    return config


def about(recipe: Recipe, config: Config) -> str:
    """What a codec is made from, as JSON: {"recipe", "config"}."""
    return json.dumps({"recipe": recipe.name, "config": dataclasses.asdict(config)}, sort_keys=True)


def of_about(option: str, text: str) -> tuple[Recipe, Config]:
    """The inverse of `about`, in float32: codes are the same on whatever the networks behind them are trained.

    Raises:
      ConfigError: it is empty.
    """
    if not text:
        raise ConfigError(f"{option}_about is empty: it is taken from the {option} when the data are known")
    said = json.loads(text)
    recipe = registry.get(said["recipe"])
    return recipe, recipe.config(**said["config"] | {"precision": "float32"})


def built(option: str, codec: str, text: str):
    """The codec that `text` tells of, with the weights and tables of `codec`, or fresh ones if that is empty.

    Raises:
      ConfigError: as `described` and `of_about`; or the codec is not the one that `text` tells of.
    """
    recipe, known = of_about(option, text)
    if not codec:
        return recipe.build(known)
    if described(option, codec)[1] != recipe.config(**json.loads(text)["config"]):
        raise ConfigError(f"{option}={codec}: not the {option} that {option}_about tells of")
    if codec in released.names():
        return released.unpack(released.path_of(codec), "float32")[2]
    return pushed.load(str(pushed.newest(codec)), "float32")[2]
