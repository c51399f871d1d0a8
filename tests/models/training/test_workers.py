"""What a process is told of its fellows, and its part of a batch; trainings are in `tests.components.training`."""

import json

import pytest
import tensorflow as tf

from models.contract.recipe import ConfigError
from models.training import loop, workers

TWO = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}


def test_a_process_knows_its_place():
    place = workers.place_of({"TF_CONFIG": json.dumps(TWO)})
    assert (place.index, place.count, place.addresses) == (1, 2, ("a:1", "b:2"))
    assert json.loads(place.config()) == TWO
    assert workers.place_of({}) is None and workers.place_of({"TF_CONFIG": ""}) is None


@pytest.mark.parametrize(
    "told, message",
    [
        ("nothing", "wanted is"),
        ("[]", "wanted is"),
        (json.dumps(TWO | {"task": {"type": "worker"}}), "wanted is"),
        (json.dumps(TWO | {"cluster": {"ps": ["a:1"]}}), "wanted is"),
        (json.dumps(TWO | {"cluster": {"worker": ["a:1"], "chief": ["b:2"]}}), "the first one is the chief"),
        (json.dumps(TWO | {"task": {"type": "evaluator", "index": 0}}), "all processes are of type worker"),
        (json.dumps(TWO | {"task": {"type": "worker", "index": 2}}), "index 2, but there are 2 workers"),
        (json.dumps(TWO | {"cluster": {"worker": ["a", "b:2"]}}), "addresses are HOST:PORT, not a, b:2"),
    ],
)
def test_what_means_nothing_is_refused(told, message):
    with pytest.raises(ConfigError, match=message):
        workers.place_of({"TF_CONFIG": told})


def test_alone_there_is_nothing_to_share():
    batches = tf.data.Dataset.range(6).batch(4)
    assert workers.strategy() is None and workers.is_chief() and workers.shared(batches, 4) is batches
    workers.wait()


def test_several_devices_can_be_insisted_on():
    with pytest.raises(ConfigError, match="--distribute mirrored: TensorFlow sees one device here"):
        loop.must_be_several()
