"""The run_fn: what names a training, and that one training is done by one run at a time."""

import json
import threading
import types

import pytest

from components import artifacts
from components.training import trainer
from models import files
from models.contract import registry
from tests.components import toy_model

TINY = {"channels": 8, "latents": 8, "crop_size": 64, "batch_size": 2, "steps": 2, "steps_per_epoch": 2}


def told(**more) -> dict:
    """A step's `custom_config`."""
    config = vars(registry.get("factorized").make_config("small", TINY))
    return {"recipe": "factorized", "config": config, "run": "r", "models": {}} | more


def test_on_a_cluster_data_steps_and_models_name_the_training_as_well(tmp_path):
    assert trainer.run_of(told()) == "r"
    model = tmp_path / "model"
    model.write_text("weights")
    with_model = told(data="a", models={"init": ""})
    with_model["config"] = with_model["config"] | {"init": str(model)}
    known = [
        trainer.run_of(told(data="a")), trainer.run_of(told(data="b")), trainer.run_of(with_model),
        trainer.run_of(told(data="a", config=told()["config"] | {"steps": 3})),
    ]  # fmt: skip
    model.write_text("other weights")
    known.append(trainer.run_of(with_model))
    assert len({*known, "r"}) == 6
    assert trainer.run_of(told(data="a")) == known[0]


@pytest.mark.slow
def test_runs_of_one_training_wait_for_each_other(tmp_path, capsys):
    """The second finds the folder taken; when it is free, it trains, and notes what decided its model."""
    toy_model.write_records(tmp_path / "part.gz", [(70, 66), (64, 80)])
    resume = tmp_path / "training"
    resume.mkdir()
    options = told(data="a", resume_dir=str(resume))
    record_files = [str(tmp_path / "part.gz")]
    arguments = types.SimpleNamespace(
        custom_config=options, train_files=record_files, eval_files=record_files,
        serving_model_dir=str(tmp_path / "model"), model_run_dir=str(tmp_path / "run"),
    )  # fmt: skip
    config = registry.get("factorized").adapt(trainer.options_of(arguments)[1], record_files)
    key = artifacts.digest(trainer.run_of(options), vars(config))
    foreign = resume / artifacts.digest(trainer.run_of(options | {"data": "b"}), vars(config))
    (foreign / "state").mkdir(parents=True)  # an unfinished training of the same pipeline on other data
    training = threading.Thread(target=trainer.run_fn, args=(arguments,))
    with files.held(resume / f"{key}.lock"):
        training.start()
        training.join(3)
        assert training.is_alive() and not (resume / key).exists()
        assert "waiting for it" in capsys.readouterr().out
    training.join()
    origin = json.loads((tmp_path / "model" / artifacts.ORIGIN).read_text())
    assert origin["run"] == trainer.run_of(options) != "r"
    assert list(resume.iterdir()) == [foreign] and not list((foreign / "state").iterdir())
