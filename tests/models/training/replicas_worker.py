"""Every recipe's model on two devices and on one: `test_replicas.py` runs this with two logical CPU devices.

    python -m tests.models.training.replicas_worker FOLDER

writes records/KIND with what to train on, and found.json: of every case the STEPs of one device and of two, what a
training step and a validation report and leave; how noise differs; and what became of an infinite gradient. Those of
`TRAINED` are trained as well, into FOLDER/NAME.
"""

import contextlib
import json
import pathlib
import sys
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from models.contract import registry
from models.contract.recipe import ConfigError
from models.publishing.export import export
from models.training import replicas
from models.training.loop import compiled_model, strategy_scope, train
from tests import quick
from tests.models import line
from tests.models.generative import small_game
from tests.models.kinds import KINDS, tiny, write_records
from tests.models.training import game

# Four examples, two a device; no noise, which is never the same, and what reaches the optimizer is the gradient.
SAME = {"batch_size": 4, "steps": 3, "steps_per_epoch": 2, "quantisation": "rounded", "gradient_clip_norm": 0.0}
TERMS = "ce + logits + hint(layer=stage2) + cckd + rkd_distance + rkd_angle + cwtm"  # most couple the examples
ONE_DEVICE = ("law",)  # it weighs examples by their rank in a batch
WITHOUT_NOISE = {
    "distribution_preserving": {"mse_only": True}, "dvc": {"rates": 1}, "edic_video": {"rates": 1},
}  # fmt: skip
CASES = {name: (name, WITHOUT_NOISE.get(name, {})) for name in registry.recipes() if name not in ONE_DEVICE} | {
    "clipped": ("small_cnn", {"gradient_clip_norm": 0.5}), "variable rate": ("factorized", {"rates": 3}),
}  # fmt: skip
# With the order of a batch alone its loss changes by 1e-5 and its gradient by 1e-4: values near the kinks of ReLU6.
# And latents whose mean is far above their spread lose digits of their variance.
IN_DOUBLE = ("mobilenet_v2", "code_segmenter")
# recipe -> what is validated on: fewer than a batch, or a batch and one more.
TRAINED = {"factorized": "one", "small_cnn": "five", "ecg_cnn": "five"}


def config_of(recipe, **options):
    """The tiny configuration, of batches that two devices share, without noise."""
    own = tiny(recipe)
    # Faces have theirs in their tiny configuration, and what is kept of a teacher may be its logits alone.
    terms = {"terms": TERMS} if recipe.data == "pictures" and "cached" not in own else {}
    fields = recipe.config.__dataclass_fields__
    known = {k: v for k, v in (SAME | terms).items() if k in fields}
    known["batch_size"] = max(known["batch_size"], fields["batch_size"].metadata["low"])
    return recipe.make_config("small", own | known | options)


def train_one(name: str, folder: pathlib.Path):
    """Trains a recipe on the records in the folder, into FOLDER/NAME: (recipe, configuration, model)."""
    recipe, records = registry.get(name), folder / "records" / registry.get(name).shape
    config = config_of(recipe, optimizer="sgd", gradient_clip_norm=1.0)  # Adam makes much of small differences
    model = train(
        recipe, config, [str(records / "train.gz")], [str(records / f"{TRAINED[name]}.gz")],
        work_dir=str(folder / name / "work"), log_dir=str(folder / name), progress=False,
    )  # fmt: skip
    return recipe, config, model


def write(kind: str, folder: pathlib.Path) -> None:
    """Records: train.gz, and five and one of those labelled."""
    folder.mkdir(parents=True)
    files = KINDS[kind].write(folder)
    examples = [r.numpy() for f in files.values() for r in tf.data.TFRecordDataset(f, "GZIP")]
    write_records(folder / "five.gz", examples[1:6])
    write_records(folder / "one.gz", examples[1:2])


def step(model, batches, validation) -> dict:
    """A validation and one training step: what they report, norms of the gradient that the optimizer saw, averages."""
    strategy = model.distribute_strategy

    def reported(function, dataset):
        model.reset_metrics()
        for batch in strategy.experimental_distribute_dataset(dataset):
            strategy.run(function, args=(batch,))
        return {k: float(v) for k, v in model.get_metrics_result().items()}

    found = {"validated": reported(model.test_step, validation)}  # before Adam makes much of small differences
    found["trained"] = reported(model.train_step, batches.take(1))
    # The first moment of Adam is a tenth of the first gradient.
    found["norms"] = [float(10 * np.linalg.norm(v)) for v in model.optimizer.variables if v.path.endswith("momentum")]
    found["averages"] = [np.array(v).tolist() for v in model.non_trainable_variables if "moving" in v.path]
    return found


def steps(name: str, options: dict, folder: pathlib.Path) -> dict:
    """The STEPs of one device and of two."""
    recipe = registry.get(name)
    records, config = folder / "records" / recipe.shape, config_of(recipe, **options)
    found = {}
    validation = recipe.inputs([str(records / "five.gz")], config, False)
    precision = "float64" if name in IN_DOUBLE else "float32"
    policy = mock.patch("models.contract.precision.resolved_precision", lambda config: precision)
    for devices, scope in (("one", contextlib.nullcontext()), ("two", strategy_scope())):
        with scope, policy:
            model = compiled_model(recipe, config)
        batches = recipe.inputs([str(records / "train.gz")], config, True)  # a second pass would draw others
        found[devices] = step(model, batches, validation)
    return found


def noise() -> dict:
    """The states from which the replicas of two models draw their noise, by variable."""
    found = {}
    for name, options in (("factorized", {}), ("wide_resnet", {"dropout": 0.3})):
        recipe = registry.get(name)
        with strategy_scope():
            model = compiled_model(recipe, config_of(recipe, **options))
        replicas.part_noise(model)
        local = model.distribute_strategy.experimental_local_results
        for variable in model.non_trainable_variables:
            if "seed" in variable.name:
                found[variable.path] = [np.array(copy).tolist() for copy in local(variable.value)]
    return found


def half_precision() -> dict:
    """Two steps with a scaled loss, in the first of which the second replica's gradient is infinite."""
    recipe = line.RECIPE_OF_TESTS
    with strategy_scope():
        model = compiled_model(recipe, recipe.make_config("small"))
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3), initial_scale=8.0))
        model.optimizer.build(model.trainable_variables)
        replicas.unite(model)
    weights = [model.get_weights()]
    for last in (np.inf, 1.0):
        batches = tf.data.Dataset.from_tensors(tf.constant([[1.0, 2.0], [1.0, last]]))
        model.fit(batches, verbose=0)
        weights.append(model.get_weights())
    return {
        "kept": all(np.array_equal(a, b) for a, b in zip(*weights[:2], strict=True)),
        "changed": any((a != b).any() for a, b in zip(*weights[1:], strict=True)),
        "finite": all(bool(np.isfinite(w).all()) for w in weights[2]),
        "scale": float(np.array(model.optimizer.dynamic_scale)),
    }


class Stop(keras.callbacks.Callback):
    """Interrupts in the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def interrupted(folder: pathlib.Path) -> dict:
    """Steps that a training has behind it that was interrupted and went on; what the model says of three examples."""
    recipe, files = line.RECIPE_OF_TESTS, line.write(folder)
    for callbacks in ([Stop()], []):
        with contextlib.suppress(KeyboardInterrupt):
            model = train(
                recipe, recipe.make_config("small", {"steps": 4}), files, files, callbacks=callbacks, progress=False,
                work_dir=str(folder / "line" / "work"), log_dir=str(folder / "line"),
            )  # fmt: skip
    x = np.arange(6, dtype="float32").reshape(3, 2)
    answers = model.predict(x, batch_size=2, verbose=0), model(x)
    return {"steps": int(np.array(model.optimizer.iterations)), "answers": [np.array(a).tolist() for a in answers]}


def played(folder: pathlib.Path, recipe=game.RECIPE_OF_TESTS, **options) -> dict:
    """Weights and updates of each optimizer after a game."""
    own = folder / recipe.name
    model = train(recipe, recipe.make_config("small", options), [], [], work_dir=str(own / "work"), log_dir=str(own),
                  progress=False)  # fmt: skip
    updates = [int(np.array(group.optimizer.iterations)) for group in model.optimizer.groups]
    return {"weights": [w.tolist() for w in model.get_weights()], "updates": updates}


def refused() -> str:
    """What is said of a batch that cannot be shared."""
    try:
        train(line.RECIPE_OF_TESTS, line.RECIPE_OF_TESTS.make_config("small", {"batch_size": 5}), [], [],
              work_dir="", log_dir="")  # fmt: skip
    except ConfigError as error:
        return str(error)
    return ""


def on_one_device() -> list[str]:
    """What recipes say that take one device alone."""
    said = []
    for name in ONE_DEVICE:
        try:
            with strategy_scope():
                compiled_model(registry.get(name), config_of(registry.get(name)))
        except ConfigError as error:
            said.append(str(error))
    return said


def main(folder: pathlib.Path) -> None:
    """Runs and trains."""
    quick.collect_rarely()
    quick.run_as_traced()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    with strategy_scope():
        assert replicas.count() == 2
    for kind in {recipe.shape for recipe in registry.recipes().values()}:
        write(kind, folder / "records" / kind)
    found = {"steps": {case: steps(*chosen, folder) for case, chosen in CASES.items()}}
    for name in TRAINED:
        recipe, config, model = train_one(name, folder)
        if name == "small_cnn":
            export(recipe, config, model, str(folder / "exported"))
            np.save(folder / "weights.npy", np.concatenate([w.ravel() for w in model.get_weights()]))
    found |= {"noise": noise(), "half": half_precision(), "interrupted": interrupted(folder), "refused": refused(),
              "on one device": on_one_device(),
              "game": played(folder), "turns": played(folder, small_game.RECIPE_OF_TESTS, alone=False)}  # fmt: skip
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
