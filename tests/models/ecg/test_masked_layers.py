"""Layers over time: padding changes nothing, and without any they are the plain layers."""

import keras
import numpy as np
import pytest

from models.ecg.masked_layers import (
    MaskedBatchNormalization,
    MaskedBidirectionalLSTM,
    MaskedConvUnit,
    MaskedMean,
    halved,
)

RNG = np.random.default_rng(0)
FRAMES = np.array([7, 4, 1], "int32")


def maps(*shape, frames=FRAMES) -> np.ndarray:
    """Random maps, float32, zero in the frames that do not count."""
    x = RNG.normal(size=shape).astype("float32")
    x[np.arange(shape[1]) >= frames[:, None]] = 0
    return x


def test_moments_are_of_the_frames_that_count():
    x = maps(3, 9, 5, 4) * 3 + 1  # the frames that do not count hold 1
    layer = MaskedBatchNormalization(momentum=0.75)
    y = np.array(layer(x, FRAMES, training=True))
    true = np.concatenate([one[:n].reshape(-1, 4) for one, n in zip(x, FRAMES, strict=True)]).astype("float64")
    np.testing.assert_allclose(layer.moving_mean, 0.25 * true.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.75 + 0.25 * true.var(0), rtol=1e-5)
    expected = (x - true.mean(0)) / np.sqrt(true.var(0) + 1e-3)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    plain = keras.layers.BatchNormalization(momentum=0.75)
    whole = np.full(3, 9, "int32")
    other = MaskedBatchNormalization(momentum=0.75)
    np.testing.assert_allclose(other(x, whole, training=True), plain(x, training=True), atol=1e-5)
    np.testing.assert_allclose(other(x, whole), plain(x), atol=1e-5)


def test_normalisation_that_is_not_trainable_stays_as_it_is():
    layer = MaskedBatchNormalization()
    x = maps(3, 9, 5, 4)
    layer(x, FRAMES, training=True)
    layer.trainable = False
    before = layer.get_weights()
    y = layer(x, FRAMES, training=True)
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))
    assert np.array_equal(y, layer(x, FRAMES, training=False))


def test_statistics_of_half_precision_are_float32():
    layer = MaskedBatchNormalization(dtype="mixed_float16")
    x = (1000 + maps(3, 40, 30, 2, frames=np.full(3, 40))).astype("float16")
    y = layer(x, np.full(3, 40, "int32"), training=True)
    assert y.dtype == "float16" and np.isfinite(y).all()
    np.testing.assert_allclose(layer.moving_mean, 100, rtol=1e-3)  # their sum is beyond float16


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kernel, strides", [(3, 1), (3, 2), (5, 2)])
def test_a_convolution_does_not_see_the_padding(kernel, strides, training):
    layer = MaskedConvUnit(6, kernel, strides)
    x = maps(3, 7, 5, 2)
    frames = FRAMES if strides == 1 else halved(FRAMES)
    layer(x, frames, training=True)  # other moving statistics than at the start
    expected = np.array(layer(x, frames, training=training))
    assert expected.shape == ((3, 7, 5, 6) if strides == 1 else (3, 4, 3, 6))
    for more in (1, 2, 5):
        padded = np.pad(x, ((0, 0), (0, more), (0, 0), (0, 0)))
        found = np.array(layer(padded, frames, training=training))
        np.testing.assert_allclose(found[:, : expected.shape[1]], expected, atol=1e-5)
        assert not found[:, expected.shape[1] :].any()
    for one, count in zip(expected, np.array(frames), strict=True):
        assert one[:count].any() and not one[count:].any()


def test_dropout_is_for_training_and_for_units_that_train():
    layer = MaskedConvUnit(8, dropout=0.5)
    x = maps(3, 7, 5, 2)
    dropped = [np.mean(np.array(layer(x, FRAMES, training=t))[0] == 0) for t in (False, True)]
    assert dropped[1] > dropped[0] + 0.1
    layer.trainable = False
    assert np.array_equal(layer(x, FRAMES, training=True), layer(x, FRAMES, training=False))


def test_mean_is_of_the_frames_that_count():
    x = maps(3, 7, 4)
    x[1, 5] = np.nan  # of no meaning
    expected = [one[:n].mean(0) for one, n in zip(x, FRAMES, strict=True)]
    np.testing.assert_allclose(MaskedMean()(x, FRAMES), expected, atol=1e-6)
    assert not np.array(MaskedMean()(x, np.zeros(3, "int32"))).any()


@pytest.mark.parametrize("training", [False, True])
def test_both_directions_of_an_lstm_leave_the_padding_out(training):
    layer = MaskedBidirectionalLSTM(3)
    x = maps(3, 9, 4)
    found = np.array(layer(x, FRAMES, training=training))
    for one, given, count in zip(found, x, FRAMES, strict=True):
        alone = layer(given[None, :count], np.array([count]), training=training)
        np.testing.assert_allclose(one[:count], alone[0], atol=1e-6)
    plain = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(found[0, :7], plain(x[:1, :7])[0], atol=1e-6)


def test_cudnn_is_for_training_alone():
    layer = MaskedBidirectionalLSTM(3)
    x = maps(3, 9, 4)
    for training, wanted in ((True, "auto"), (False, False), (None, False)):
        layer(x, FRAMES, training=training)
        assert layer.both.forward_layer.use_cudnn == layer.both.backward_layer.use_cudnn == wanted
