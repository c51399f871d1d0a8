"""A search as TFX's Tuner runs it: real trials with the real training loop, the best values reach the Trainer."""

import dataclasses
import json
import math
import re
import types

import numpy as np
import pytest
from tfx.components.tuner import executor
from tfx.types import standard_artifacts

from components.training import trainer
from models.contract import registry
from models.contract.recipe import ConfigError
from models.contract.training import Judge
from tests.components import toy_model
from tests.models import line
from tests.models.contract.test_recipe import RECIPE_OF_TESTS
from tests.sources import imports, python_files
from tuning.oracles import drawn
from tuning.plan import Plan
from tuning.tuner import ConfigTuner

TINY = {"channels": 8, "latents": 8, "crop_size": 64, "batch_size": 2, "steps": 20, "steps_per_epoch": 2}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    for split in ("train", "validation"):
        toy_model.write_records(folder / f"Split-{split}" / "part.gz", [(70, 66), (64, 80)])
    return folder


@pytest.mark.slow
def test_trials_run_and_the_best_values_reach_the_trainer(tmp_path, records):
    config = registry.get("factorized").make_config("small", TINY)
    custom = {"recipe": "factorized", "config": vars(config), "run": "r", "resume_dir": str(tmp_path / "training")}
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(records), '["train", "validation"]'
    outputs = {
        "best_hyperparameters": standard_artifacts.HyperParameters(),
        "tuner_results": standard_artifacts.TunerResults(),
    }
    for key, artifact in outputs.items():
        artifact.uri = str(tmp_path / key)
        (tmp_path / key).mkdir()
    properties = {
        "tuner_fn": "components.training.tuner.tuner_fn",
        "train_args": '{"splits": ["train"]}',
        "eval_args": '{"splits": ["validation"]}',
        "custom_config": json.dumps(custom | {"trials": 2}),
    }
    context = executor.base_executor.BaseExecutor.Context(tmp_dir=str(tmp_path), unique_id="1")
    executor.Executor(context).Do({"examples": [examples]}, {k: [v] for k, v in outputs.items()}, properties)

    results = json.loads((tmp_path / "tuner_results" / "tuner_results.json").read_text())
    assert len(results) == 2
    best = json.loads((tmp_path / "best_hyperparameters" / "best_hyperparameters.txt").read_text())
    winner = min(results, key=lambda result: result["score"])  # the judge of codecs is the validation loss
    assert best["values"] == {k: v for k, v in winner.items() if k not in ("trial_id", "score")}
    assert set(best["values"]) == {"learning_rate", "channels", "latents"}
    _, tuned = trainer.options_of(types.SimpleNamespace(custom_config=custom, hyperparameters=best))
    assert tuned.latents == best["values"]["latents"] and tuned.steps == TINY["steps"]
    assert not [p for p in (tmp_path / "training").rglob("*") if p.is_file()]  # The checkpoints are gone.


def test_the_first_trial_is_the_configuration_itself(tmp_path, records):
    config = registry.get("factorized").make_config(
        "small", TINY | {"learning_rate": 3e-4, "channels": 48, "latents": 64}
    )
    search = ConfigTuner(registry.get("factorized"), config, Plan(1), directory=str(tmp_path / "search"))
    first = search.oracle.create_trial("tuner0")
    assert first.hyperparameters.values == {"learning_rate": 3e-4, "channels": 48, "latents": 64}


def test_missing_data_stop_the_search(tmp_path):
    """An error that no other configuration would avoid is raised, not counted as a failed trial."""
    config = registry.get("factorized").make_config("small", TINY)
    search = ConfigTuner(registry.get("factorized"), config, Plan(1), directory=str(tmp_path / "search"))
    with pytest.raises(Exception, match="no records"):
        search.search(train_files=[], validation_files=[])


def completed(search, score):
    """Goes through a search as keras-tuner does, with a function of the values in place of a training."""
    for _ in range(search.oracle.max_trials):
        trial = search.oracle.create_trial("tuner0")
        assert trial.status == "RUNNING"
        search.oracle.update_trial(trial.trial_id, {search.recipe.judge.name: score(trial.hyperparameters.values)})
        trial.status = "COMPLETED"
        search.oracle.end_trial(trial)
    return [t.hyperparameters.values["learning_rate"] for t in search.completed()]


def test_most_of_a_default_search_is_bayesian(tmp_path):
    """The model of the results is fitted from the fifth trial on, and finds a better rate than drawing does."""
    config = RECIPE_OF_TESTS.make_config("small")
    assert [drawn(trials, 8) for trials in (1, 3, 10, 100)] == [2, 2, 4, 24]
    search = ConfigTuner(RECIPE_OF_TESTS, config, Plan(10), directory=str(tmp_path / "a"))
    rates = completed(search, lambda values: (math.log10(values["learning_rate"]) + 3.5) ** 2)
    assert len(search.oracle.gpr.X_train_) == 9 and search.oracle.num_initial_points == 3
    assert abs(math.log10(rates[0]) + 3.5) < 0.02


def test_the_judge_says_which_way_is_better(tmp_path):
    recipe = dataclasses.replace(RECIPE_OF_TESTS, judge=Judge("val_accuracy", "higher"))
    search = ConfigTuner(recipe, recipe.make_config("small"), Plan(4), directory=str(tmp_path / "a"))
    rates = completed(search, lambda values: values["learning_rate"])
    assert rates == sorted(rates, reverse=True) and len(set(rates)) > 1


@pytest.fixture
def failing():
    """A recipe whose models cannot be built where the learning rate is not the default's."""

    def build(config):
        if config.seed == 13 or config.learning_rate != 0.01:
            raise ConfigError(f"learning_rate={config.learning_rate}: of no use")
        return line.build(config)

    return dataclasses.replace(line.RECIPE_OF_TESTS, build=build)


def test_a_search_of_which_nothing_came_through_says_so_in_one_line(failing, tmp_path):
    config = failing.make_config("small", {"seed": 13, "learning_rate": 0.01})
    search = ConfigTuner(failing, config, Plan(4), directory=str(tmp_path / "search"))
    with pytest.raises(ConfigError) as caught:
        search.search(train_files=[], validation_files=[])
    told = str(caught.value)
    assert told.startswith("none of 4 trials of line came through; the last: learning_rate=") and "\n" not in told
    assert told.endswith(": of no use") and not (tmp_path / "search").exists()


def test_what_came_through_is_printed_as_it_was_tried(failing, tmp_path, capsys):
    files = line.write(tmp_path)
    config = failing.make_config("small", {"learning_rate": 0.01, "steps": 20})
    search = ConfigTuner(failing, config, Plan(4), directory=str(tmp_path / "search"))
    search.search(train_files=files, validation_files=files)
    trials = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  trial")]
    assert trials[0].startswith("  trial 1 of 4: learning_rate=0.01: val_loss ") and len(trials) == 4
    told = re.compile(r"  trial \d of 4: learning_rate=(\S+): learning_rate=\1: of no use")
    assert all(told.fullmatch(trial) for trial in trials[1:])
    search.results_summary()
    heading, only = capsys.readouterr().out.splitlines()
    assert heading == "1 of 4 trials came through; val_loss, lower is better:"
    assert only.endswith("learning_rate=0.01") and np.isfinite(float(only.split()[0]))


def test_a_trial_that_comes_no_further_is_given_up_and_its_curves_stay(failing, tmp_path):
    files = line.write(tmp_path)
    settings = {"learning_rate": 0.01, "steps": 60, "steps_per_epoch": 1, "gradient_clip_norm": 1e-30}
    config = failing.make_config("small", settings)
    steps = []
    for patience in (0, 2):
        folder = tmp_path / str(patience)
        plan = Plan(1, steps=6, patience=patience)
        search = ConfigTuner(failing, config, plan, directory=str(folder / "a"), logs=str(folder / "logs"))
        search.search(train_files=files, validation_files=files)
        steps.append(len(json.loads((folder / "logs" / "trial-1" / "history.json").read_text())))
        assert not (folder / "a").exists()
    assert steps == [6, 3]


def test_values_found_for_a_student_are_those_of_its_teacher_and_control(tmp_path):
    found = {"values": {"learning_rate": 0.017, "alpha": 0.4, "temperature": 2.0}}

    def options_of(recipe, **custom):
        config = dataclasses.asdict(registry.get(recipe).make_config("small", {"classes": 3, "image_size": 16}))
        arguments = types.SimpleNamespace(custom_config={"recipe": recipe, "config": config} | custom)
        arguments.hyperparameters = found
        return trainer.options_of(arguments)[1]

    assert options_of("distill").alpha == 0.4 and options_of("distill").learning_rate == 0.017
    assert options_of("resnet").learning_rate == 0.017
    assert options_of("resnet", settled=["learning_rate"]).learning_rate == 3e-3


def test_nothing_private_of_keras_tuner_is_used():
    used = {name for path in python_files("tuning", "components") for name in imports(path) if "keras_tuner" in name}
    assert used and not [name for name in used if ".src" in name or "._" in name]
