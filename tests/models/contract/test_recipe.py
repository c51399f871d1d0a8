"""Options: what they accept, what they refuse, and what they say then."""

import dataclasses

import pytest

from models.contract.recipe import Config, ConfigError, Evaluation, Metric, Recipe, option


@dataclasses.dataclass(frozen=True)
class Options(Config):
    """A configuration with an option of every kind."""

    width: int = option(8, "filters", low=1, high=64)
    mode: str = option("fast", "how", choices=("fast", "slow"))
    bias: bool = option(True, "whether there is one")


RECIPE_OF_TESTS = Recipe(
    name="line", shape="test", summary="-", config=Options, presets={"small": {"width": 16}, "paper": {}},
    build=print, inputs=print, signatures=print, evaluation=Evaluation((Metric("mse", "", "lower"),)),
)  # fmt: skip


def test_presets_and_overrides():
    assert RECIPE_OF_TESTS.make_config().width == 16
    assert RECIPE_OF_TESTS.make_config("paper").width == 8
    assert RECIPE_OF_TESTS.make_config("small", {"width": 4}).width == 4
    assert RECIPE_OF_TESTS.source == __file__


def test_values_may_be_text():
    texts = {"width": "4", "learning_rate": "1e-3", "bias": "no", "mode": "slow"}
    config = RECIPE_OF_TESTS.make_config("small", texts)
    assert (config.width, config.learning_rate, config.bias, config.mode) == (4, 1e-3, False, "slow")
    assert RECIPE_OF_TESTS.make_config("small", {"learning_rate": 0}).learning_rate == 0.0


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"widht": 4}, "line has no option 'widht'; the nearest is 'width'"),
        ({"": 4}, "line has no option ''; the nearest is"),
        ({"width": 0}, "width=0: must be between 1 and 64"),
        ({"width": 65}, "width=65: must be between 1 and 64"),
        ({"width": 4.0}, "width=4.0: must be of type int, not float"),
        ({"width": True}, "width=True: must be of type int, not bool"),
        ({"width": "4.5"}, "width=4.5: not a valid int"),
        ({"steps": 0}, "steps=0: must be at least 1"),
        ({"learning_rate": "inf"}, "learning_rate=inf: not a valid float"),
        ({"learning_rate": True}, "learning_rate=True: must be of type float, not bool"),
        ({"learning_rate": [1]}, "learning_rate=.*: not a valid float"),
        ({"bias": "perhaps"}, "bias=perhaps: not a valid bool"),
        ({"bias": 1}, "bias=1: must be of type bool, not int"),
        ({"mode": "fats"}, r"mode=fats: not one of fast, slow \(nearest: fast\)"),
        ({"init": 3}, "init=3: must be of type str, not int"),
    ],
)
def test_what_is_refused_is_named(overrides, message):
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        RECIPE_OF_TESTS.make_config("small", overrides)
    assert "\n" not in str(caught.value)


def test_unknown_presets_list_the_known_ones():
    with pytest.raises(ConfigError, match="line has no preset 'big'; it has small, paper"):
        RECIPE_OF_TESTS.make_config("big")


def test_configurations_are_frozen_values():
    config = Options()
    assert config == Options(**dataclasses.asdict(config)) and hash(config) == hash(Options())
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.width = 3
