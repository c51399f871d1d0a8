"""The models of electrocardiograms: padding, sign, weights, scores, configuration."""

import dataclasses

import keras
import numpy as np
import pytest
import sklearn.metrics

from models.contract import registry
from models.contract.recipe import ConfigError
from models.ecg import ecg, ecg_resnet
from models.ecg.ecg import ChallengeF1, class_weights
from tests.models.kinds import heartbeat, tiny

NAMES = ("ecg_cnn", "ecg_crnn", "ecg_resnet")


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    """A small model whose moving statistics are not those of the start."""
    recipe = registry.get(request.param)
    own = {"lstm_units": 5, "lstm_layers": 2, "blocks": 4, "layers": 2} if recipe.name == "ecg_crnn" else {"blocks": 6}
    config = recipe.make_config("small", tiny(recipe) | own)
    keras.utils.set_random_seed(1)
    model = recipe.build(config)
    for n in range(20):
        model(given([heartbeat(3, seed=n), heartbeat(2, 120, seed=n)]), training=True)
    return model


def given(signals: list[np.ndarray], seconds: float = 0.0) -> dict:
    """The batch of some signals, padded with zeros to the longest and by so many seconds."""
    length = np.array([len(s) for s in signals], "int32")
    samples = np.zeros((len(signals), length.max() + round(300 * seconds)), "float32")
    for row, signal in zip(samples, signals, strict=True):
        row[: len(signal)] = signal
    return {"samples": samples, "length": length}


def probabilities(model, *args) -> np.ndarray:
    """[B, K] float64."""
    return np.array(keras.ops.softmax(model(given(*args), training=False)), "float64")


def test_padding_and_company_have_no_effect(model):
    signals = [heartbeat(s, 60 + 7 * s, n) for n, s in enumerate((5, 9, 9.11, 30, 61))]
    alone = np.concatenate([probabilities(model, [s]) for s in signals])
    assert np.abs(probabilities(model, signals) - alone).max() < 2e-6
    for seconds in (0.01, 0.11, 0.22, 3.3, 60.0):
        padded = np.concatenate([probabilities(model, [s], seconds) for s in signals[1:3]])
        assert np.abs(padded - alone[1:3]).max() < 2e-6
    assert np.abs(alone - alone[0]).max() > 1e-4  # they are not all the same


def test_padding_has_no_effect_on_the_loss(model):
    signals, y = [heartbeat(3, 60), heartbeat(2, 120)], np.eye(4, dtype="float32")[:2]
    start = model.get_weights()
    losses, states = [], []
    for seconds in (0.0, 0.3, 10.0):
        model.set_weights(start)
        for part in model._flatten_layers():
            if isinstance(part, keras.layers.Dropout):
                part.rate = 0.0
        losses.append(float(model.compute_loss(None, y, model(given(signals, seconds), training=True))))
        states.append(model.get_weights())
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    for state in states:
        assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(state, states[0], strict=True))
    model.set_weights(start)


def test_an_inverted_lead_gives_the_same_answer(model):
    signals = [heartbeat(5), heartbeat(7, 110)]
    if isinstance(model, ecg_resnet.EcgResnet):
        pytest.skip("a network on samples learns from both signs, and is not the same for them")
    assert np.array_equal(probabilities(model, signals), probabilities(model, [-s for s in signals]))


def test_half_precision_does_not_spoil_the_samples():
    recipe = registry.get("ecg_cnn")
    config = recipe.make_config("small", tiny(recipe))
    half = recipe.build(dataclasses.replace(config, precision="mixed_float16"))
    whole = recipe.build(config)
    half.set_weights(whole.get_weights())
    x = given([heartbeat(5), heartbeat(3)])
    spectrograms = [keras.Model(m.cnn.inputs, m.cnn.get_layer("spectrogram").output) for m in (half, whole)]
    for part in spectrograms:
        part.autocast = False
    assert np.array_equal(*[np.array(s(x)) for s in spectrograms])
    np.testing.assert_allclose(half(x), whole(x), atol=0.02)


def test_class_weights_are_the_papers_over_their_mean():
    shares = np.array([0.5952, 0.0889, 0.2832, 0.0327])
    config = ecg.EcgConfig(classes=4, class_shares=str(shares.tolist()))
    papers = np.array([1.14, 3.05, 1.51, 6.92])
    found = class_weights(config)
    np.testing.assert_allclose(found / found[0] * 1.136, papers, rtol=5e-3)
    assert abs((found * shares).sum() / shares.sum() - 1) < 1e-3
    assert np.array_equal(class_weights(dataclasses.replace(config, class_weight=0.0)), np.ones(4))
    assert np.array_equal(class_weights(ecg.EcgConfig(classes=3)), np.ones(3))


def test_f1_is_of_the_scored_classes_over_all_batches():
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 4, 90), rng.normal(size=(90, 4)).astype("float32")
    logits[np.arange(90), labels] += 0.7
    metric = ChallengeF1([0, 1, 3], 4)
    for part in np.split(np.arange(90), 3):
        metric.update_state(np.eye(4)[labels[part]], logits[part])
    each = sklearn.metrics.f1_score(labels, logits.argmax(1), average=None)
    assert abs(float(metric.result()) - each[[0, 1, 3]].mean()) < 1e-6
    assert abs(float(ChallengeF1([], 4).result())) == 0.0


def test_the_challenges_classes_are_found_by_name():
    recipe = registry.get("ecg_cnn")
    for names, scored in (('["~", "N", "O", "A"]', [1, 2, 3]), ('["x", "y", "z", "u"]', [0, 1, 2, 3])):
        config = recipe.make_config("small", tiny(recipe) | {"class_names": names})
        assert recipe.build(config).confusion.scored == scored


def test_training_reports_the_f1_of_the_epoch():
    recipe = registry.get("ecg_cnn")
    model = recipe.build(recipe.make_config("small", tiny(recipe)))
    model.compile(run_eagerly=True)
    x, y = given([heartbeat(2)] * 3), np.eye(4, dtype="float32")[:3]
    found = model.evaluate(x, y, batch_size=1, return_dict=True, verbose=0)
    assert set(found) == {"loss", "accuracy", "cross_entropy", "f1"}
    hit = int(np.argmax(probabilities(model, [heartbeat(2)])))
    assert abs(found["f1"] - (0.5 / 3 if hit < 3 else 0.0)) < 1e-6 and abs(found["accuracy"] - (hit < 3) / 3) < 1e-6


def test_sizes_of_the_presets():
    """The paper's, and few enough weights that they can be released."""
    for name, blocks, layers, bins in (("ecg_cnn", 6, 4, 1), ("ecg_crnn", 4, 6, 3)):
        recipe = registry.get(name)
        data = {"classes": 4, "amplitude": 0.25}
        small = recipe.build(recipe.make_config("small", data))
        assert sum(np.prod(v.shape) for v in small.trainable_variables) < 1_000_000
        paper = recipe.make_config("paper", data)
        cnn = ecg.convolutions(paper)
        kernels = [v.shape for v in cnn.trainable_variables if len(v.shape) == 4]
        assert len(kernels) == blocks * layers and {k[:2] for k in kernels} == {(5, 5)}
        assert [k[3] for k in kernels[layers - 1 :: layers]] == [64, 96, 128, 160, 192, 224][:blocks]
        assert cnn.output_shape[0][-1] == bins * kernels[-1][3]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"kernel": 4}, "kernel=4: must be odd"),
        ({"classes": 1}, "classes=1: there is nothing to tell apart"),
        ({"classes": 3, "class_names": '["N"]'}, "class_names: 1 entries for 3 classes"),
        ({"class_shares": "half"}, "class_shares=half: not a JSON list"),
    ],
)
def test_bad_options_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        registry.get("ecg_cnn").make_config("small", wrong)


def test_what_only_the_data_say_must_be_there():
    recipe = registry.get("ecg_crnn")
    for missing in ({"classes": 4}, {"amplitude": 0.3}):
        with pytest.raises(ConfigError, match="it is taken from the training data"):
            recipe.build(recipe.make_config("small", missing))
    with pytest.raises(ConfigError, match="nothing is left for the last phase"):
        recipe.make_config("small", {"cnn_share": 0.6, "lstm_share": 0.4})


@pytest.mark.parametrize("sixths", [4, 5, 6, 7, 8])
def test_a_signal_is_stretched_as_in_training_whatever_stands_behind_it(sixths):
    signals = [heartbeat(3), heartbeat(2, 110), heartbeat(1.01)]
    batch = given(signals, 0.3)
    found, lengths = map(np.array, ecg.stretched(batch["samples"], batch["length"], sixths))
    for row, count, signal in zip(found, lengths, signals, strict=True):
        assert count == len(signal) * sixths // 6 and not row[count:].any()
        places = np.minimum(np.arange(count) * 6 / sixths, len(signal) - 1)
        np.testing.assert_allclose(row[:count], np.interp(places, np.arange(len(signal)), signal), atol=1e-6)


def test_answers_over_several_speeds_are_their_mean_and_offsets_are_added(model):
    batch = given([heartbeat(3), heartbeat(5, 110)], 0.3)
    config = dataclasses.replace(model.config, stretches=3, class_offsets="[0.5, 0, -1, 0]")
    averaged = type(model)(config)
    averaged(batch)
    averaged.set_weights(model.get_weights())
    parts = [ecg.stretched(batch["samples"], batch["length"], n) for n in (5, 6, 7)]
    parts = [keras.ops.softmax(model({"samples": s, "length": n}, training=False)) for s, n in parts]
    expected = np.log(np.mean([np.array(p) for p in parts], axis=0)) + [0.5, 0, -1, 0]
    np.testing.assert_allclose(averaged(batch, training=False), expected, atol=1e-5)
    for options, said in (({"stretches": 2}, "stretches=2: not one of 1, 3, 5"),
                          ({"class_offsets": "[1]"}, "class_offsets: 1 entries for 4 classes"),
                          ({"class_offsets": '["a"]'}, "wanted is a JSON list of numbers")):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            dataclasses.replace(model.config, **options)


def test_the_resolution_of_the_spectrogram_is_an_option():
    recipe = registry.get("ecg_cnn")
    options = tiny(recipe) | {"hop": 11, "overlap": 6, "highest": 50.0}
    model = recipe.build(recipe.make_config("small", options))
    assert model.cnn.get_layer("spectrogram").bins == 12  # of 66 samples: 0, 4.5, ..., 50 Hz
    signals = [heartbeat(5), heartbeat(7, 110)]
    alone = np.concatenate([probabilities(model, [s]) for s in signals])
    assert np.abs(probabilities(model, signals, 0.3) - alone).max() < 2e-6
    with pytest.raises(ConfigError, match="hop=33, overlap=3: a frame of 99 samples; wanted are an even number"):
        recipe.make_config("small", {"hop": 33, "overlap": 3})
