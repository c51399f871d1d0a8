"""FitNets' two stages: hints alone train the first layers, the objective goes on from there."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.contract import registry
from models.contract.recipe import ConfigError
from models.distillation import stages
from models.training import loop
from tests.models.kinds import KINDS, tinted, tiny, write_records

RECIPE = registry.get("distill")


@pytest.fixture(scope="module", autouse=True)
def eager():
    """Steps one by one: tracing them takes longer than all of these trainings."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def config_of(**options):
    values = tiny(RECIPE) | {"terms": "ce + logits", "hint_terms": "2*hint(layer=stage2)", "hint_share": 0.5}
    return RECIPE.make_config("small", values | {"steps": 4, "steps_per_epoch": 1} | options)


class Watch(keras.callbacks.Callback):
    """Notes the student's weights before and behind each phase; a kill after so many epochs."""

    def __init__(self, kill_after: int = 0):
        super().__init__()
        self.seen, self.epochs, self.kill_after = [], 0, kill_after

    def on_train_begin(self, logs=None):
        self.seen.append(self.model.student.get_weights())

    def on_train_end(self, logs=None):
        self.seen.append(self.model.student.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        if self.epochs == self.kill_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return [write_records(tmp_path_factory.mktemp("tinted") / "r.gz", [tinted(n, f"{n}") for n in range(12)])]


def run(files, folder, watch, **options):
    return loop.train(RECIPE, config_of(**options), files, files, work_dir=str(folder / "w"), log_dir=str(folder / "l"),
                      callbacks=[watch], progress=False)  # fmt: skip


def changed(one, two) -> set[int]:
    """Places of the weights that differ."""
    return {n for n, (a, b) in enumerate(zip(one, two, strict=True)) if not np.array_equal(a, b)}


@pytest.mark.slow
def test_hints_teach_the_first_layers_alone(files, tmp_path):
    watch = Watch()
    model = run(files, tmp_path, watch)
    fresh, hinted, start, end = watch.seen
    head = {n for n, weight in enumerate(model.student.weights) if "logits" in weight.path}
    assert len(head) == 2 and not head & changed(fresh, hinted) and head <= changed(start, end)
    assert changed(fresh, hinted) and changed(fresh, hinted) < changed(start, end)
    assert not changed(hinted, start)  # the second stage begins with what the first has left
    history = json.loads((tmp_path / "l" / "history.json").read_text())
    assert [(e["phase"], e["step"]) for e in history] == [
        ("hints", 1), ("hints", 2), ("distillation", 3), ("distillation", 4)]  # fmt: skip
    assert "hint" in history[0] and "ce" not in history[0] and {"ce", "logits"} <= set(history[2])


@pytest.mark.slow
def test_it_goes_on_in_the_stage_where_it_was(files, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(files, tmp_path, Watch(kill_after=3))
    watch = Watch()
    run(files, tmp_path, watch)
    history = json.loads((tmp_path / "l" / "history.json").read_text())
    assert watch.epochs == 1 and [e["step"] for e in history] == [1, 2, 3, 4]


def test_without_hints_there_is_one_stage():
    assert [p.name for p in stages.stages(config_of(hint_terms=""), None)] == [""]
    assert [p.name for p in stages.stages(config_of(hint_share=0.0), None)] == [""]


def test_a_term_of_logits_leaves_nothing_out():
    model = RECIPE.build(config_of(terms="hint(layer=stage1) + logits"))
    assert stages.unguided(model) == []
    model = RECIPE.build(config_of(terms="hint(layer=stage1)"))
    names = [layer.name for layer in stages.unguided(model)]
    assert "stage2" in names and "logits" in names and "stage1" not in names


def test_the_teacher_is_asked_for_what_both_stages_need():
    both = stages.both(config_of())
    assert both.terms == "ce + logits + 2*hint(layer=stage2)"
    assert set(RECIPE.build(both).teacher.output) == {"logits", "stage2"}
    assert KINDS["student"].tiny["teacher"] == both.teacher


def test_unusable_hints_are_refused():
    with pytest.raises(ConfigError, match="terms: no term 'hnt'"):
        config_of(hint_terms="hnt")
