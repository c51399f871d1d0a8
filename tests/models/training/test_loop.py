"""The training loop: goes on after an interruption, stops at NaN, is repeatable, starts from a pushed model."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from models.contract import registry
from models.contract.recipe import ConfigError
from models.publishing.export import export
from models.training.loop import TrainingError, compiled_model, train
from models.training.optimizers import schedule
from tests.models import line
from tests.models.kinds import KINDS


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return line.write(tmp_path_factory.mktemp("line"))


@pytest.fixture
def run(files, tmp_path):
    """Trains the line; options go into its configuration, but `callbacks` and `to` (a subfolder)."""

    def start(to="a", callbacks=(), **options):
        config = line.RECIPE_OF_TESTS.make_config("small", options)
        work, logs = str(tmp_path / to / "work"), str(tmp_path / to / "logs")
        return train(
            line.RECIPE_OF_TESTS, config, files, files,
            work_dir=work, log_dir=logs, callbacks=callbacks, progress=False,
        )  # fmt: skip

    return start


def history(folder, kept="logs") -> list[dict]:
    return json.loads((folder / kept / "history.json").read_text())


class Stop(keras.callbacks.Callback):
    """Interrupts after so many steps, as Ctrl-C or a kill does."""

    def __init__(self, steps: int):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_trains_and_tells_how(run, tmp_path):
    model = run(steps=40, steps_per_epoch=10, learning_rate=0.1)
    entries = history(tmp_path / "a")
    assert [e["step"] for e in entries] == [10, 20, 30, 40] and int(model.optimizer.iterations) == 40
    assert entries[-1]["loss"] < 0.1 * entries[0]["loss"] and all(np.isfinite(e["val_loss"]) for e in entries)
    assert list((tmp_path / "a" / "logs").rglob("events.out.tfevents*"))
    assert sorted(p.name for p in (tmp_path / "a" / "work").iterdir()) == ["epoch-4.weights.h5", "history.json"]


def test_goes_on_after_an_interruption_in_mid_epoch(run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(callbacks=[Stop(5)])
    before = history(tmp_path / "a")
    assert [e["step"] for e in before] == [2, 4]
    assert [p.name for p in (tmp_path / "a" / "work").glob("*.h5")] == ["epoch-2.weights.h5"]
    (tmp_path / "a" / "logs" / "history.json").unlink()  # each run of the pipeline has a new folder for its logs
    model = run()
    after = history(tmp_path / "a")
    assert [e["step"] for e in after] == [2, 4, 6, 8, 10] and after[:2] == before
    assert [e["seconds"] for e in after] == sorted(e["seconds"] for e in after)
    assert int(model.optimizer.iterations) == 10


def test_a_killed_write_is_not_taken_for_a_state(run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(callbacks=[Stop(5)])
    (tmp_path / "a" / "work" / "partial.weights.h5").write_bytes(b"half a file")
    assert int(run().optimizer.iterations) == 10


def test_a_finished_training_is_not_trained_again(run):
    weights = run().get_weights()
    seen = Stop(1)
    again = run(callbacks=[seen]).get_weights()
    assert seen.left == 1 and all(np.array_equal(a, b) for a, b in zip(weights, again, strict=True))


def test_the_seed_decides_everything(run):
    first, second, other = run("a").get_weights(), run("b").get_weights(), run("c", seed=2).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_loss_that_is_no_number_is_an_error_and_no_state_of_it_is_kept(run, tmp_path):
    with pytest.raises(TrainingError, match="^the loss of line became NaN or infinite; lower learning_rate"):
        run(learning_rate=1e38, gradient_clip_norm=0.0, steps_per_epoch=5)
    assert not list((tmp_path / "a" / "work").glob("*.h5"))


def test_no_step_waits_for_a_callback(files, tmp_path):
    """Keras waits for the numbers of every step as soon as one callback asks for them that is not `async_safe`."""
    given = []

    class Watched(line.Line):
        def fit(self, *args, callbacks, **kwargs):
            given.extend(callbacks)
            return super().fit(*args, callbacks=callbacks, **kwargs)

    def build(config):
        model = Watched(config)
        model(keras.ops.zeros((1, config.width)))
        return model

    recipe = dataclasses.replace(line.RECIPE_OF_TESTS, build=build)
    train(recipe, recipe.make_config("small"), files, files, work_dir=str(tmp_path / "w"), log_dir=str(tmp_path / "l"))
    base = keras.callbacks.Callback
    asking = [c for c in given if type(c).on_train_batch_end is not base.on_train_batch_end]
    assert {"Backup", "Progress", "Summaries"} <= {type(c).__name__ for c in asking}
    assert all(c.async_safe for c in asking) and all(type(c).on_batch_end is base.on_batch_end for c in given)


def test_fewer_steps_than_an_epoch(run, tmp_path):
    assert int(run(steps=1).optimizer.iterations) == 1
    assert [e["step"] for e in history(tmp_path / "a")] == [1]


def test_steps_that_are_no_whole_number_of_epochs(run, tmp_path):
    model = run(steps=13, steps_per_epoch=5)
    assert int(model.optimizer.iterations) == 13
    assert [e["step"] for e in history(tmp_path / "a")] == [5, 10, 13] and "val_loss" in history(tmp_path / "a")[-1]


def test_missing_records_are_named(tmp_path):
    config = line.RECIPE_OF_TESTS.make_config("small")
    with pytest.raises(FileNotFoundError, match="gone.gz"):
        train(
            line.RECIPE_OF_TESTS, config, [str(tmp_path / "gone.gz")], [],
            work_dir=str(tmp_path / "w"), log_dir=str(tmp_path / "l"), progress=False,
        )  # fmt: skip


def test_schedule_rises_then_falls():
    config = line.RECIPE_OF_TESTS.make_config(
        "small", {"steps": 100, "warmup_fraction": 0.1, "learning_rate": 1.0, "final_rate_fraction": 0.05}
    )
    rates = np.array([float(schedule(config)(step)) for step in range(101)])
    assert rates[0] > 0 and rates.argmax() == 10 and abs(rates[10] - 1) < 1e-6 and abs(rates[-1] - 0.05) < 1e-6
    assert (np.diff(rates[:11]) > 0).all() and (np.diff(rates[10:]) < 0).all()


def test_a_pushed_model_is_a_start(run, tmp_path):
    recipe = line.RECIPE_OF_TESTS
    model = run()
    export(recipe, recipe.make_config("small"), model, str(tmp_path / "pushed"))
    config = recipe.make_config("small", {"init": str(tmp_path / "pushed"), "seed": 9})
    started = compiled_model(recipe, config).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(started, model.get_weights(), strict=True))
    with pytest.raises(ConfigError, match="init=.*pushed: its weights do not fit this model"):
        compiled_model(recipe, recipe.make_config("small", {"init": str(tmp_path / "pushed"), "width": 3}))
    with pytest.raises(ConfigError, match="init=.*: no pushed model there"):
        compiled_model(recipe, recipe.make_config("small", {"init": str(tmp_path)}))


@pytest.mark.parametrize("name, wider", [("hyperprior", {}), ("factorized", {"channels": 9})])
def test_another_codecs_weights_are_refused(name, wider, tmp_path):
    small = registry.get("factorized")
    weights = tmp_path / "pushed" / "assets.extra" / "model.weights.h5"
    weights.parent.mkdir(parents=True)
    small.build(small.make_config("small", KINDS["codec"].tiny)).save_weights(weights)
    recipe = registry.get(name)
    config = recipe.make_config("small", KINDS["codec"].tiny | wider | {"init": str(tmp_path / "pushed")})
    with pytest.raises(ConfigError, match="its weights do not fit"):
        compiled_model(recipe, config)


def test_another_recipes_model_gives_what_both_have(tmp_path, capsys):
    plain, edic = registry.get("mean_scale_hyperprior"), registry.get("edic")
    given = plain.build(plain.make_config("small", KINDS["codec"].tiny))
    extra = tmp_path / "pushed" / "assets.extra"
    extra.mkdir(parents=True)
    given.save_weights(extra / "model.weights.h5")
    (extra / "kompakt.json").write_text(json.dumps({"recipe": plain.name}))
    started = compiled_model(edic, edic.make_config("small", KINDS["codec"].tiny | {"init": str(tmp_path / "pushed")}))
    for one, two in zip(given.synthesis.layers, started.synthesis.layers, strict=False):
        assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))
    kernels = [layer.kernel for layer in started.analysis.layers if isinstance(layer, keras.layers.Conv2D)]
    assert np.array_equal(kernels[3], given.analysis.layers[6].kernel)
    assert "weights come from another recipe's model" in capsys.readouterr().out
