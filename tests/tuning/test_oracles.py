"""The algorithms of a search, gone through as keras-tuner does, with a function in place of a training."""

import dataclasses
import json
import math

import pytest

from models.contract.recipe import Evaluation, Metric
from tests.models.contract.test_recipe import RECIPE_OF_TESTS
from tuning import oracles
from tuning.plan import ALGORITHMS, Plan
from tuning.tuner import ConfigTuner


def gone_through(folder, plan: Plan) -> list:
    """The trials of a search for a learning rate of 10**-3.5, in their order."""
    search = ConfigTuner(RECIPE_OF_TESTS, RECIPE_OF_TESTS.make_config("small"), plan, directory=str(folder))
    while (trial := search.oracle.create_trial("tuner0")).status != "STOPPED":
        score = (math.log10(trial.hyperparameters.values["learning_rate"]) + 3.5) ** 2
        search.oracle.update_trial(trial.trial_id, {RECIPE_OF_TESTS.judge.name: score})
        trial.status = "COMPLETED"
        search.oracle.end_trial(trial)
    return [search.oracle.trials[trial] for trial in search.oracle.start_order]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_all_begin_with_the_configuration_and_try_as_many_as_asked_for(tmp_path, algorithm):
    config = RECIPE_OF_TESTS.make_config("small")
    trials = gone_through(tmp_path, Plan(5, algorithm=algorithm))
    assert [int(trial.trial_id) for trial in trials] == [0, 1, 2, 3, 4]
    values = [{k: v for k, v in trial.hyperparameters.values.items() if "/" not in k} for trial in trials]
    assert values[0] == {name: getattr(config, name) for name in values[0]}
    assert len({str(one) for one in values}) == 5


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_search_that_goes_on_does_not_train_a_trial_again_that_had_ended(tmp_path, algorithm):
    gone_through(tmp_path, Plan(3, algorithm=algorithm))
    kept = next(tmp_path.glob("*/oracle.json"))
    state = json.loads(kept.read_text())
    assert state["ongoing_trials"] == {"tuner0": "2"} and state["end_order"] == ["0", "1", "2"], "as it is left"
    config = RECIPE_OF_TESTS.make_config("small")
    search = ConfigTuner(RECIPE_OF_TESTS, config, Plan(5, algorithm), directory=str(tmp_path))
    search.oracle.reload()
    assert search.oracle.create_trial("tuner0").trial_id == "3"


def test_hyperband_gives_the_best_more_steps(tmp_path):
    trials = gone_through(tmp_path, Plan(13, algorithm="hyperband"))
    steps = [oracles.steps_of(trial.hyperparameters.values, 900) for trial in trials]
    assert steps == [100] * 9 + [300] * 3 + [900]
    rates = [trial.hyperparameters.values["learning_rate"] for trial in trials]
    best = sorted(trials[:9], key=lambda trial: trial.score)[:3]
    assert rates[9:12] == [trial.hyperparameters.values["learning_rate"] for trial in best] and rates[12] == rates[9]


def test_steps_of_a_trial_are_a_tenth_or_what_is_asked_for():
    assert [Plan(1).steps_of(n) for n in (5, 1000)] == [1, 100] and Plan(1, steps=7).steps_of(1000) == 7
    assert oracles.steps_of({}, 50) == 50 and oracles.steps_of({oracles.EPOCHS: 1}, 4) == 1


def test_only_what_is_unusual_is_said():
    assert Plan(4).said() == {} and Plan(4, "random", patience=2).said() == {"algorithm": "random", "patience": 2}
    with pytest.raises(ValueError, match="algorithm greedy: no such one; there are bayesian, hyperband, random"):
        Plan(4, "greedy")


def test_trials_outside_the_bounds_come_last_and_the_search_finds_the_way_inside(tmp_path):
    """The smallest model that is good enough: its size falls with the rate's logarithm, and so does how good it is."""
    recipe = dataclasses.replace(RECIPE_OF_TESTS, evaluation=Evaluation((Metric("good", "", "higher"),)))
    plan = Plan(15, objective="parameters", at_least={"good": 0.75}, at_most={"good": 2.0})
    config = recipe.make_config("small")
    search = ConfigTuner(recipe, config, plan, directory=str(tmp_path))
    assert search.measured == ("parameters", "good")
    for _ in range(plan.trials):
        trial = search.oracle.create_trial("tuner0")
        place = (math.log10(trial.hyperparameters.values["learning_rate"]) + 4) / 1.301  # from 0 to 1
        search.oracle.update_trial(trial.trial_id, {"parameters": 1e6 * (2 - place), "good": 1.5 - place})
        trial.status = "COMPLETED"
        search.oracle.end_trial(trial)
    trials = search.completed()
    good = [trial.metrics.get_last_value("good") for trial in trials]
    kept = [value >= 0.75 for value in good]
    assert kept == sorted(kept, reverse=True) and 0 < sum(kept) < len(kept)
    assert 0.75 <= good[0] < 0.85, "the best is near the bound, from the right side"
    outside = good[sum(kept) :]
    assert outside == sorted(outside, reverse=True), "the nearest first"
    again = ConfigTuner(recipe, config, plan, directory=str(tmp_path))
    again.oracle.reload()
    assert [(t.trial_id, t.score) for t in again.completed()] == [(t.trial_id, t.score) for t in trials]


def test_without_any_trial_inside_the_nearest_is_the_best(tmp_path):
    plan = Plan(3, at_most={"parameters": 10})
    config = RECIPE_OF_TESTS.make_config("small")
    search = ConfigTuner(RECIPE_OF_TESTS, config, plan, directory=str(tmp_path))
    for loss, parameters in ((0.1, 30), (0.9, 20), (0.2, 25)):
        trial = search.oracle.create_trial("tuner0")
        search.oracle.update_trial(trial.trial_id, {"val_loss": loss, "parameters": parameters})
        trial.status = "COMPLETED"
        search.oracle.end_trial(trial)
    assert [t.metrics.get_last_value("parameters") for t in search.completed()] == [20, 25, 30]
    assert plan.missed({"parameters": 30}) == 2 and plan.missed({"parameters": 10}) == 0
