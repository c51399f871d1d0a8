"""Training of the models of electrocardiograms: the best epoch is kept; a CRNN goes through three phases."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.evaluation import ecg_results
from models.contract import registry
from models.contract.recipe import ConfigError
from models.ecg import ecg
from models.publishing import pushed
from models.training import loop
from models.training.callbacks import KeepBest
from tests.models.kinds import tiny

CNN, CRNN = registry.get("ecg_cnn"), registry.get("ecg_crnn")


@pytest.fixture(autouse=True)
def eager():
    """The steps are of the same ops, and tracing them takes longer."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def run(records, tmp_path):
    """Trains a recipe; options go into its configuration, but `callbacks` and `to` (a subfolder)."""
    files = {split: [path] for split, path in records("transformed").items()}

    def start(recipe, to="a", callbacks=(), **options):
        config = recipe.make_config("small", tiny(recipe) | {"layers": 1, "blocks": 1} | options)
        return loop.train(
            recipe, config, files["train"], files["validation"], work_dir=str(tmp_path / to / "work"),
            log_dir=str(tmp_path / to / "logs"), callbacks=callbacks, progress=False,
        )  # fmt: skip

    return start


class Watch(keras.callbacks.Callback):
    """Notes, after every epoch, the score and the weights; stops the process, as a kill does, after so many epochs."""

    def __init__(self, scores=(), kill_after: int = 0):
        super().__init__()
        self.scores, self.kill_after = list(scores), kill_after
        self.seen, self.rates = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))

    def on_test_begin(self, logs=None):
        if self.scores:  # the history, which the best epoch is taken from, is written before this is asked
            self.model.confusion.result = lambda score=self.scores[self.epoch]: keras.ops.convert_to_tensor(score)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        cnn = [np.array(w) for w in self.model.cnn.get_weights()]
        self.seen.append((type(self.model).__name__, cnn, self.model.get_weights()))
        if len(self.seen) == self.kill_after:
            raise KeyboardInterrupt


def same(one, two) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def history(folder) -> list[dict]:
    return json.loads((folder / "logs" / "history.json").read_text())


def test_the_best_epoch_is_what_training_returns(run, tmp_path):
    watch = Watch([0.2, 0.7, 0.3, 0.5])
    model = run(CNN, callbacks=[watch], steps=4, steps_per_epoch=1)
    assert same(model.get_weights(), watch.seen[3][2]) and not same(model.get_weights(), watch.seen[1][2])
    # A finished training gives the same again.
    assert same(run(CNN, steps=4, steps_per_epoch=1).get_weights(), watch.seen[3][2])


def test_a_single_lucky_epoch_is_not_the_best_one():
    """Of (0.2, 0.7, 0.3, 0.5) the running means over three are 0.2, 0.45, 0.4, 0.5."""
    entries = [{"step": n, "val_f1": value} for n, value in enumerate((0.2, 0.7, 0.3, 0.5))]
    assert [ecg.JUDGE.smoothed(entries[: n + 1]) for n in range(4)] == pytest.approx([0.2, 0.45, 0.4, 0.5])
    assert ecg.JUDGE.value(entries) == pytest.approx(0.5) and ecg.JUDGE.value(entries[:3]) == pytest.approx(0.45)
    assert ecg.JUDGE.value([*entries, {"val_f1": 0.1, "averaged": 3.0}]) == 0.1  # of the mean of the weights
    assert ecg_results.best_epoch(entries, ecg.JUDGE)["best_epoch"] == 4
    assert ecg_results.best_epoch(entries[:3], ecg.JUDGE)["best_epoch"] == 2
    other = [{"val_f1": 0.9, "phase": "a"}, {"val_f1": 0.2, "phase": "b"}]
    assert ecg.JUDGE.smoothed(other) == 0.2


def test_an_interrupted_training_remembers_the_best_epoch(run):
    scores = [0.2, 0.9, 0.3, 0.1]
    first = Watch(scores, kill_after=3)
    with pytest.raises(KeyboardInterrupt):
        run(CNN, callbacks=[first], steps=4, steps_per_epoch=1)
    model = run(CNN, callbacks=[Watch(scores)], steps=4, steps_per_epoch=1)
    assert same(model.get_weights(), first.seen[1][2])


def test_without_a_score_the_last_epoch_stays(tmp_path):
    keep = KeepBest(str(tmp_path), ecg.JUDGE)
    model = CNN.build(CNN.make_config("small", tiny(CNN)))
    keep.set_model(model)
    before = model.get_weights()
    keep.on_epoch_end(0, {"loss": 1.0})
    keep.on_epoch_end(1, {"val_f1": float("nan")})
    keep.on_epoch_end(1, {"val_f1": 0.7, "loss": float("nan")})
    keep.on_train_end()
    assert same(model.get_weights(), before) and not list(tmp_path.iterdir())
    keep.on_epoch_end(2, {"val_f1": 0.0})  # a score of zero is one
    assert (tmp_path / "best.npz").exists()


@pytest.mark.slow
def test_phases(run, tmp_path):
    watch = Watch()
    options = {"steps": 8, "steps_per_epoch": 2, "cnn_share": 0.5, "lstm_share": 0.25}
    model = run(CRNN, callbacks=[watch], **options)
    assert [kind for kind, _, _ in watch.seen] == ["EcgPretraining", "EcgPretraining", "EcgCrnn", "EcgCrnn"]
    entries = history(tmp_path / "a")
    assert [(e["phase"], e["step"]) for e in entries] == [("cnn", 2), ("cnn", 4), ("lstms", 6), ("all", 8)]
    assert [e["seconds"] for e in entries] == sorted(e["seconds"] for e in entries)
    assert all({"loss", "f1", "accuracy", "val_loss", "val_f1"} <= set(e) for e in entries)
    best = max((0, 1), key=lambda n: (entries[n]["val_f1"], -n))
    # The LSTMs learn on the CNN of its best epoch, batch normalisation included; the last phase changes it.
    assert same(watch.seen[2][1], watch.seen[best][1]) and not same(watch.seen[3][1], watch.seen[2][1])
    assert not any(np.array_equal(a, b) for a, b in zip(watch.seen[3][1], watch.seen[2][1], strict=True))
    assert same(model.get_weights(), watch.seen[3][2]) and model.cnn.trainable
    assert len(model.trainable_variables) == len(CRNN.build(model.config).trainable_variables)
    # Each phase has a schedule of its own, whose peak the second of its steps sees; the last one's is lower.
    peak = CRNN.make_config("small").learning_rate
    first, second, last = watch.rates[:4], watch.rates[4:6], watch.rates[6:]
    assert len(last) == 2 and [max(rates) for rates in (first, second)] == pytest.approx([peak, peak])
    assert max(last) == pytest.approx(model.config.joint_rate * peak) and model.config.joint_rate == 0.3


@pytest.mark.slow
def test_killed_phases_go_on_and_end_where_they_would_have(run, tmp_path):
    options = {"steps": 5, "steps_per_epoch": 1, "cnn_share": 0.4, "lstm_share": 0.2}
    with pytest.raises(KeyboardInterrupt):
        run(CRNN, callbacks=[Watch(kill_after=4)], **options)
    watch = Watch()
    run(CRNN, callbacks=[watch], **options)
    assert [kind for kind, _, _ in watch.seen] == ["EcgCrnn"]
    entries = history(tmp_path / "a")
    assert [(e["phase"], e["step"]) for e in entries] == [("cnn", 1), ("cnn", 2), ("lstms", 3), ("all", 4), ("all", 5)]


def plan(**options) -> list[tuple[str, int]]:
    return [(phase.name, phase.steps) for phase in CRNN.phases(CRNN.make_config("small", options), None)]


def test_plan():
    assert plan(steps=1000) == [("cnn", 500), ("lstms", 200), ("all", 300)]
    assert plan(steps=1000, cnn_share=0.0) == [("lstms", 200), ("all", 800)]
    assert plan(steps=1, cnn_share=0.9, lstm_share=0.05) == [("all", 1)]


@pytest.mark.slow
def test_a_pushed_model_is_a_start(run, tmp_path):
    """A CRNN is only put through the last phase, a CNN of the same sizes gives its convolutions to the first."""
    for recipe in (CRNN, CNN):
        config = recipe.make_config("small", tiny(recipe) | {"layers": 1, "blocks": 1})
        model = recipe.build(config)
        pushed.save(tmp_path / recipe.name, recipe, config, model)
        watch = Watch()
        slow = {"learning_rate": 0.0, "steps": 3, "steps_per_epoch": 3, "cnn_share": 0.4, "lstm_share": 0.0}
        found = run(CRNN, recipe.name + " run", [watch], init=str(tmp_path / recipe.name), **slow)
        kinds = [kind for kind, _, _ in watch.seen]
        assert kinds == (["EcgCrnn"] if recipe is CRNN else ["EcgPretraining", "EcgCrnn"])
        for mine, given in zip(found.cnn.trainable_variables, model.cnn.trainable_variables, strict=True):
            assert np.array_equal(mine, given)
    with pytest.raises(ConfigError, match="init=.*: no pushed model at"):
        run(CRNN, "c", init=str(tmp_path / "nothing"))
