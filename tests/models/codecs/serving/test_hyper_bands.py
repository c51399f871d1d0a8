"""The exact hyper-synthesis in bands and tiles gives the bits of one piece, and streams do not depend on bands."""

import numpy as np
import pytest
import tensorflow as tf

from models.codecs.serving import hyper_bands
from models.codecs.serving.hyper_bands import HyperBands
from models.contract import registry
from models.entropy.coder import header, mixture_coder, rans
from models.layers import fixed_point
from tests.models.kinds import tiny


def server_of(name: str):
    recipe = registry.get(name)
    model = recipe.build(config := recipe.make_config("small", tiny(recipe)))
    network = getattr(model, "hyper_synthesis", None)
    for variable in network.trainable_variables if network else ():  # away from the start, where positions are alike
        variable.assign(np.random.default_rng(1).normal(0, 0.1, variable.shape))
    return recipe.signatures(model, config)


@pytest.mark.parametrize("name", ["hyperprior", "edic", "lapped_hyperprior"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (13, 37), (40, 22)])
@pytest.mark.parametrize("placed", [False, True])
def test_bands_and_tiles_are_the_whole(monkeypatch, name, height, width, placed):
    monkeypatch.setattr(hyper_bands, "BAND", 50)
    monkeypatch.setattr(hyper_bands, "TILE", 3)
    model = server_of(name).payload.model
    sides = -(-height // 4), -(-width // 4)
    z_hat = tf.round(3 * tf.random.stateless_normal([1, *sides, model.config.channels], [1, 2]))
    whole = fixed_point.apply(model.hyper_synthesis, fixed_point.to_fixed(z_hat))[:, :height, :width]
    assert len(np.unique(whole)) > height * width
    offsets = tf.reshape(tf.range(4.0 * 4 * whole.shape[-1]), [4, 4, -1]) if placed else None
    if placed:
        whole += fixed_point.to_fixed(tf.tile(offsets, [-(-height // 4), -(-width // 4), 1]))[:height, :width]
    bands = HyperBands(model.hyper_synthesis, 30, (lambda: offsets) if placed else None)
    size = height * width
    assert np.array_equal(bands.whole(z_hat, height, width), whole)
    window, found = bands.start(tf.constant(height)), []
    for first in range(0, size, 27):  # runs that overlap by three positions, as chunks do that share one
        last = min(first + 30, size)
        given = (tf.constant(n) for n in (height, width, first, last))
        window, values = bands.window(window, z_hat, *given)
        found.append(values[: 27 if last < size else None])
    assert np.array_equal(tf.concat(found, 0)[:size], tf.reshape(whole, [size, -1]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["factorized", "mean_scale_hyperprior", "edic"])
def test_streams_of_bands_and_of_one_band_are_the_same(monkeypatch, name):
    """Several chunks of symbols, whose ends lie within a position."""
    monkeypatch.setattr(mixture_coder, "CHUNK", 600)
    monkeypatch.setattr(rans, "CHUNK", 600)
    server = server_of(name)
    y = 4 * tf.random.stateless_normal([1, 9, 14, server.payload.model.config.latents], [1, 2])
    coded = []
    for band in (hyper_bands.BAND, 20):
        monkeypatch.setattr(hyper_bands, "BAND", band)
        vars(server.payload.latents).pop("bands", None)
        sections, y_hat = server.payload.latents.encode(y)
        assert np.array_equal(server.payload.latents.decode(sections, tf.constant(9), tf.constant(14)), y_hat)
        coded.append([s.numpy() for s in sections])
    assert coded[0] == coded[1]


def test_numbers_of_the_largest_picture_fit_their_types():
    """Positions of 16x16 pixels, sides rounded up; symbols are counted in int32, pixels and their bytes too."""
    positions = max(
        -(-height // 16) * -(-min(header.MAX_PIXELS // height, header.MAX_SIDE) // 16)
        for height in (2048, 2049, 8192, 11585, 16385, header.MAX_SIDE)
    )
    assert positions * 320 < 2**31 and header.MAX_PIXELS * 4 < 2**31
