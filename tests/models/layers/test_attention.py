"""Channel attention: what it computes, how it starts, half precision."""

import keras
import numpy as np

from models.layers.attention import ChannelAttention


def test_scales_each_channel_by_what_the_whole_picture_says():
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 12)).astype("float32")
    layer = ChannelAttention(reduction=4)
    layer(x)
    for variable in layer.weights:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    w1, b1, w2, b2 = (np.array(w) for w in layer.weights)
    gate = 2 / (1 + np.exp(-(np.maximum(x.mean((1, 2)) @ w1 + b1, 0) @ w2 + b2)))
    assert w1.shape == (12, 8)
    assert np.allclose(layer(x), x * gate[:, None, None], rtol=1e-4, atol=1e-5)


def test_starts_close_to_the_identity():
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 64)).astype("float32")
    assert np.allclose(ChannelAttention()(x), x, rtol=0.02)


def test_half_precision_takes_the_mean_in_full():
    x = np.full((1, 300, 300, 8), 100.0, "float16")
    layer = ChannelAttention(dtype="mixed_float16")
    out = np.array(layer(x))
    assert out.dtype == "float16" and np.isfinite(out).all()


def test_round_trips_through_its_configuration():
    layer = ChannelAttention(reduction=3, name="a")
    assert keras.layers.deserialize(keras.layers.serialize(layer)).get_config() == layer.get_config()
