"""The mean of the weights of the last epochs: what training returns, what is validated, killed trainings."""

import json

import keras
import numpy as np
import pytest

from models.training import loop
from tests.models import line


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return line.write(tmp_path_factory.mktemp("line"))


class Watch(keras.callbacks.Callback):
    """Notes the weights behind each epoch, and with which each validation begins; a kill after so many epochs."""

    def __init__(self, kill_after: int = 0):
        super().__init__()
        self.kill_after, self.seen, self.validated = kill_after, [], []

    def on_test_begin(self, logs=None):
        self.validated.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.model.get_weights())
        if len(self.seen) == self.kill_after:
            raise KeyboardInterrupt


def run(files, folder, watch=None, **options):
    recipe = line.RECIPE_OF_TESTS
    config = recipe.make_config("small", {"steps": 12, "steps_per_epoch": 2, "average_from": 2 / 3} | options)
    model = loop.train(recipe, config, files, files, work_dir=str(folder / "w"), log_dir=str(folder / "l"),
                       callbacks=[watch] if watch else [], progress=False)  # fmt: skip
    return model, json.loads((folder / "l" / "history.json").read_text())


def mean(weights):
    return [np.mean(values, axis=0) for values in zip(*weights, strict=True)]


def close(one, two) -> bool:
    return all(np.allclose(a, b, rtol=1e-6) for a, b in zip(one, two, strict=True))


def test_the_last_third_is_averaged_validated_and_returned(files, tmp_path):
    watch = Watch()
    model, history = run(files, tmp_path, watch)
    assert len(watch.seen) == 6 and not close(watch.seen[4], watch.seen[5])
    assert close(model.get_weights(), mean(watch.seen[4:])) and not close(model.get_weights(), watch.seen[5])
    assert close(watch.validated[4], watch.seen[4]) and close(watch.validated[5], mean(watch.seen[4:]))
    assert [entry.get("averaged") for entry in history] == [None] * 4 + [1.0, 2.0]
    plain = Watch()
    assert close(run(files, tmp_path / "plain", plain, average_from=1.0)[0].get_weights(), watch.seen[5])
    assert all(close(a, b) for a, b in zip(plain.seen, watch.seen, strict=True))  # training itself is the same


def test_a_killed_training_goes_on_with_its_mean(files, tmp_path):
    first, second = Watch(5), Watch()
    with pytest.raises(KeyboardInterrupt):
        run(files, tmp_path, first)
    model, history = run(files, tmp_path, second)
    assert close(model.get_weights(), mean([first.seen[4], second.seen[-1]]))
    assert [entry.get("averaged") for entry in history][-2:] == [1.0, 2.0]
    assert close(run(files, tmp_path)[0].get_weights(), model.get_weights())  # a finished one gives the same again
