"""Times and sizes of trials: measured on a real training and a real exported model, as small as they come."""

import dataclasses
import json
import time

import pytest

from models.contract import registry
from models.contract.recipe import ConfigError, Search, option
from models.contract.training import Judge
from tests.models import line
from tuning import measure
from tuning.plan import Plan
from tuning.tuner import ConfigTuner


@dataclasses.dataclass(frozen=True)
class Wide(line.LineConfig):
    """A line whose width is searched."""

    width: int = option(8, "inputs", low=1, search=Search(choices=(2, 8, 64)))


WIDE = dataclasses.replace(line.RECIPE_OF_TESTS, config=Wide)


def test_which_way_is_better_follows_the_recipe():
    assert measure.judge_of(WIDE, "") == measure.judge_of(WIDE, "val_loss") == WIDE.judge
    assert measure.judge_of(WIDE, "latency_ms").better == measure.judge_of(WIDE, "y").better == "lower"
    small = registry.get("small_cnn")
    better = [measure.judge_of(small, name).better for name in ("val_accuracy", "accuracy", "cross_entropy")]
    assert better == ["higher", "higher", "lower"]
    for name in ("accurracy", "calibration_error", "val_y2"):  # the second is of a whole set, no mean
        with pytest.raises(ConfigError, match=f"^objective {name}: no number of small_cnn; there are val_loss, second"):
            measure.judge_of(small, name)


def test_the_number_is_of_the_epoch_that_the_judge_gives_back():
    history = [{"val_loss": 3.0, "val_a": 1.0}, {"val_loss": 1.0, "val_a": 2.0}, {"val_loss": 2.0, "val_a": 3.0}]
    assert measure.of_history(Judge(), history, "val_a") == 3.0
    assert measure.of_history(Judge(keep="best"), history, "val_a") == 2.0
    smooth = Judge(keep="best", over=2)  # means 3.0, 2.0, 1.5: of the last epoch, not of that with the least
    assert measure.of_history(smooth, history, "val_a") == 3.0 and smooth.value(history) == 1.5
    averaged = [history[0], history[1] | {"averaged": 1.0}, history[2] | {"averaged": 2.0}]
    assert measure.of_history(Judge(keep="best"), averaged, "val_a") == 3.0
    phases = [entry | {"phase": "abb"[n]} for n, entry in enumerate(history)]
    assert measure.of_history(Judge(keep="best"), [phases[0], phases[2]], "val_a") == 3.0
    assert measure.of_history(Judge(), history, "val_b") != measure.of_history(Judge(), history, "val_b"), "NaN"


def test_a_latency_is_the_median_after_warming_up():
    calls = []

    def call(given):
        calls.append(given)
        time.sleep(0.2 if len(calls) in (1, 2, 9) else 0.002)  # first calls are slow, and one is disturbed
        return {"y": [1.0]}

    assert 0.002 <= measure.latency(call, ["a", "b"]) < 0.02
    assert len(calls) >= 4 + 3 and calls[:8] == ["a", "b"] * 4


def test_all_that_can_be_asked_for_is_measured_of_one_trial(tmp_path, capsys):
    files = line.write(tmp_path)
    names = dict.fromkeys(("val_loss", *measure.OWN, "y"), 1e9)
    config = WIDE.make_config("small", {"steps": 400})
    search = ConfigTuner(WIDE, config, Plan(1, objective="model_bytes", at_most=names), directory=str(tmp_path / "a"))
    search.search(train_files=files, validation_files=files)
    (trial,) = search.completed()
    found = {name: trial.hyperparameters.values["measured/" + name] for name in search.measured}
    assert list(found) == ["model_bytes", "val_loss", "seconds_per_step", "latency_ms", "parameters", "y"]
    assert found["parameters"] == 9 and 1e3 < found["model_bytes"] == trial.score
    assert 0 < found["seconds_per_step"] < 1 and 0 < found["latency_ms"] < 100
    assert json.dumps(found) and f"model_bytes {trial.score:.5g}, val_loss" in capsys.readouterr().out
    assert not (tmp_path / "a").exists()


def test_times_of_an_interrupted_training_are_kept(tmp_path):
    path = tmp_path / "steps.json"
    first = measure.StepTimes(path)
    for n in range(4):
        first.on_train_batch_begin(n)
        time.sleep(0.05 if n == 0 else 0.001)
        first.on_train_batch_end(n)
    first.on_epoch_end(0)
    assert len(first.seconds) == 3 and 0.001 <= first.median < 0.04, "the step that is traced is left out"
    again = measure.StepTimes(path)
    assert again.median == first.median
