"""Distribution-preserving compression: networks, rates, quantised values, options."""

import dataclasses

import numpy as np
import pytest

from models.contract.recipe import ConfigError
from models.contract.training import Files
from models.generative import distribution_preserving as dplc
from models.generative.generator_game import build_game
from tests.models.generative import small_dplc


@pytest.mark.parametrize("side", [16, 32, 64])
def test_networks_of_every_size_meet_at_sixteen_places(side):
    config = small_dplc.config(crop_size=side)
    model, game = dplc.build(config), build_game(config)
    x = np.random.default_rng(1).uniform(size=(8, side, side, 3)).astype("float32")
    assert model.symbols(x).shape == (8, 4, 4, 3) and model.trunk.output_shape == (None, 4, 4, config.features)
    found = model(x, training=True)
    assert found["x_hat"].shape == x.shape and np.ptp(found["x_hat"]) > 0
    assert found["latent"].shape == found["prior"].shape == (8, 6)
    assert game.critic(2 * x - 1).shape == (8, 1) and game(x, training=False)["x_hat"].shape == x.shape


@pytest.mark.parametrize(("channels", "bpp"), [(0, 0.0), (2, 2**-7), (8, 2**-5), (32, 0.125), (128, 0.5)])
def test_rates_are_those_of_the_paper(channels, bpp):
    config = dplc.RECIPE.make_config("paper", {"code_channels": channels})
    assert config.bits / config.crop_size**2 == bpp and config.noise_channels == 8
    assert dataclasses.replace(config, levels=4).bits == 2 * config.bits


def test_values_are_quantised_to_the_middles_of_cells_that_the_noise_fills():
    config = small_dplc.config()
    model = dplc.build(config)
    assert np.allclose(model.quantizer.centres[:, 0], [-0.5, 0.5]) and config.reach == 0.5
    four = dplc.build(small_dplc.config(levels=4))
    assert np.allclose(four.quantizer.centres[:, 0], [-0.75, -0.25, 0.25, 0.75]) and four.config.reach == 0.25
    assert model.fixed_noise.shape[1:] == (4, 4, 1) and 0.4 < abs(model.fixed_noise).max() <= 0.5
    x = small_dplc.pictures()
    assert np.array_equal(model(x, training=False)["x_hat"], model(x, training=False)["x_hat"])
    first, second = (np.array(model(x, training=True)["latent"]) for _ in range(2))
    assert not np.array_equal(first, second)  # drawn anew


def test_the_twin_for_the_error_alone_has_no_noise_no_discrepancy_and_nothing_frozen():
    config = small_dplc.config(mse_only=True)
    model, x = dplc.build(config), small_dplc.pictures()
    assert config.noise_channels == 0 and model.mapper.input_shape[-1] == config.code_channels
    (phase,) = dplc.phases(config, Files([], [], "", ""))
    assert phase.steps == config.steps and not phase.frozen(model)
    found = model(x, training=False)
    root = np.sqrt(4 * np.mean((found["x_hat"] - x) ** 2))
    np.testing.assert_allclose(model.compute_loss(x, None, found, training=False), root, rtol=1e-5)


@pytest.mark.parametrize(("options", "message"), [
    ({"crop_size": 48}, "crop_size=48: must be a power of two"),
    ({"generator": "given"}, "generator=given: say with init"),
    ({"code_channels": 0, "mse_only": True}, "code_channels=0: nothing is sent"),
    ({"code_channels": 129}, "code_channels=129: must be between 0 and 128"),
    ({"levels": 3}, "levels=3: not one of 2, 4, 8, 16"),
    ({"generator_share": 1.0}, "nothing is left for step two"),
])  # fmt: skip
def test_options_that_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        small_dplc.config(**options)
