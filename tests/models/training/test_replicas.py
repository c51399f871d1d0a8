"""Two devices learn what one learns from the same batches: loss, gradient, averages, of every recipe.

Without noise: codecs round in training, nothing is dropped.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from models.training import replicas
from tests.models.generative import small_game
from tests.models.kinds import photograph, png
from tests.models.training.replicas_worker import CASES, ONE_DEVICE, TRAINED, played, train_one

pytestmark = pytest.mark.slow

# What is told of a training by random numbers, of which each device has its own.
DRAWN = {"distribution_preserving": {"mmd", "objective"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What `replicas_worker` wrote."""
    path = tmp_path_factory.mktemp("replicas")
    command = [sys.executable, "-W", "ignore", "-m", "tests.models.training.replicas_worker", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return path


@pytest.fixture(scope="module")
def found(folder):
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_step_is_that_of_one_device(found, case):
    one, two = (found["steps"][case][devices] for devices in ("one", "two"))
    for reported in ("trained", "validated"):  # the last batch of the validation is one example
        if case == "variable rate" and reported == "trained":
            continue  # its rate points are drawn
        assert one[reported].keys() == two[reported].keys() and "loss" in one[reported]
        for name, value in one[reported].items():
            if reported == "trained" and name in DRAWN.get(case, ()):
                continue
            assert np.isclose(two[reported][name], value, rtol=1e-5, atol=1e-7), (reported, name)
    if case == "variable rate":
        return
    norms, expected = np.array(two["norms"]), np.array(one["norms"])
    whole = np.linalg.norm(expected)
    assert len(norms) and whole > 0 and np.isclose(np.linalg.norm(norms), whole, rtol=1e-5, atol=0)
    np.testing.assert_allclose(norms, expected, rtol=1e-5, atol=1e-5 * whole)
    for ours, theirs in zip(two["averages"], one["averages"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_what_is_clipped_is_the_gradient_of_the_batch(found):
    steps = found["steps"]
    assert np.linalg.norm(steps["small_cnn"]["two"]["norms"]) > 1.0
    assert np.isclose(np.linalg.norm(steps["clipped"]["two"]["norms"]), 0.5, rtol=1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_a_training_is_that_of_one_device(folder, name, tmp_path):
    (tmp_path / "records").symlink_to(folder / "records")
    _, _, model = train_one(name, tmp_path)
    histories = [json.loads((f / name / "history.json").read_text()) for f in (tmp_path, folder)]
    assert [e["step"] for e in histories[1]] == [2, 3]
    for one, two in zip(*histories, strict=True):
        assert one.keys() == two.keys() and "val_loss" in one
        for metric in one.keys() - {"seconds"}:
            assert np.isclose(two[metric], one[metric], rtol=1e-5, atol=1e-7), (metric, one, two)
    if name == "small_cnn":
        weights = np.concatenate([w.ravel() for w in model.get_weights()])
        np.testing.assert_allclose(np.load(folder / "weights.npy"), weights, rtol=1e-4, atol=1e-6)


def test_what_two_devices_trained_is_served(folder):
    predict = tf.saved_model.load(str(folder / "exported")).signatures["predict"]
    answer = predict(image_bytes=tf.constant([png(photograph(16, 16))]))["probabilities"].numpy()
    assert answer.shape == (1, 3) and abs(answer.sum() - 1) < 1e-5


def test_each_device_has_noise_of_its_own(found):
    assert len(found["noise"]) > 1
    assert all(len(copies) == 2 and copies[0] != copies[1] for copies in found["noise"].values())


def test_an_infinite_gradient_of_one_device_is_a_step_of_none(found):
    assert found["half"] == {"kept": True, "changed": True, "finite": True, "scale": 4.0}


def test_goes_on_after_an_interruption(found):
    assert found["interrupted"]["steps"] == 4


def test_several_optimizers_learn_what_they_learn_on_one_device(found, tmp_path):
    games = {"game": played(tmp_path), "turns": played(tmp_path, small_game.RECIPE_OF_TESTS, alone=False)}
    assert [game["updates"] for game in games.values()] == [[6, 3], [4, 8]]
    for name, one in games.items():
        assert found[name]["updates"] == one["updates"]
        for ours, theirs in zip(found[name]["weights"], one["weights"], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_every_example_is_answered(found):
    predicted, expected = found["interrupted"]["answers"]
    np.testing.assert_allclose(predicted, expected, rtol=1e-5)


def test_what_takes_one_device_says_so(found):
    assert len(found["on one device"]) == len(ONE_DEVICE)
    assert all("on one device" in said for said in found["on one device"])


def test_a_batch_that_cannot_be_shared_is_refused(found):
    assert found["refused"] == "batch_size=5: must be a multiple of the 2 devices that share a batch"


def test_one_device_is_left_alone():
    x = np.arange(6.0).reshape(3, 2)
    assert replicas.count() == 1 and replicas.start(3) == 0
    assert replicas.total(x) is x and replicas.gathered(x) is x
