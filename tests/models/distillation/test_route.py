"""Routes: which checkpoints are anchors, and that a student goes along them within its budget, also after a stop."""

import dataclasses
import itertools
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from models.contract import registry
from models.contract.recipe import ConfigError
from models.contract.training import Files
from models.distillation import generations, route, student
from models.training import loop
from models.training.callbacks import KeepRoute
from tests.models.kinds import tinted, write_records

RECIPE = registry.get("route")


@pytest.fixture(scope="module", autouse=True)
def eager():
    """Steps one by one: tracing them takes longer than all of these trainings."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize(
    "count, anchors, found",
    [(12, 4, [2, 5, 8, 11]), (10, 3, [2, 6, 9]), (5, 5, [0, 1, 2, 3, 4]), (3, 7, [0, 1, 2]), (9, 1, [8])],
)
def test_equal_intervals_end_at_the_teacher(count, anchors, found):
    assert route.equal_epochs(count, anchors) == found


def test_the_greedy_choice_is_the_furthest_that_is_not_too_hard():
    divergences = [0.3, 0.1, 0.15, 0.17, 0.4, 0.5]  # after training on the second
    assert route.next_anchor(divergences, 1, 0.8) == 3  # (0.17 - 0.1) / 0.1 = 0.7
    assert route.next_anchor(divergences, 1, 3.5) == 4
    assert route.next_anchor(divergences, 1, 0.0) == 2  # none is easy: the next
    assert route.next_anchor(divergences, 1, math.inf) == 5
    assert route.next_anchor(divergences, 5, 0.5) == 5
    counts = []
    for delta in (0.0, 0.6, 1.0, 4.5):
        current, count = 0, 0
        while current != 5:
            current, count = route.next_anchor(np.linspace(1, 6, 6), current, delta), count + 1
        counts.append(count)
    assert counts == sorted(counts, reverse=True) and counts[0] == 5 and counts[-1] == 2  # the steps fall with delta


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return [write_records(tmp_path_factory.mktemp("tinted") / "r.gz", [tinted(n, f"{n}") for n in range(40)])]


@pytest.fixture(scope="module")
def kept(files, tmp_path_factory):
    """The route of a teacher of three epochs."""
    folder = tmp_path_factory.mktemp("teacher")
    recipe = registry.get("small_cnn")
    config = recipe.make_config(
        "small", {"classes": 3, "image_size": 16, "width": 4, "batch_size": 8, "steps": 6, "steps_per_epoch": 2}
    )
    keep = KeepRoute(recipe, config, str(folder / "route"))
    model = loop.train(
        recipe, config, files, files, work_dir=str(folder / "w"), log_dir=str(folder / "l"), callbacks=[keep],
        progress=False,
    )  # fmt: skip
    return folder / "route", model


def test_the_route_holds_the_teacher_after_every_epoch(kept):
    folder, model = kept
    assert [p.name for p in route.checkpoints(str(folder))] == ["1", "2", "3"]
    last = route.teachers.load(str(folder))  # of a folder of versions the newest: the teacher itself
    x = np.random.default_rng(0).uniform(size=(4, 16, 16, 3)).astype("float32")
    expected = np.array(model(x, training=False))
    np.testing.assert_allclose(last.features()(x)["logits"], expected, rtol=1e-4, atol=1e-5)
    first = route.teachers.load(str(folder / "1")).features()(x)["logits"]
    assert np.abs(np.array(first) - expected).max() > 1e-3
    with pytest.raises(ConfigError, match="no route there"):
        route.checkpoints(str(folder / "1" / "assets.extra"))


DATA = {"classes": 3, "image_size": 16, "batch_size": 8, "steps_per_epoch": 2, "student_settings": "width=4",
        "terms": "ce + logits"}  # fmt: skip


class Watch(keras.callbacks.Callback):
    """Notes of every stage its teacher, and the student before and behind it; interrupts where a teacher is met."""

    def __init__(self, stop_at: str = ""):
        super().__init__()
        self.stop_at, self.seen, self.trained = stop_at, [], set()

    def on_train_begin(self, logs=None):
        self.seen.append([self.model.config.teacher, self.model.student.get_weights(), None])
        if self.stop_at and self.model.config.teacher.endswith(self.stop_at):
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch, logs=None):
        self.trained.add(self.model.config.teacher[-1])

    def on_train_end(self, logs=None):
        self.seen[-1][2] = self.model.student.get_weights()


def along(files, kept, tmp_path, watch=None, **options):
    values = DATA | {"steps": 5, "anchors": 2, "teacher": str(kept[0])}
    config = RECIPE.make_config("small", values | options)
    model = loop.train(RECIPE, config, files, files, work_dir=str(tmp_path / "w"), log_dir=str(tmp_path / "l"),
                       progress=False, callbacks=[watch or Watch()])  # fmt: skip
    return model, json.loads((tmp_path / "l" / "anchors.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("selector", ["equal", "greedy"])
def test_a_student_goes_along_within_its_steps(files, kept, tmp_path, selector):
    watch = Watch()
    model, anchors = along(files, kept, tmp_path, watch, selector=selector)
    assert sum(a["steps"] for a in anchors) == 5 and anchors[-1]["epoch"] == 3 and len(anchors) <= 2
    assert [a["epoch"] for a in anchors] == sorted({a["epoch"] for a in anchors})
    assert [t for t, *_ in watch.seen] == [str(kept[0] / str(a["epoch"])) for a in anchors]
    (_, fresh, first), (_, second, last) = watch.seen  # the second begins where the first ended
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    for one, two in ((fresh, first), (second, last)):
        assert not all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    history = json.loads((tmp_path / "l" / "history.json").read_text())
    assert [(e["phase"], e["step"]) for e in history] == [("stage-0", 2), ("stage-1", 4), ("stage-1", 5)]
    assert ("divergences" in anchors[0]) == (selector == "greedy")
    if selector == "greedy":
        assert len(anchors[0]["divergences"]) == 3 and min(anchors[0]["divergences"]) > 0


@pytest.mark.slow
def test_stages_draw_their_batches_in_different_orders(files, kept, tmp_path):
    values = DATA | {"anchors": 3, "steps": 6, "teacher": str(kept[0])}
    stages = route.stages(RECIPE.make_config("small", values), Files(files, files, str(tmp_path), str(tmp_path)))
    phases = [next(stages), stages.send(None), stages.send(None)]
    configs = [RECIPE.make_config("small", values | phase.options) for phase in phases]
    first = [next(iter(RECIPE.inputs(files, config, True)))[0].numpy() for config in configs]
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(first, 2))


@pytest.mark.slow
def test_hardness_is_measured_on_pictures_that_are_not_trained_on(files, kept, tmp_path):
    held = [write_records(tmp_path / "held.gz", [tinted(n, f"{n}") for n in range(7)])]
    config = RECIPE.make_config("small", DATA | {"selector": "greedy", "steps": 4, "teacher": str(kept[0])})
    stages = route.stages(config, Files(files, held, str(tmp_path), str(tmp_path)))
    next(stages)
    model = RECIPE.build(dataclasses.replace(config, teacher=str(kept[0] / "1")))
    stages.send(model)
    (x, _), *_ = RECIPE.inputs(held, config, False)
    logits = np.array(model.student(x, training=False))
    log_student = log_softmax(np.float64(logits), axis=1)
    (noted,) = json.loads((tmp_path / "anchors.json").read_text())
    direct = [route.divergence(anchor, x.numpy(), log_student) for anchor in route.checkpoints(str(kept[0]))]
    np.testing.assert_allclose(noted["divergences"], direct, rtol=1e-5)


@pytest.mark.slow
def test_it_goes_on_after_a_stop(files, kept, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        along(files, kept, tmp_path, Watch("3"))
    watch = Watch()
    _, anchors = along(files, kept, tmp_path, watch)
    assert [a["epoch"] for a in anchors] == [2, 3] and watch.trained == {"3"}
    assert json.loads((tmp_path / "l" / "history.json").read_text())[-1]["step"] == 5


@pytest.mark.slow
def test_a_route_of_one_anchor_is_the_plain_distillation(files, kept, tmp_path):
    model, anchors = along(files, kept, tmp_path / "route", anchors=1)
    assert [a["epoch"] for a in anchors] == [3]
    shared = {f: getattr(model.config, f) for f in student.StudentConfig.__dataclass_fields__}
    plain = registry.get("distill")
    config = plain.config(**shared | {"teacher": str(kept[0])})
    other = loop.train(plain, config, files, files, work_dir=str(tmp_path / "w"), log_dir=str(tmp_path / "l"),
                        progress=False)  # fmt: skip
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_generations_differ_by_their_seed_and_their_controls_by_their_labels():
    config = registry.get("born_again").make_config("small", {"seed": 7, "generations": 2})
    assert [generations.generation(config, k).seed for k in (1, 2)] == [8, 9]
    assert generations.first_of(config).terms == "ce" and generations.first_of(config).seed == 7
    control = generations.retrained(config, 2)
    assert (control.terms, control.seed, control.steps) == ("ce", 9, config.steps)


@pytest.mark.parametrize("push, files", [("last", [False, True]), ("ensemble", [False, False])])
def test_only_what_is_pushed_gets_an_int8_file(push, files):
    config = registry.get("born_again").make_config("small", {"generations": 2, "push": push, "int8": True})
    assert [generations.generation(config, k).int8 for k in (1, 2)] == files
    assert not generations.first_of(config).int8 and not generations.retrained(config, 2).int8


def test_one_generation_is_no_ensemble():
    with pytest.raises(ConfigError, match="push=ensemble: an ensemble takes two generations or more"):
        registry.get("born_again").make_config("small", {"generations": 1, "push": "ensemble"})


def test_hints_and_a_route_are_not_mixed():
    with pytest.raises(ConfigError, match="hint_terms: a route has stages of its own"):
        RECIPE.make_config("small", {"hint_terms": "hint(layer=stage2)"})
