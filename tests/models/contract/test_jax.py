"""Models are Keras code, not TensorFlow's: on the JAX backend they give the same, and the training loop runs."""

import json
import os
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from tests.models.contract.jax_worker import TRAINED
from tests.models.kinds import KINDS, tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What `jax_worker` wrote."""
    path = tmp_path_factory.mktemp("jax")
    command = [sys.executable, "-W", "ignore", "-m", "tests.models.contract.jax_worker", str(path)]
    # Every op is compiled, and most run once.
    quick_to_compile = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    environment = os.environ | {"KERAS_BACKEND": "jax", "XLA_FLAGS": quick_to_compile}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return path


@pytest.mark.parametrize("name", sorted(registry.recipes()))
def test_outputs_are_those_of_tensorflow(folder, name):
    recipe = registry.get(name)
    config, kind = recipe.make_config("small", tiny(recipe)), KINDS[recipe.shape]
    model = recipe.build(config)
    found = pickle.loads((folder / f"{name}.pickle").read_bytes())
    model.set_weights(found["weights"])
    batch = keras.tree.map_structure(tf.convert_to_tensor, found["batch"])
    for ours, theirs in zip(kind.outputs(model, batch), found["outputs"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", TRAINED)
def test_training_runs(folder, name):
    history = json.loads((folder / name / "history.json").read_text())
    assert [entry["step"] for entry in history] == ([1, 3] if name == "ecg_crnn" else [2, 3])  # that has two phases
    assert all(np.isfinite(entry["loss"]) and np.isfinite(entry["val_loss"]) for entry in history)


def test_killed_games_of_two_optimizers_end_where_they_would_have(folder):
    with np.load(folder / "game.npz") as file:
        whole = {name.partition(" ")[2]: file[name] for name in file.files if name.startswith("whole")}
        assert len(whole) > 30 and all(np.isfinite(values).all() for values in whole.values())
        assert all(np.array_equal(file[f"killed {n}"], whole[n]) for n in whole)


def test_here_keras_runs_on_tensorflow():
    assert keras.backend.backend() == "tensorflow"
