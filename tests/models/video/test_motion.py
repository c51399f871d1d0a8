"""Motion that is known: its flow leads each pixel to where it was."""

import numpy as np
import pytest
import skimage.data
import tensorflow as tf

from models.video import motion
from models.video.motion import Motions

STILLS = [skimage.data.astronaut(), skimage.data.coffee()[:, :500]]
SIDE = 64


def _scene(seed, count=3, **settings):
    back, front = (tf.constant(still / 255.0, tf.float32) for still in STILLS)
    return motion.scene(back, front, SIDE, count, tf.constant([seed, 5], tf.int64), Motions(**settings))


def _errors(scene):
    """Squared errors [T - 1, S, S] of each frame against the one before, warped by its flow, by NumPy."""
    frames, flows = scene.frames.numpy(), scene.flows.numpy()
    y, x = np.mgrid[:SIDE, :SIDE]
    found = []
    for before, frame, flow in zip(frames, frames[1:], flows, strict=False):
        px, py = np.clip(x + flow[..., 0], 0, SIDE - 1), np.clip(y + flow[..., 1], 0, SIDE - 1)
        x0, y0 = np.minimum(px.astype(int), SIDE - 2), np.minimum(py.astype(int), SIDE - 2)
        fx, fy = (px - x0)[..., None], (py - y0)[..., None]
        warped = sum(
            before[y0 + j, x0 + i] * (fy if j else 1 - fy) * (fx if i else 1 - fx) for j in (0, 1) for i in (0, 1)
        )
        found.append(np.square(warped - frame).mean(-1))
    return np.stack(found)


def _psnr(errors):
    return -10 * np.log10(max(errors.mean(), 1e-12))


@pytest.mark.parametrize("foreground", [0.0, 1.0])
def test_whole_shifts_are_exact(foreground):
    moved = 0
    for seed in range(6):
        scene = _scene(seed, whole=True, foreground=foreground)
        errors, visible = _errors(scene), scene.visible.numpy()
        flows = scene.flows.numpy()
        np.testing.assert_allclose(flows, np.round(flows), atol=1e-4)
        moved += np.abs(flows).max() >= 2
        assert visible.mean() > 0.5 and _psnr(errors[visible]) > 60
        inner = visible[:, 10:-10, 10:-10]
        assert inner.mean() > (0.9 if foreground == 0 else 0.5)
    assert moved >= 3


def test_turns_and_zooms_are_exact_but_for_interpolation():
    worst = min(
        _psnr(_errors(scene)[:, 10:-10, 10:-10][scene.visible.numpy()[:, 10:-10, 10:-10]])
        for scene in (_scene(seed, foreground=0.0) for seed in range(6))
    )
    assert worst > 30
    turned = _scene(3, foreground=0.0, shift=0.0).flows.numpy()[0]
    spread = turned.reshape(-1, 2)
    assert np.abs(spread).max() > 0.3 and np.abs(turned[31:33, 31:33]).max() < 0.1  # about the middle


def test_hidden_pixels_are_those_that_the_foreground_covered():
    found = 0
    for seed in range(12):
        scene = _scene(seed, whole=True, foreground=1.0, shift=12.0)
        hidden = ~scene.visible.numpy()[:, 12:-12, 12:-12]
        errors = _errors(scene)[:, 12:-12, 12:-12]
        if hidden.sum() > 20:
            found += 1
            assert errors[hidden].mean() > 100 * errors[~hidden].mean()
    assert found >= 4


def test_a_direction_against_the_motion():
    """What moves right by three was three to the left: the flow points left."""
    back = tf.constant(STILLS[0] / 255.0, tf.float32)
    scene = motion.scene(back, back, SIDE, 2, tf.constant([1, 5], tf.int64), Motions(whole=True, foreground=0.0))
    frames, (dx, dy) = scene.frames.numpy(), scene.flows.numpy()[0, 0, 0].round().astype(int)
    assert (dx, dy) != (0, 0)
    a, b = (frames[k, 20:40, 20:40] if k else frames[0, 20 + dy : 40 + dy, 20 + dx : 40 + dx] for k in (1, 0))
    np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.slow
def test_a_dataset_of_scenes_is_the_same_by_its_seed():
    stills = tf.data.Dataset.from_tensor_slices([still[:120, :150] for still in STILLS * 2])
    runs = [list(motion.scenes(stills, 32, 3, seed).batch(2).as_numpy_iterator()) for seed in (1, 1, 2)]
    assert [batch.frames.shape for batch in runs[0]] == [(2, 3, 32, 32, 3), (1, 3, 32, 32, 3)]
    assert runs[0][0].flows.shape == (2, 2, 32, 32, 2) and runs[0][0].visible.dtype == bool
    assert np.array_equal(runs[0][0].frames, runs[1][0].frames)
    assert not np.array_equal(runs[0][0].flows, runs[2][0].flows)
