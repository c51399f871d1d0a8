"""Exported models of electrocardiograms: what is served is what the Keras model says, whatever else is in the batch."""

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from components.serving.served_ecg import ServedEcg, padded
from components.serving.served_model import ServedModelError, takes
from models.records import ecg_units
from tests.components import toy_model, untrained_ecg
from tests.models.ecg.test_bytes_serving import matlab

SECONDS = (5, 9, 30, 61, 600)


@pytest.fixture(scope="module", params=["ecg_cnn", "ecg_crnn"])
def pair(request, tmp_path_factory):
    """The Keras model and what is served of it."""
    folder = tmp_path_factory.mktemp("ecg") / "model"
    return untrained_ecg.save(folder, request.param), ServedEcg(folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ecg") / "model"
    untrained_ecg.save(folder)
    return ServedEcg(folder)


def local(model, signal):
    """Probabilities of one recording without any padding, float32 [1, K]."""
    given = {"samples": tf.constant(signal[None]), "length": tf.constant([len(signal)])}
    return tf.nn.softmax(model(given, training=False)).numpy()


@pytest.mark.slow
def test_alone_and_in_a_ragged_batch_as_the_keras_model(pair):
    model, served = pair
    signals = [untrained_ecg.signal(seconds, n) for n, seconds in enumerate(SECONDS)]
    expected = np.concatenate([local(model, s) for s in signals])
    assert np.ptp(expected, axis=0).max() > 0.01  # the recordings are told apart
    alone = np.concatenate([served.probabilities([s]) for s in signals])
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(served.probabilities(signals), expected, rtol=0, atol=1e-5)
    assert served.names == untrained_ecg.NAMES
    for best, p in zip(served.best(signals, 2), expected, strict=True):
        assert [name for name, _ in best] == [untrained_ecg.NAMES[k] for k in np.argsort(-p)[:2]]


def call(served, signature, **inputs):
    """All outputs of a signature, as arrays."""
    return served._model(signature, **inputs)


def test_bytes_and_samples_and_records_are_one(served):
    signals = [untrained_ecg.signal(9, 1), untrained_ecg.signal(7.3, 2)]
    samples, length = padded(signals)
    rate = np.full(2, 300, np.float32)
    expected = call(served, "predict", samples=samples, length=length, rate=rate)
    steps = [np.rint(s * 1000).astype("<i2") for s in signals]
    halves = [np.rint(s * 500).astype("<i2") for s in signals]
    got = call(served, "predict_bytes", signal_bytes=[matlab(steps[0][None]), halves[1].tobytes()], rate=rate,
               gain=np.float32([1000, 500]))  # fmt: skip
    assert np.array_equal(got["probabilities"], expected["probabilities"])
    best = expected["probabilities"].argmax(1)
    assert np.array_equal(expected["class"], best)
    assert [n.decode() for n in expected["class_name"]] == [untrained_ecg.NAMES[k] for k in best]
    of_records = call(served, "serving_default", examples=[untrained_ecg.record(s) for s in signals])
    np.testing.assert_allclose(of_records["confidence"][:, 0], expected["probabilities"].max(1), atol=1e-5)


def test_other_rates_and_gaps_in_one_batch(served):
    """Each recording at its own rate, as the ingest resamples, beside one at 300 Hz that must not change by a bit: in a
    batch of as many, since kernels may round by the size of a batch."""
    rates = {300: (1, 1), 250: (6, 5), 360: (5, 6), 500: (3, 5)}
    signals = [untrained_ecg.signal(20, 4, rate) for rate in rates]
    got = served.probabilities(signals, list(rates))
    assert np.array_equal(got[:1], served.probabilities(signals[:1] * len(signals))[:1])
    at_300 = [scipy.signal.resample_poly(s.astype(float), *r) for s, r in zip(signals, rates.values(), strict=True)]
    np.testing.assert_allclose(got, served.probabilities(at_300), atol=1e-4)
    gaps = signals[0].copy()
    gaps[1000:1200:7], gaps[2000:2010], gaps[5] = np.nan, np.inf, -np.inf
    zeros = np.where(np.isfinite(gaps), gaps, 0)
    assert np.array_equal(served.probabilities([gaps]), served.probabilities([zeros]))


def test_numbers_of_the_evaluation(served):
    labels = ["N", "A", "O", "~", "rare", "unheard", ""]
    signal = untrained_ecg.signal(6, 5)
    numbers = call(served, "serving_default", examples=[untrained_ecg.record(signal, label) for label in labels])
    assert all(v.shape == (7, 1) and v.dtype == np.float32 for v in numbers.values())
    assert list(numbers["label"][:, 0]) == [0, 1, 2, 3, 4, 5, -1]
    (p,) = served.probabilities([signal])
    expected = [p[untrained_ecg.NAMES.index(label)] if label in untrained_ecg.NAMES else 1e-7 for label in labels]
    np.testing.assert_allclose(numbers["cross_entropy"][:, 0], -np.log(expected), rtol=1e-4)
    best = untrained_ecg.NAMES[p.argmax()]
    assert list(numbers["accuracy"][:, 0]) == [float(label == best) for label in labels]
    assert set(numbers["predicted"][:, 0]) == {float([*ecg_units.CLASSES, "rare"].index(best))}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"length": 299}, "recording 1 is shorter than 1 second; samples: 299"),
        ({"length": 0}, "is shorter than 1 second"),
        ({"length": 1801}, "has a length that its samples do not have: 1801"),
        ({"length": -5}, "has a length that its samples do not have: -5"),
        ({"rate": 0}, "has an impossible rate"),
        ({"rate": np.nan}, "has an impossible rate"),
        ({"rate": 49}, "has an impossible rate (possible are 50 to 100000 Hz): 49"),
    ],
)
def test_impossible_recordings_are_refused(served, change, says):
    given = {"length": [1800, 1800], "rate": [300.0, 300.0]}
    for name, value in change.items():
        given[name][1] = value
    samples = np.zeros([2, 1800], np.float32)
    with pytest.raises(ServedModelError, match="recording 1") as raised:
        served.call(samples=samples, length=np.int32(given["length"]), rate=np.float32(given["rate"]))
    assert says in str(raised.value)


def test_half_an_hour_is_the_longest(served):
    signal = np.tile(untrained_ecg.signal(60, 6, 60), 30)
    assert served.probabilities([signal], [60]).shape == (1, 4)
    with pytest.raises(ServedModelError, match=r"recording 0 is longer than 30 minutes .* seconds: 1800\.0"):
        served.probabilities([np.append(signal, 0)], [60])


def test_another_model_is_none(tmp_path):
    toy_model.save(tmp_path / "codec")
    with pytest.raises(ServedModelError, match="not a model of electrocardiograms: no signature 'predict'"):
        ServedEcg(tmp_path / "codec")
    assert takes(tmp_path / "codec") == frozenset()
    (tmp_path / "saved_model.pb").write_bytes(b"nothing")
    for function in (takes, ServedEcg):
        with pytest.raises(ServedModelError):
            function(tmp_path)


def test_what_it_takes_is_read_without_loading(served):
    assert takes(served.directory) == {"samples", "length", "rate"}
