"""Terms with a state: prepared from the training set, moved in training, kept over a kill, the same on any devices."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.distillation import inputs, student, teacher
from tests.models.distillation.terms.prototypes import MOMENTUM, config_of, setting, trained


class Stop(keras.callbacks.Callback):
    """Kills a training in its second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a teacher and records."""
    path = tmp_path_factory.mktemp("state")
    setting(path)
    return path


@pytest.fixture(scope="module")
def whole(folder):
    """A training that nothing interrupted."""
    return trained(config_of(folder), [str(folder / "r.gz")], folder / "whole")


def embeddings(folder, config) -> tuple[np.ndarray, np.ndarray]:
    """The teacher's, of all pictures, and their labels."""
    x, y = next(iter(inputs.inputs([str(folder / "r.gz")], config, False).unbatch().batch(18)))
    said = teacher.load(config.teacher).features(["embedding"])(x)
    return np.array(said["embedding"]), np.array(y)


@pytest.mark.slow
def test_what_a_term_prepares_is_of_the_training_set(folder, whole):
    config = config_of(folder)
    features, y = embeddings(folder, config)
    means = y.T @ features / y.sum(0)[:, None]
    model = student.build(config)
    assert not np.array(model.objective[1].loss.prototypes).any()
    inputs.prepare(model, config, type("Files", (), {"train": [str(folder / "r.gz")]}))
    np.testing.assert_allclose(model.objective[1].loss.prototypes, means, rtol=1e-5)
    # Six batches of six: the state has moved by each.
    assert int(np.array(whole.objective[1].loss.seen)) == 36
    assert np.abs(np.array(whole.objective[1].loss.prototypes) - means).max() > 1e-4


@pytest.mark.slow
def test_the_state_moves_in_training_alone(folder):
    model = student.build(config_of(folder))
    term = model.objective[1].loss
    features, y = embeddings(folder, config_of(folder))
    x, _ = next(iter(inputs.inputs([str(folder / "r.gz")], model.config, False)))
    y_pred = model(x, training=False)
    model.compute_loss(x, tf.constant(y[:6]), y_pred, training=False)
    assert int(np.array(term.seen)) == 0
    model.compute_loss(x, tf.constant(y[:6]), y_pred, training=True)
    sums, counts = y[:6].T @ features[:6], y[:6].sum(0)[:, None]
    np.testing.assert_allclose(term.prototypes, (1 - MOMENTUM) * sums / counts, rtol=1e-4)
    assert int(np.array(term.seen)) == 6
    assert not {id(w) for w in (term.prototypes, term.seen)} & {id(w) for w in model.trainable_variables}
    assert {id(w) for w in term.projection.weights} <= {id(w) for w in model.trainable_variables}


@pytest.mark.slow
def test_a_killed_training_goes_on_with_its_state(folder, whole, tmp_path):
    config, files = config_of(folder), [str(folder / "r.gz")]
    with pytest.raises(KeyboardInterrupt):
        trained(config, files, tmp_path, Stop())
    model = trained(config, files, tmp_path)
    assert [e["step"] for e in json.loads((tmp_path / "logs" / "history.json").read_text())] == [3, 6]
    assert int(np.array(model.objective[1].loss.seen)) == 36
    assert len(model.get_weights()) == len(whole.get_weights())
    exported = student.served(model, config)[1]
    assert not any("prototypes" in w.path for w in exported.weights)


@pytest.mark.slow
def test_two_devices_keep_the_state_of_one(folder, whole):
    command = [sys.executable, "-W", "ignore", "-m", "tests.models.distillation.terms.prototypes", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "two.npz") as two:
        for ours, theirs in zip(two.values(), whole.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
