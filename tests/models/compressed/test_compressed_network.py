"""A compression by the training loop: what it leaves, what is served, and what it refuses."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.native_model import NativeModel
from models.classifiers import int8
from models.compressed import archive, original, unpacking
from models.compressed.coded import kernels_of, rest_of
from models.compressed.compressed_network import SUMMARY, UNCOMPRESSED
from models.compressed.statistics import estimate
from models.contract import registry
from models.contract.recipe import ConfigError
from models.publishing import pushed
from models.publishing.export import export
from models.training.loop import train
from tests.models.examples import photograph, png
from tests.models.kinds import KINDS, tiny

pytestmark = pytest.mark.slow

RECIPE = registry.get("compressed_network")


@pytest.fixture(scope="module")
def done(records, tmp_path_factory):
    """A short compression, exported: (configuration, model, folder)."""
    folder, files = tmp_path_factory.mktemp("compressed"), records("compressed")
    config = RECIPE.make_config("small", tiny(RECIPE) | {"steps": 16, "steps_per_epoch": 8, "beta": 1.0})
    model = train(RECIPE, config, [files["train"]], [files["validation"]], work_dir=str(folder / "work"),
                  log_dir=str(folder / "logs"), progress=False)  # fmt: skip
    export(RECIPE, config, model, str(folder / "model"), examples=[files["train"]])
    return config, model, folder


def test_kernels_have_as_many_values_as_there_are_centres(done):
    config, model, folder = done
    _, _, served = pushed.load(str(folder / "model"))
    values = {float(v) for kernel in kernels_of(served.network) for v in np.ravel(kernel)}
    assert len(values) <= config.centres
    assert values <= {float(v) for v in np.ravel(model.quantizer.centres)}
    assert all(np.array_equal(w, np.array(w).astype(np.float16)) for w in rest_of(served.network))


def test_the_second_phase_moves_centres_and_leaves_the_assignments(done, records):
    config, model, folder = done
    history = json.loads((folder / "logs" / "history.json").read_text())
    assert [e["phase"] for e in history] == ["soft", "soft", "hard"]
    assert history[-1]["bits"] <= 3.0
    files = records("compressed")
    hard = dataclasses.replace(config, stage="hard")
    other = RECIPE.build(hard)
    other.set_weights(model.get_weights())
    assigned, centres = np.array(other.assigned), np.array(other.quantizer.centres)
    other.compile(keras.optimizers.Adam(1e-2))
    other.fit(RECIPE.inputs([files["train"]], hard, True), steps_per_epoch=3, verbose=0)
    assert np.array_equal(other.assigned, assigned) and not np.array_equal(other.quantizer.centres, centres)
    names = {v.path for v in other.trainable_variables}
    assert not names & {k.path for k in kernels_of(other.network)}


def test_the_archive_unpacks_to_what_is_served(done, tmp_path):
    _, _, folder = done
    directory = folder / "model"
    content = (directory / pushed.EXTRA / archive.FILE).read_bytes()
    unpacking.write(content, tmp_path / "again")
    pictures = [png(photograph(n, n + 3)) for n in (9, 16, 40)]
    answers = []
    for place in (directory, tmp_path / "again"):
        with NativeModel(place) as served:
            answers.append(served("predict", image_bytes=pictures)["probabilities"])
    assert np.array_equal(*answers)
    weights = [pushed.load(str(place))[2].get_weights() for place in (directory, tmp_path / "again")]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


def test_what_lies_beside_says_what_it_takes(done):
    config, _, folder = done
    extra = folder / "model" / pushed.EXTRA
    said = json.loads((extra / SUMMARY).read_text())
    assert said["archive"] == (extra / archive.FILE).stat().st_size == sum(said["bytes"].values())
    _, _, before = original.load(config.model)
    assert said["float32"] == 4 * sum(w.size for w in before.network.get_weights())
    assert (extra / UNCOMPRESSED / int8.FILE).stat().st_size > 1000
    assert pushed.describe(folder / "model")["trained_by"]["recipe"] == "compressed_network"


def test_training_sees_other_kernels_than_the_network_keeps(records):
    config = RECIPE.make_config("small", tiny(RECIPE) | {"centres": 2})
    model = RECIPE.build(config)
    x, _ = next(iter(RECIPE.inputs([records("compressed")["train"]], config, True)))
    hard, _ = model.kernels(False)
    assert len(np.unique(np.concatenate([np.ravel(k) for k in hard]))) == 2
    expected = np.array(model(x, training=False)["logits"])
    kept = [np.array(k) for k in kernels_of(model.network)]
    for variable, value in zip(kernels_of(model.network), hard, strict=True):
        variable.assign(value)
    assert np.allclose(model.network(x, training=False), expected, atol=1e-5)
    assert not all(np.array_equal(a, b) for a, b in zip(kept, hard, strict=True))


def test_statistics_are_the_means_of_batches():
    inputs = keras.Input((4, 4, 2))
    outputs = keras.layers.BatchNormalization(momentum=0.9)(inputs)
    network = keras.Model(inputs, outputs)
    batches = [np.random.default_rng(n).normal(n, 1 + n, (8, 4, 4, 2)).astype("float32") for n in range(3)]
    estimate(network, [(tf.constant(b), None) for b in batches])
    layer = network.layers[-1]
    assert np.allclose(layer.moving_mean, np.mean([b.mean((0, 1, 2)) for b in batches], 0), atol=1e-4)
    assert np.allclose(layer.moving_variance, np.mean([b.var((0, 1, 2)) for b in batches], 0), rtol=1e-3)
    assert layer.momentum == 0.9


def test_the_entropy_term_lowers_the_bits(records, tmp_path):
    found, files = [], records("compressed")
    for beta in (0.0, 30.0):
        config = RECIPE.make_config("small", tiny(RECIPE) | {"steps": 40, "steps_per_epoch": 40, "beta": beta,
                                                            "learning_rate": 0.03})  # fmt: skip
        keras.utils.clear_session()
        model = train(RECIPE, config, [files["train"]], [files["validation"]], work_dir=str(tmp_path / f"w{beta}"),
                      log_dir=str(tmp_path / f"l{beta}"), progress=False)  # fmt: skip
        shares = np.bincount(model.coded().symbols) / len(model.coded().symbols)
        found.append(-(shares * np.log2(np.maximum(shares, 1e-12))).sum())
    assert found[1] < 0.8 * found[0]


def test_what_cannot_be_compressed_is_one_line(records, tmp_path):
    def config(**options):
        return RECIPE.make_config("small", KINDS["compressed"].tiny | options)

    with pytest.raises(ConfigError, match="neither a recipe's name nor a pushed model"):
        RECIPE.build(config(model=str(tmp_path)))
    with pytest.raises(ConfigError, match="outside the pipeline"):
        RECIPE.build(config(model="resnet"))
    with pytest.raises(ConfigError, match="not one of the classifiers"):
        config(model="factorized")
    with pytest.raises(ConfigError, match="budget=1"):
        config(budget=1.0)
    with pytest.raises(ConfigError, match="give the classifier that is compressed as model="):
        config(init=str(tmp_path))
    with pytest.raises(ConfigError, match="3 classes apart, the data have 4"):
        RECIPE.build(config(classes=4))
    with pytest.raises(ConfigError, match="image_size=20"):
        RECIPE.adapt(config(classes=0, image_size=20), [records("compressed")["train"]])
    codec = registry.get("factorized")
    options = codec.make_config("small", KINDS["codec"].tiny)
    pushed.save(tmp_path / "codec", codec, options, codec.build(options))
    with pytest.raises(ConfigError, match="factorized, which is no classifier"):
        RECIPE.build(config(model=str(tmp_path / "codec")))


class Kill(keras.callbacks.Callback):
    """Stops the training as a kill does, in an epoch of the first phase."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1 and self.model.config.stage == "soft":
            raise KeyboardInterrupt


def test_a_killed_compression_hardens_as_it_would_have(records, tmp_path):
    files, config = records("compressed"), RECIPE.make_config("small", tiny(RECIPE) | {"steps": 6, "soft_share": 0.67})

    def run(name, *callbacks):
        return train(RECIPE, config, [files["train"]], [files["validation"]], work_dir=str(tmp_path / name),
                     log_dir=str(tmp_path / f"{name}-logs"), callbacks=callbacks, progress=False)  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        run("killed", Kill())
    killed, whole = run("killed"), run("whole")
    assert float(killed.quantizer.sigma) == pytest.approx(float(whole.quantizer.sigma), rel=1e-3)
    assert float(whole.quantizer.annealed[0]) == 4.0
