"""The contract that every registered recipe goes through; a new recipe's file is tested the moment it exists."""

import dataclasses
import functools
import json
import os
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf

from components import native_model
from components.native_model import load_part
from models.contract import registry
from models.contract.recipe import ConfigError, Metric
from models.contract.training import Files, single
from models.publishing.export import foreign_ops
from models.training.loop import compiled_model
from tests import alone
from tests.models.kinds import KINDS, photograph, png, tiny

ALL = sorted(registry.recipes())
# A search, a network on recordings, a codec and a classifier; the contract of all others is slow.
FIRST = ("bilinear", "ecg_cnn", "factorized", "small_cnn")
TRAINED = [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in ALL]


@pytest.fixture
def recipe(request):
    return registry.get(request.param)


@pytest.fixture
def kind(recipe):
    return KINDS[recipe.shape]


@pytest.fixture
def config(recipe):
    return recipe.make_config("small", tiny(recipe))


@pytest.fixture(scope="module")
def first(records):
    """(recipe, configuration) -> the first training batch; the last one is kept, since all tests of a recipe ask."""

    @functools.lru_cache(1)
    def of(name, config):
        recipe = registry.get(name)
        batches = recipe.inputs([records(recipe.shape)["train"]], config, True)
        assert not batches.options().autotune.enabled  # see `models.records.pictures.steady`
        return next(iter(batches))

    return of


@pytest.fixture
def batch(recipe, config, first):
    """The first training batch."""
    return first(recipe.name, config)


def loss_of(model, batch):
    """The training loss of a batch, scalar; of a game, that of both sides in turn."""
    x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
    made = model(x, training=True)
    return sum(model.compute_loss(x, y, made, weight, training=True) for _ in range(getattr(model, "turns", 1)))


@pytest.mark.parametrize("recipe", ALL, indirect=True)
class TestDescription:
    """What is said of a recipe, without a model."""

    def test_describes_itself(self, recipe):
        assert recipe.summary and "\n" not in recipe.summary and recipe.source.endswith(".py")
        assert recipe.shape in KINDS and {"small", "paper"} <= set(recipe.presets)
        for preset in recipe.presets:
            recipe.make_config(preset)
        assert recipe.evaluation.metrics and all(isinstance(m, Metric) for m in recipe.evaluation.metrics)
        assert {m.better for m in recipe.evaluation.metrics} <= {"higher", "lower"}
        assert set(recipe.evaluation.comparable) <= {f.name for f in dataclasses.fields(recipe.config)}

    def test_every_option_says_what_it_is(self, recipe):
        assert all(f.metadata.get("about") for f in dataclasses.fields(recipe.config))

    def test_configuration_round_trips_through_json(self, recipe, config):
        text = json.dumps(dataclasses.asdict(config))
        assert recipe.config(**json.loads(text)) == config
        as_text = {k: str(v) for k, v in dataclasses.asdict(config).items()}
        assert recipe.make_config("small", as_text) == config

    def test_unknown_options_and_wrong_types_are_refused(self, recipe):
        with pytest.raises(ConfigError, match=f"{recipe.name} has no option 'learningrate'.*'learning_rate'"):
            recipe.make_config("small", {"learningrate": 1e-3})
        with pytest.raises(ConfigError, match="has no preset 'tiny'; it has"):
            recipe.make_config("tiny")
        for wrong in ({"steps": 2.5}, {"steps": "many"}, {"learning_rate": "nan"}, {"seed": True}, {"steps": None}):
            with pytest.raises(ConfigError, match=next(iter(wrong))):
                recipe.make_config("small", wrong)

    def test_phases_share_its_steps(self, recipe, config, tmp_path):
        given = {"teacher": config.teacher} if hasattr(config, "teacher") else {}
        for options in (config, *(recipe.make_config(preset, given) for preset in recipe.presets)):
            (folder := tmp_path / str(options.steps)).mkdir(exist_ok=True)
            found = list((recipe.phases or single)(options, Files([], [], str(folder), str(folder))))
            assert len({phase.name for phase in found}) == len(found)
            assert sum(phase.steps for phase in found) == options.steps and all(phase.steps > 0 for phase in found)
            assert all(phase.config(options).steps == phase.steps for phase in found)


@pytest.mark.parametrize("recipe", TRAINED, indirect=True)
class TestContract:
    """What the pipeline, the tuner and the command line rely on."""

    def test_builds_the_same_model_from_the_same_seed_with_every_variable(self, recipe, config, batch, kind):
        def built(seed):
            keras.utils.set_random_seed(seed)
            return recipe.build(config)

        model, again = built(1), built(1)
        assert model.built and all(layer.built for layer in model._flatten_layers())
        count = len(model.variables)
        kind.outputs(model, batch)
        assert len(model.variables) == count
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))

    def test_a_step_lowers_the_loss_and_its_gradient_reaches_every_variable(self, recipe, config, batch):
        keras.utils.set_random_seed(1)
        model = recipe.build(config)
        names = [v.path for v in model.trainable_variables]
        trainable = {id(v) for v in model.trainable_variables}
        state = [(v, np.array(v)) for v in model.variables if id(v) not in trainable]  # seeds of the noise, say
        with tf.GradientTape() as tape:
            before = loss_of(model, batch)
        gradients = tape.gradient(before, [v.value for v in model.trainable_variables])
        dead = [n for n, g in zip(names, gradients, strict=True) if g is None or not np.any(g)]
        assert not dead and all(np.isfinite(g).all() for g in gradients)
        optimizer = keras.optimizers.Adam(1e-4)
        optimizer.apply(gradients, model.trainable_variables)
        for variable, value in state:
            variable.assign(value)
        assert float(loss_of(model, batch)) < float(before)

    def test_weights_of_examples_weigh(self, recipe, config, batch):
        model = recipe.build(config)
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        given = x, y, model(x, training=False)
        count = len(keras.tree.flatten(x)[0])
        all_, none = (float(model.compute_loss(*given, np.full(count, w), training=False)) for w in (1.0, 0.0))
        assert np.isclose(all_, float(model.compute_loss(*given, training=False)), rtol=1e-6) and none < all_

    def test_no_searched_option_changes_how_weights_are_judged(self, recipe, config, records):
        searched = {f.name: f.metadata["search"] for f in dataclasses.fields(config) if f.metadata["search"]}
        moved = {n: s.high for n, s in searched.items() if not s.choices and isinstance(getattr(config, n), float)}
        if not set(moved) - {"learning_rate"}:
            return  # sizes: there are no two models of the same weights
        weighed = {"terms": "alpha*ce + beta*logits(temperature=temperature)", "class_shares": "[0.1, 0.2, 0.3, 0.4]"}
        config = dataclasses.replace(config, **{name: v for name, v in weighed.items() if hasattr(config, name)})
        found, weights = [], None
        for options in (config, dataclasses.replace(config, **moved)):
            model = recipe.build(options)
            model.set_weights(weights or model.get_weights())
            weights = model.get_weights()
            model.compile(run_eagerly=True)
            batches = recipe.inputs([records(recipe.shape)["validation"]], options, False)
            found.append(model.evaluate(batches, verbose=0, return_dict=True))
        name = recipe.judge.name.removeprefix("val_")
        assert found[0][name] == found[1][name]
        assert found[0]["loss"] != found[1]["loss"]  # they do change what is learned

    @pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
    def test_mixed_precision(self, recipe, config, batch, kind, precision):
        config = dataclasses.replace(config, precision=precision)
        model = compiled_model(recipe, config)
        model.run_eagerly = True
        assert keras.config.dtype_policy().name == "float32"  # the policy was the model's own
        policies = {layer.compute_dtype for layer in model._flatten_layers()}
        assert precision.removeprefix("mixed_") in policies
        assert {v.dtype for v in model.trainable_variables} == {"float32"}
        before = model.get_weights()
        for _ in range(16):  # the scale of a float16 loss must settle
            assert np.isfinite(model.train_on_batch(*keras.utils.unpack_x_y_sample_weight(batch))).all()
            if trained := any((a != b).any() for a, b in zip(model.get_weights(), before, strict=True)):
                break
        assert trained
        assert all(np.isfinite(o).all() for o in kind.outputs(model, batch))

    def test_saves_and_loads(self, recipe, config, batch, kind, tmp_path):
        model = recipe.build(config)
        expected = kind.outputs(model, batch)
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        assert type(loaded) is type(model) and loaded.get_config() == model.get_config()
        assert all(np.array_equal(a, b) for a, b in zip(kind.outputs(loaded, batch), expected, strict=True))
        model.save_weights(tmp_path / "m.weights.h5")
        other = recipe.build(dataclasses.replace(config, seed=config.seed + 1))
        other.load_weights(tmp_path / "m.weights.h5")
        assert all(np.array_equal(a, b) for a, b in zip(kind.outputs(other, batch), expected, strict=True))

    def test_trains_exports_and_answers_every_signature(self, recipe, kind, trained):
        done = trained(recipe.name)
        history = json.loads((done.logs / "history.json").read_text())
        assert [e["step"] for e in history][-1] == 3 and all("val_loss" in e for e in history)
        assert np.isfinite(recipe.judge.value(history))
        assert not foreign_ops(str(done.directory))
        with done.served() as served:
            assert set(served) - getattr(kind, "some_have", set()) == kind.signatures
            kind.check_answers(served, recipe, done.config)
        for name in kind.signatures:
            with load_part(done.directory, name) as part:
                assert list(part.signatures) == [name]


ALONE = """
import importlib.util
import sys
spec = importlib.util.spec_from_file_location("native_model", sys.argv[1])
native_model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(native_model)
picture = open(sys.argv[2], "rb").read()
for directory in sys.argv[3:]:
    compress, decompress = (native_model.load_part(directory, name) for name in ("compress", "decompress"))
    stream = open(directory + ".kmp", "rb").read()
    again = compress("compress", image_bytes=[picture])["bitstream_bytes"][0]
    open(directory + ".png", "wb").write(decompress("decompress", bitstream_bytes=[stream])["image_bytes"][0])
    print(int(again == stream))
assert not {m.partition(".")[0] for m in sys.modules} & {"models", "tensorflow", "tensorflow_compression_ops"}
"""


@pytest.mark.slow
def test_a_process_of_tensorflow_alone_reads_the_streams_on_one_thread(trained, tmp_path):
    """The parts of served codecs in a fresh process: no code of ours in Python, one thread, the same streams."""
    directories = {n: str(trained(n).directory) for n in ALL if registry.get(n).shape == "codec"}
    source = png(photograph(70, 90))
    (tmp_path / "p.png").write_bytes(source)
    expected = {}
    for name, directory in directories.items():
        compress, decompress = (load_part(directory, part) for part in ("compress", "decompress"))
        stream = compress("compress", image_bytes=[source])["bitstream_bytes"]
        expected[name] = tf.io.decode_png(decompress("decompress", bitstream_bytes=stream)["image_bytes"][0]).numpy()
        with open(directory + ".kmp", "wb") as file:
            file.write(stream[0])
    command = alone.command(ALONE, native_model.__file__, tmp_path / "p.png", *directories.values())
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""} | threads
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1"] * len(directories)
    for name, directory in directories.items():
        pixels = tf.io.decode_png(tf.io.read_file(directory + ".png")).numpy()
        assert np.abs(pixels.astype(int) - expected[name]).max() <= 1
