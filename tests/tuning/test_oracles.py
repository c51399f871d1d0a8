"""The algorithms of a search, gone through as keras-tuner does, with a function in place of a training."""

import json
import math

import pytest

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
