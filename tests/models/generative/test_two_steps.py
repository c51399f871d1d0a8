"""Both steps of distribution-preserving compression: what is frozen, what a kill changes, generators of every kind."""

import contextlib
import json

import numpy as np
import pytest

from models.contract.recipe import ConfigError
from models.generative import distribution_preserving as dplc
from models.publishing import pushed
from tests.models.generative import small_dplc

pytestmark = pytest.mark.slow


def same(one, two) -> bool:
    return len(one) == len(two) and all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def state(model) -> list:
    return [np.array(v) for v in (*model.weights, *model.optimizer.variables)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training in one go: the model, what was seen of it, its history."""
    folder, watch = tmp_path_factory.mktemp("dplc"), small_dplc.Watch()
    model = small_dplc.train(folder, watch)
    return model, watch, json.loads((folder / "logs" / "history.json").read_text())


def test_step_two_leaves_the_generator_as_it_is_to_the_bit(whole):
    model, watch, history = whole
    assert [entry["phase"] for entry in history] == ["generator", "generator", "code", "code"]
    assert {"mse", "mmd", "score", "distance", "penalty"} <= set(history[0])  # every term by itself
    assert {"mse", "mmd", "val_objective"} <= set(history[-1])
    moving = [w.name for w in model.generator.weights if "moving" in w.name]
    assert len(moving) == 6  # statistics of three normalisations, which are among the weights
    assert same(model.generator.get_weights(), watch.generator)
    assert not any(np.array_equal(a, b) for a, b in zip(model.mapper.get_weights(), watch.others, strict=True))
    assert not hasattr(model, "critic") and not any("critic" in w.path for w in model.weights)


@pytest.mark.parametrize("kills", [(2, 3, 2), (5,), (8,)])
def test_a_killed_training_ends_where_the_whole_one_does(whole, tmp_path, kills):
    for kill in kills:
        with contextlib.suppress(KeyboardInterrupt):
            small_dplc.train(tmp_path, small_dplc.Watch(kill))
    model = small_dplc.train(tmp_path)
    assert same(state(model), state(whole[0]))
    assert len(json.loads((tmp_path / "logs" / "history.json").read_text())) == 4


@pytest.mark.parametrize("generator", ["wae", "wgan_gp"])
def test_parts_of_the_generator_s_training(tmp_path, generator):
    model = small_dplc.train(tmp_path, generator=generator, steps=6, penalty="position")
    history = json.loads((tmp_path / "logs" / "history.json").read_text())
    assert ("score" in history[0]) == (generator != "wae") and ("mse" in history[0]) == (generator == "wae")
    assert all(np.isfinite(list(v for v in entry.values() if not isinstance(v, str))).all() for entry in history)
    assert isinstance(model, dplc.DistributionPreserving)


def test_without_code_channels_there_is_one_step_and_its_generator_is_served(tmp_path):
    model = small_dplc.train(tmp_path, code_channels=0, steps=4)
    config = small_dplc.config(code_channels=0, steps=4)
    _, part, served_config = dplc.served(model, config)
    assert served_config.code_channels == 0 and same(part.generator.get_weights(), model.generator.get_weights())
    assert {w.path.split("/")[0] for w in part.weights} == {part.generator.weights[0].path.split("/")[0]}
    x = small_dplc.pictures()
    assert part(x)["x_hat"].shape == x.shape and np.array_equal(part(x)["latent"], part(x)["prior"])


def test_a_generator_that_is_given_is_taken_as_it_is(tmp_path):
    """One generator for all rates: step one is paid for once."""
    config = small_dplc.config(code_channels=0)
    part = dplc.build(config)
    pushed.save(tmp_path / "model", dplc.RECIPE, config, part)
    given = {"generator": "given", "init": str(tmp_path / "model")}
    model = small_dplc.train(tmp_path, steps=2, **given)
    assert same(model.generator.get_weights(), part.generator.get_weights())
    with pytest.raises(ConfigError, match="has no generator of crop_size=16, channels=2, latents=5"):
        small_dplc.train(tmp_path, steps=2, latents=5, **given)
