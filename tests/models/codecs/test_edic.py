"""EDIC: its parts can be switched, the coder's integers are the network's numbers, tiles do not show."""

import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from models.layers.attention import ChannelAttention
from models.layers.enhancement import Enhancement
from tests.models.kinds import KINDS, photograph

EDIC = registry.get("edic")


def built(**options):
    """Model, configuration and server of an untrained codec."""
    config = EDIC.make_config("small", KINDS["codec"].tiny | options)
    model = EDIC.build(config)
    return model, config, EDIC.signatures(model, config)


def has(network, kind) -> int:
    """How many layers of a kind a network has."""
    return sum(isinstance(layer, kind) for layer in network.layers)


@pytest.mark.parametrize(
    "options",
    [
        {"attention": False, "components": 1, "enhancement": "off"},
        {"attention": False, "components": 5, "enhancement": "full"},
        {"components": 2, "head_width": 3},
    ],
)
def test_every_part_can_be_switched_and_codes_exactly(options):
    model, config, server = built(**options)
    assert has(model.analysis, ChannelAttention) == 2 * config.attention
    assert has(model.synthesis, Enhancement) == (config.enhancement != "off")
    assert model.hyper_synthesis.output_shape[-1] == (2 + (config.components > 1)) * config.components * config.latents
    y = 30 * tf.random.stateless_normal([1, 5, 7, config.latents], [1, 2])
    sections, y_hat = server.payload.latents.encode(y)
    assert np.abs(y_hat - y).max() <= 1 and np.array_equal(y_hat, np.rint(y_hat))
    assert np.array_equal(server.payload.latents.decode(sections, 5, 7), y_hat)
    assert np.isfinite(server.payload.latents.estimated_bits(y, y_hat)).all()


@pytest.mark.parametrize("components", [1, 3])
def test_the_coder_sees_the_networks_mixtures(components):
    """In fixed point: means to a twentieth, levels to an eighth, logits to a hundredth, and all to a thousandth."""
    model, config, server = built(components=components)
    for variable in model.hyper_synthesis.trainable_variables:  # away from the start, where all components are alike
        variable.assign(np.array(variable) + 0.01)
    z_hat = tf.round(3 * tf.random.stateless_normal([1, 2, 3, config.channels], [3, 4]))
    real = [np.array(p) for p in model.split(tf.cast(model.hyper_synthesis(z_hat), tf.float32)[:, :7, :11])]
    integers = [np.array(p) for p in server.payload.latents.mixtures(server.payload.latents.parameters(z_hat, 7, 11))]
    units, tolerances = (256, 4, 256), (0.05, 0.126, 0.01)
    assert np.abs(real[0]).max() > 1
    for values, found, unit, tolerance in zip(real, integers, units, tolerances, strict=True):
        expected = values.transpose(3, 0, 1, 2, 4).reshape(components, -1)
        assert (np.abs(found / unit - expected) < tolerance + 1e-3 * np.abs(expected)).all()


def test_tiles_of_the_synthesis_do_not_show(monkeypatch):
    model, _, server = built()
    model.synthesis.layers[-1].last.kernel.assign(
        0.2 * np.random.default_rng(0).normal(size=model.synthesis.layers[-1].last.kernel.shape)
    )
    size = 16 * 14, 16 * 19
    y_hat = tf.round(server.payload.analyse(tf.constant(photograph(*size))))
    whole = server.payload.synthesise(y_hat, *size).numpy().astype(int)
    monkeypatch.setattr(server.payload, "tile", 5)
    assert np.abs(server.payload.synthesise(y_hat, *size).numpy() - whole).max() <= 1


def test_small_and_paper_sizes():
    small, paper = EDIC.make_config("small"), EDIC.make_config("paper")
    assert (small.channels, small.latents) == (64, 192) and (paper.channels, paper.latents) == (128, 192)
    assert paper.components == 3 and paper.enhancement == "half" and paper.attention
