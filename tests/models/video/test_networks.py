"""Warping and finding motion: conventions that must agree, and that motion which is known is found."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.video import motion, networks
from tests.models.examples import photograph


def picture(height=24, width=32):
    return (photograph(height, width, 60)[None] / 255).astype("float32")


@pytest.mark.parametrize("right, down", [(0, 0), (3, 0), (-2, 5), (40, -40)])
def test_whole_pixels_are_moved_as_they_are_and_the_edge_goes_on(right, down):
    x = picture()
    flow = np.zeros((1, 24, 32, 2), "float32") + np.float32([right, down])
    rows, columns = np.clip(np.arange(24) + down, 0, 23), np.clip(np.arange(32) + right, 0, 31)
    assert np.array_equal(networks.warp(x, flow), x[:, rows][:, :, columns])


def test_parts_of_pixels_are_interpolated():
    x = picture()
    found = np.array(networks.warp(x, np.full((1, 24, 32, 2), 0.25, "float32")))[0, :-1, :-1]
    expected = 0.75 * (0.75 * x[0, :-1, :-1] + 0.25 * x[0, :-1, 1:]) + 0.25 * (
        0.75 * x[0, 1:, :-1] + 0.25 * x[0, 1:, 1:]
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_known_motion_has_the_sign_and_the_places_of_the_warp():
    """Turned, zoomed and shifted: where it can be seen, the reference warped along the known flow is the frame."""
    back, front = (tf.constant(picture(48, 48)[0, :, ::step]) for step in (1, -1))
    whole = motion.Motions(whole=True)  # else the frame itself is interpolated, and not alike
    moves = 0.0
    for n in range(4):
        frames, flows, visible = motion.scene(back, front, 32, 2, tf.constant([n, 7], tf.int64), whole)
        warped = networks.warp(frames[:1], flows)[0].numpy()
        moves = max(moves, np.abs(flows).max())
        assert visible.numpy().mean() > 0.2
        np.testing.assert_allclose(warped[visible[0]], frames[1].numpy()[visible[0]], atol=1e-4)
    assert moves > 1


def test_a_gradient_moves_a_flow_the_right_way():
    x, flow = tf.constant(picture()), tf.Variable(tf.zeros((1, 24, 32, 2)))
    frame = networks.warp(x, tf.fill((1, 24, 32, 2), 0.5))
    with tf.GradientTape() as tape:
        error = tf.reduce_mean(tf.square(networks.warp(x, flow) - frame))
    step = -tape.gradient(error, flow)
    assert (tf.reduce_mean(step, (0, 1, 2)).numpy() > 0).all()


def test_doubling_is_bilinear_and_undoes_halving_of_slopes():
    x = np.random.default_rng(1).standard_normal((2, 6, 10, 3)).astype("float32")
    np.testing.assert_allclose(networks.doubled(x), tf.image.resize(x, (12, 20)), atol=1e-5)
    assert networks.halved(x).shape == (2, 3, 5, 3)


@pytest.mark.slow
def test_the_pyramid_finds_a_shift():
    keras.utils.set_random_seed(1)
    pyramid = networks.FlowPyramid(8, 3, 3)
    reference = np.concatenate([picture(32, 32), picture(32, 32)[:, ::-1], picture(64, 64)[:, 32:, 32:]])
    flow = np.zeros((3, 32, 32, 2), "float32") + np.float32([2.0, -1.0])
    frame = networks.warp(reference, flow)
    assert [f.shape for f in pyramid(frame, reference)] == [(3, 8, 8, 2), (3, 16, 16, 2), (3, 32, 32, 2)]
    optimizer = keras.optimizers.Adam(3e-3)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            flows = pyramid(frame, reference)
            loss = sum(tf.reduce_mean(tf.abs(f - (2.0, -1.0) / np.float32(2 ** (2 - n)))) for n, f in enumerate(flows))
        optimizer.apply(tape.gradient(loss, pyramid.trainable_variables), pyramid.trainable_variables)
        return tf.reduce_mean(tf.abs(flows[-1] - (2.0, -1.0)))

    first, *_, last = [float(step()) for _ in range(60)]
    assert last < 0.5 * first, (first, last)
