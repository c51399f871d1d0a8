"""Search spaces follow the options' own `Search` metadata."""

import dataclasses

import keras_tuner
import pytest

from models.contract.recipe import Config, ConfigError, Search, option
from tuning import space


@dataclasses.dataclass(frozen=True)
class Searched(Config):
    width: int = option(8, "filters", search=Search(choices=(8, 16)))
    depth: int = option(2, "blocks", search=Search(1, 4))
    name: str = option("a", "not tuned")


@dataclasses.dataclass(frozen=True)
class Fixed(Config):
    learning_rate: float = option(1e-3, "not tuned here")


def test_space_has_the_searched_options_and_starts_at_the_configuration():
    found = space.space(Searched(width=16, depth=3, learning_rate=5e-4))
    assert found.values == {"learning_rate": 5e-4, "width": 16, "depth": 3}
    kinds = {p.name: type(p) for p in found.space}
    parts = keras_tuner.engine.hyperparameters
    assert kinds == {"learning_rate": parts.Float, "width": parts.Choice, "depth": parts.Int}
    (rate,) = (p for p in found.space if p.name == "learning_rate")
    assert (rate.min_value, rate.max_value, rate.sampling) == (1e-4, 2e-3, "log")


def test_a_value_outside_its_range_extends_it():
    found = space.space(Searched(learning_rate=1.0, depth=9, width=5))
    assert found.values == {"learning_rate": 1.0, "depth": 9, "width": 5}
    limits = {p.name: p for p in found.space}
    assert limits["depth"].max_value == 9 and limits["depth"].min_value == 1
    assert limits["width"].values == [5, 8, 16]


def test_values_are_applied_and_checked():
    config = Searched()
    assert space.apply(config, {"width": 16}) == Searched(width=16)
    with pytest.raises(ConfigError):
        space.apply(config, {"learning_rate": -1.0})


def test_nothing_to_tune_is_an_error():
    with pytest.raises(ConfigError, match="nothing to tune"):
        space.space(Fixed())


def test_every_recipe_can_be_tuned():
    from models.contract import registry

    for recipe in registry.recipes().values():
        for preset in recipe.presets:
            config = recipe.make_config(preset)
            assert type(space.apply(config, space.space(config).values)) is recipe.config
