"""Phases of a recipe: in order, each from where the last one ended, one history over all, and killed ones go on."""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest

from models.contract.training import Judge, Phase
from models.training import loop
from tests.models import line


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return line.write(tmp_path_factory.mktemp("line"))


class Watch(keras.callbacks.Callback):
    """Notes (weights, learning rate) before each step; a kill after so many epochs of all."""

    def __init__(self, kill_after: int = 0):
        super().__init__()
        self.left, self.seen = kill_after, []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append((self.model.get_weights(), float(self.model.optimizer.learning_rate)))

    def on_epoch_end(self, epoch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def recipe():
    """The line: first the weights, at rest the bias; then, after a doubling of all, everything at a tenth of the rate.

    `said` lists what was prepared, with the folder it may use; `met` what the callbacks saw.
    """
    said, met = [], []

    def doubled(model, config, files):
        said.append((config.steps, pathlib.Path(files.work).name, len(files.train)))
        for variable in model.weights:
            variable.assign(2 * variable)

    def phases(config, files):
        model = yield Phase("kernel", 3, prepare=lambda model, *_: model.dense.bias.assign([5.0]),
                            build=lambda config: rest(line.build(config)))  # fmt: skip
        assert int(model.optimizer.iterations) == 3
        yield Phase("all", config.steps - 3, {"learning_rate": config.learning_rate / 10}, prepare=doubled)

    def rest(model):
        model.dense.bias.trainable = False
        return model

    def callbacks(model, config, files):
        met.append((config.steps, config.learning_rate, len(model.weights), pathlib.Path(files.logs).name,
                    next(iter(line.inputs(files.validation, config, False))).shape[1]))  # fmt: skip
        return []

    found = dataclasses.replace(line.RECIPE_OF_TESTS, phases=phases, callbacks=callbacks)
    return found, said, met


def run(recipe, files, folder, watch=None, **options):
    config = recipe.make_config("small", {"steps": 8, "steps_per_epoch": 2, "warmup_fraction": 0.0} | options)
    return loop.train(recipe, config, files, files, work_dir=str(folder / "w"), log_dir=str(folder / "l"),
                      callbacks=[watch or Watch()], progress=False)  # fmt: skip


def history(folder) -> list[dict]:
    return json.loads((folder / "l" / "history.json").read_text())


def test_each_begins_where_the_last_one_ended_but_for_what_is_prepared(recipe, files, tmp_path):
    found, said, met = recipe
    watch = Watch()
    model = run(found, files, tmp_path, watch)
    weights, rates = zip(*watch.seen, strict=True)
    assert len(weights) == 8 and [w[1][0] for w in weights[:3]] == [5.0] * 3  # the bias was at rest
    assert weights[3][1][0] == 10.0 and weights[4][1][0] != 10.0
    assert max(rates[:3]) == pytest.approx(10 * max(rates[3:])) and rates[3] < rates[4]  # a schedule of its own
    assert [(e["phase"], e["step"]) for e in history(tmp_path)] == [
        ("kernel", 2), ("kernel", 3), ("all", 5), ("all", 7), ("all", 8)]  # fmt: skip
    assert said == [(5, "all", 1)]
    assert met == [(3, 0.01, 2, "kernel", 2), (5, 0.001, 2, "all", 2)]
    assert int(model.optimizer.iterations) == 5
    assert list((tmp_path / "l" / "kernel").rglob("events*")) and (tmp_path / "w" / "all").is_dir()


@pytest.mark.parametrize(
    "epochs, left", [(3, 3), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((1, 6), (2, 5), (5, 0)))]
)
def test_a_killed_training_goes_on_in_its_phase(recipe, files, tmp_path, epochs, left):
    """Also where it was killed between two phases, or behind the last one."""
    with pytest.raises(KeyboardInterrupt):
        run(recipe[0], files, tmp_path, Watch(epochs))
    (tmp_path / "l" / "history.json").unlink()
    watch = Watch()
    model = run(recipe[0], files, tmp_path, watch)
    assert len(watch.seen) == left and int(model.optimizer.iterations) == 5
    assert [e["step"] for e in history(tmp_path)] == [2, 3, 5, 7, 8]
    assert [e["seconds"] for e in history(tmp_path)] == sorted(e["seconds"] for e in history(tmp_path))


def test_layers_can_be_at_rest(files, tmp_path):
    """A phase says so of the model that it builds; the next one learns with all of it again."""

    def phases(config, files):
        yield Phase("rest", 4, frozen=lambda model: [model.dense[0]])
        yield Phase("all", 4)

    def build(config):
        model = keras.Sequential([keras.Input((config.width,)), keras.layers.Dense(2), keras.layers.Dense(1)])
        model.compute_loss = lambda x, y, y_pred, *_, **__: keras.ops.mean(keras.ops.square(y_pred - 1.0))
        model.dense = model.layers
        return model

    watch = Watch()
    model = run(dataclasses.replace(line.RECIPE_OF_TESTS, build=build, phases=phases), files, tmp_path, watch)
    first = [weights[0] for weights, _ in watch.seen] + [model.get_weights()[0]]
    assert [np.array_equal(*pair) for pair in zip(first, first[1:], strict=False)] == [True] * 4 + [False] * 4


@pytest.mark.parametrize("better, kept", [("lower", 1), ("higher", 2)])
def test_the_epoch_that_the_judge_likes_is_given_back(files, tmp_path, better, kept):
    class Scores(keras.callbacks.Callback):
        seen = []

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append(self.model.get_weights())
            logs["val_score"] = [2.0, 1.0, 3.0, 1.5][epoch]

    judge = Judge("val_score", better, keep="best")
    found = dataclasses.replace(line.RECIPE_OF_TESTS, judge=judge, callbacks=lambda *_: [Scores()])
    model = run(found, files, tmp_path)
    assert np.array_equal(model.get_weights()[0], Scores.seen[kept][0])
    for epoch in {0, 1, 2, 3} - {kept}:
        assert not np.array_equal(model.get_weights()[0], Scores.seen[epoch][0])
    Scores.seen.clear()


def test_a_judge_reads_the_epoch_that_was_given_back():
    entries = [{"phase": "a", "val_x": 9.0}, {"phase": "b", "val_x": 2.0}, {"phase": "b", "val_x": 3.0}]
    assert Judge("val_x", "higher").value(entries) == 3.0 and Judge("val_x", "higher", "best").value(entries) == 3.0
    assert Judge("val_x", "lower", "best").value(entries) == 2.0
    assert np.isnan(Judge("val_y").value(entries)) and np.isnan(Judge().value([]))
    assert not Judge().prefers(float("nan"), Judge().worst) and Judge().prefers(1e9, Judge().worst)
