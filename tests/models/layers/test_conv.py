"""Convolutions: shapes, the order of sub-pixels, and what a masked one may see."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers.conv import MaskedConv2D, MaskedConv3D, SubPixelConv2D, depth_to_space, downsample, upsample

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("height, width", [(8, 6), (7, 5), (1, 1)])
def test_strided_shapes(height, width):
    x = RNG.normal(size=(2, height, width, 3)).astype("float32")
    assert downsample(4)(x).shape == (2, -(-height // 2), -(-width // 2), 4)
    assert upsample(4)(x).shape == (2, 2 * height, 2 * width, 4)


@pytest.mark.parametrize("factor", [2, 3])
def test_depth_to_space_is_tensorflows(factor):
    x = RNG.normal(size=(2, 3, 5, 4 * factor**2)).astype("float32")
    assert np.array_equal(depth_to_space(x, factor), tf.nn.depth_to_space(x, factor))


def test_sub_pixel_convolution():
    x = RNG.normal(size=(2, 4, 5, 3)).astype("float32")
    layer = SubPixelConv2D(6, kernel=3, factor=2)
    y = layer(x)
    assert y.shape == (2, 8, 10, 6)
    assert np.allclose(y[:, 1::2, ::2], layer.conv(x)[..., 12:18], atol=1e-6)  # third of the four phases
    again = SubPixelConv2D.from_config(layer.get_config())
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    assert np.array_equal(again(x), y)


def test_sub_pixel_convolution_takes_pictures_of_any_size():
    model = keras.Sequential([keras.Input((None, None, 3)), SubPixelConv2D(5)])
    assert model.output_shape == (None, None, None, 5)
    for side in (3, 6):
        x = RNG.normal(size=(1, side, side + 1, 3)).astype("float32")
        assert model.predict(x, verbose=0).shape == (1, 2 * side, 2 * side + 2, 5)


def outputs_that_see(layer, row: int, column: int, side: int = 9) -> np.ndarray:
    """Positions, bool [side, side], whose output changes with the input at (row, column)."""
    x = RNG.normal(size=(1, side, side, 2)).astype("float32")
    changed = x.copy()
    changed[0, row, column] += 1
    return np.any(np.array(layer(x)) != np.array(layer(changed)), axis=-1)[0]


@pytest.mark.parametrize("row, column", [(4, 4), (0, 0), (8, 8), (2, 7)])
def test_masked_convolution_sees_only_the_past(row, column):
    seen_by = outputs_that_see(MaskedConv2D(3, 5), row, column)
    positions = np.arange(81).reshape(9, 9)
    assert not seen_by[positions <= row * 9 + column].any()
    near = (abs(np.arange(9) - column) <= 2)[None] & ((np.arange(9) >= row) & (np.arange(9) <= row + 2))[:, None]
    assert np.array_equal(seen_by, near & (positions > row * 9 + column))


def test_taps_are_the_positions_that_the_kernel_sees():
    layer = MaskedConv2D(1, 5)
    assert layer.taps == [(r, c) for r in (-2, -1) for c in range(-2, 3)] + [(0, -2), (0, -1)]
    x = RNG.normal(size=(1, 7, 7, 1)).astype("float32")
    y = np.array(layer(x))
    kernel = np.array(layer.kernel)
    expected = sum(x[0, 3 + r, 3 + c, 0] * kernel[2 + r, 2 + c, 0, 0] for r, c in layer.taps)
    assert abs(y[0, 3, 3, 0] - expected) < 1e-5


def test_masked_convolution_round_trips_and_trains_no_masked_weight():
    layer = MaskedConv2D(2, 5, name="m")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, MaskedConv2D) and again.get_config() == layer.get_config()
    x = tf.constant(RNG.normal(size=(1, 7, 7, 2)), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(x)))
    g = np.array(tape.gradient(loss, layer.kernel.value))
    hidden = np.broadcast_to(layer.mask == 0, g.shape)
    assert not g[hidden].any() and (g[~hidden] != 0).all()


@pytest.mark.parametrize("sees_centre", [False, True])
def test_a_masked_convolution_over_volumes_sees_what_its_taps_say(sees_centre):
    layer = MaskedConv3D(2, sees_centre=sees_centre, bias_initializer="normal")
    x = RNG.normal(size=(1, 4, 6, 7, 3)).astype("float32")
    y = np.array(layer(x))
    assert y.shape == (1, 3, 4, 5, 2) and len(layer.taps) == 13 + sees_centre
    assert all(s == -1 or (r, c) <= (0, 0 if sees_centre else -1) for s, r, c in layer.taps)
    kernel = np.array(layer.kernel)
    expected = sum(x[0, 2 + s, 3 + r, 4 + c] @ kernel[1 + s, 1 + r, 1 + c] for s, r, c in layer.taps)
    np.testing.assert_allclose(y[0, 1, 2, 3], expected + np.array(layer.bias), atol=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, MaskedConv3D) and again.get_config() == layer.get_config()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(tf.constant(x))))
    g = np.array(tape.gradient(loss, layer.kernel.value))
    hidden = np.broadcast_to(layer.mask == 0, g.shape)
    assert not g[hidden].any() and (g[~hidden] != 0).all()
