"""Codecs of clips in training: their parts, what refers to what, the phases, and a training that was killed."""

import contextlib
import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.codecs.edic import Edic
from models.codecs.hyperprior import Hyperprior
from models.contract import registry
from models.contract.recipe import ConfigError
from models.contract.training import Files
from models.training.loop import train
from models.video import options
from tests.models.examples import moving
from tests.models.kinds import tiny

RECIPE = registry.get("dvc")


def config_of(**changed):
    return RECIPE.make_config("small", tiny(RECIPE) | changed)


def runs() -> np.ndarray:
    """[1, 3, 64, 64, 3] float32."""
    return (moving(3, 64, 64, 40)[None] / 255).astype("float32")


def test_every_part_can_be_switched_off():
    keras.utils.set_random_seed(1)
    model = RECIPE.build(config_of(motion=False, compensation=False))
    assert model.flow is model.motion is model.compensation is None and type(model.residual) is Hyperprior
    found = model(runs(), training=False)
    assert np.array_equal(found["predicted"], found["warped"]) and not np.any(found["motion_bits"])
    drawn = model.first(runs()[:, 0], tf.zeros([1])).numpy()
    assert np.array_equal(found["warped"][:, 0], drawn)  # what is decoded of the first frame, in 8 bits
    np.testing.assert_allclose(255 * drawn, np.rint(255 * drawn), atol=1e-4)
    clipped = np.clip(found["decoded"][:, 0], 0, 1)
    np.testing.assert_allclose(found["warped"][:, 1], clipped, atol=1e-6)  # and the next one refers to that


def test_raw_motion_and_edics_parts():
    model = RECIPE.build(config_of(motion_codec=False, attention=True, components=2, enhancement="half"))
    assert type(model.residual) is Edic and model.motion.stride == 1
    flow = tf.constant([[[[0.6, -1.3]]]])
    y_hat, _ = model.motion.code(model.motion.analysis(flow), False)
    np.testing.assert_allclose(model.decoded_flow(y_hat), [[[[0.5, -1.25]]]])
    predicted, latents = tf.fill([1, 16, 16, 3], 0.5), tf.zeros([1, 1, 1, model.config.latents])
    plain = predicted + model.residual.synthesis(latents)
    assert np.abs(model.finish(predicted, latents) - plain).max() > 0  # the enhancement is behind it


def test_before_the_joint_stage_frames_refer_to_frames():
    config = config_of(stage="motion")
    model = RECIPE.build(config)
    x = runs()
    other = x.copy()
    other[:, 0] = 0.0  # the second frame's reference; the third has the second
    found, changed = (model(v, training=False) for v in (x, other))
    assert np.abs(found["warped"][:, 0] - changed["warped"][:, 0]).max() > 0.1
    assert np.array_equal(found["warped"][:, 1], changed["warped"][:, 1]) and not np.any(found["residual_bits"])
    assert np.array_equal(found["decoded"], found["predicted"])


def test_lambdas_of_frames_and_first_frames_go_together():
    model = RECIPE.build(config_of(lmbda=0.004, motion=False, compensation=False))
    model.intra.config = dataclasses.replace(model.intra.config, rates=5, lmbda=0.02)
    rates = model.intra_rate(np.array([0.0, 1.0], "float32")).numpy()
    np.testing.assert_allclose(0.02 * 2.0 ** (rates - 4), [4 * 0.002, 4 * 0.004], rtol=1e-5)
    model.intra.config = dataclasses.replace(model.intra.config, lmbda=0.004)
    assert model.intra_rate(np.float32([1.0])).numpy() == [4.0]  # as far as it goes


def test_options_are_checked():
    with pytest.raises(ConfigError, match="flow_share, motion_share.* no step is left"):
        config_of(flow_share=0.9)
    with pytest.raises(ConfigError, match="intra=nowhere: no pushed model, no released one and no recipe"):
        options.adapt(config_of(intra="nowhere", intra_about=""), [])
    with pytest.raises(ConfigError, match="intra=lossless: .* is lossless"):
        options.adapt(config_of(intra="lossless", intra_about=""), [])
    with pytest.raises(ConfigError, match="intra_about is empty"):
        RECIPE.build(config_of(intra_about=""))
    assert json.loads(options.adapt(config_of(intra="edic", intra_about=""), []).intra_about)["recipe"] == "edic"


def test_phases_leave_out_what_is_switched_off():
    def names(**changed):
        return [p.name for p in options.phases(config_of(steps=100, **changed), Files([], [], "", ""))]

    assert names(last_share=0.1) == ["flow", "motion", "compensation", "joint", "last"]
    assert names(motion=False, last_share=0.0) == ["compensation", "joint"]
    assert names(motion=False, compensation=False, last_share=0.0) == ["joint"]


class Kill(keras.callbacks.Callback):
    """Stops the process, as a kill does, at a step of the training."""

    def __init__(self, at: int):
        super().__init__()
        self.left = at

    def on_epoch_end(self, epoch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_training_killed_in_a_middle_phase_goes_on(records, tmp_path):
    """One epoch of flow, two of motion's codec, one of all; killed after the second, flow must not begin again."""
    files = records("video")
    config = config_of(steps=4, steps_per_epoch=1, flow_share=0.25, motion_share=0.5, compensation_share=0.0,
                       crop_size=64, clip_length=2)  # fmt: skip
    tf.config.run_functions_eagerly(True)
    try:
        for callbacks in ([Kill(2)], []):
            with contextlib.suppress(KeyboardInterrupt):
                model = train(
                    RECIPE, config, [files["train"]], [files["validation"]], work_dir=str(tmp_path / "work"),
                    log_dir=str(tmp_path / "logs"), callbacks=callbacks, progress=False,
                )  # fmt: skip
    finally:
        tf.config.run_functions_eagerly(False)
    history = json.loads((tmp_path / "logs" / "history.json").read_text())
    assert [(e["phase"], e["step"]) for e in history] == [("flow", 1), ("motion", 2), ("motion", 3), ("joint", 4)]
    assert "endpoint_error" in history[0] and "bpp" in history[1] and np.isfinite(history[-1]["val_loss"])
    # What a phase leaves alone is what the model started with.
    start = keras.utils.set_random_seed(config.seed) or RECIPE.build(config)
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(model.flow.get_weights()[0], start.flow.get_weights()[0])
    assert all(np.array_equal(a, b) for a, b in zip(model.intra.get_weights(), start.intra.get_weights(), strict=True))
