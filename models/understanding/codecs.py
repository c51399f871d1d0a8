"""The codec whose codes are read: released, pushed, or trained first by its own recipe."""

from models.classifiers.named import settings_of
from models.codecs import chosen
from models.contract import registry
from models.contract.recipe import Config, ConfigError, Recipe
from models.publishing import released

about = chosen.about


def is_released(config) -> bool:
    """Whether the codec is one that comes with the project; a recipe of that name is trained if it has settings."""
    return config.codec in released.names() and not config.codec_settings


def is_trained_first(config) -> bool:
    """Whether the codec is a recipe to be trained, not one that exists."""
    return config.codec in registry.modules().values() and not is_released(config)


def recipe_to_train(config) -> tuple[Recipe, Config]:
    """The recipe and configuration of a codec that is trained first: its small preset with `codec_settings`.

    Raises:
      ConfigError: it is no codec with latents, or has no such options.
    """
    recipe = registry.get(config.codec)
    settings = {"seed": config.seed} | settings_of("codec_settings", config.codec_settings)
    return recipe, chosen.with_latents("codec", config.codec, recipe, recipe.make_config("small", settings))


def described(codec: str) -> tuple[Recipe, Config]:
    """The recipe and configuration of a released or pushed codec.

    Raises:
      ConfigError: there is none, or it has no latents.
    """
    return chosen.described("codec", codec)


def built(config):
    """The codec of a configuration, with its weights and tables where `codec` says where they are; else fresh ones.

    Raises:
      ConfigError: as `described` and `of_about`; or the codec is not the one that `codec_about` tells of.
    """
    if is_trained_first(config):
        raise ConfigError(f"codec={config.codec}: a recipe; outside the pipeline give a pushed or released codec")
    return chosen.built("codec", config.codec, config.codec_about)


def of_about(text: str) -> tuple[Recipe, Config]:
    """The inverse of `about`; raises as `chosen.of_about`."""
    return chosen.of_about("codec", text)


def depth_of(config: Config) -> int:
    """Numbers of a place of what a codec's streams hold: channels of latents, or of vectors the numbers of each."""
    return config.latents * getattr(config, "dimension", 1)
