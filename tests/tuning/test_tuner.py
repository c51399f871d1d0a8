"""A search as TFX's Tuner runs it: real trials with the real training loop, the best values reach the Trainer."""

import json
import types

import pytest
from tfx.components.tuner import executor
from tfx.types import standard_artifacts

from components.training import trainer
from models.contract import registry
from tests.components import toy_model
from tuning.tuner import ConfigTuner

TINY = {"channels": 8, "latents": 8, "crop_size": 64, "batch_size": 2, "steps": 20, "steps_per_epoch": 2}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    for split in ("train", "validation"):
        toy_model.write_records(folder / f"Split-{split}" / "part.gz", [(70, 66), (64, 80)])
    return folder


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
    winner = min(results, key=lambda result: result["score"])
    assert best["values"] == {k: v for k, v in winner.items() if k not in ("trial_id", "score")}
    assert set(best["values"]) == {"learning_rate", "channels", "latents"}
    _, tuned = trainer.options_of(types.SimpleNamespace(custom_config=custom, hyperparameters=best))
    assert tuned.latents == best["values"]["latents"] and tuned.steps == TINY["steps"]
    assert not [p for p in (tmp_path / "training").rglob("*") if p.is_file()]  # The checkpoints are gone.


def test_the_first_trial_is_the_configuration_itself(tmp_path, records):
    config = registry.get("factorized").make_config(
        "small", TINY | {"learning_rate": 3e-4, "channels": 48, "latents": 64}
    )
    search = ConfigTuner(registry.get("factorized"), config, trials=1, directory=str(tmp_path / "search"))
    first = search.oracle.create_trial("tuner0")
    assert first.hyperparameters.values == {"learning_rate": 3e-4, "channels": 48, "latents": 64}


def test_missing_data_stop_the_search(tmp_path):
    """An error that no other configuration would avoid is raised, not counted as a failed trial."""
    config = registry.get("factorized").make_config("small", TINY)
    search = ConfigTuner(registry.get("factorized"), config, trials=1, directory=str(tmp_path / "search"))
    with pytest.raises(Exception, match="no records"):
        search.search(train_files=[], validation_files=[])
