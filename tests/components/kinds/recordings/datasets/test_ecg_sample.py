"""The simulated sample: what it says of itself, that it is the same each time, and that its classes differ as told."""

import collections
import json

import numpy as np
import pytest
import scipy.signal
import tensorflow_datasets as tfds

from components.kinds.recordings.datasets.ecg_sample import ecg_sample_dataset_builder as sample
from components.kinds.recordings.recordings import noise_class
from models.records import pictures as picture_records
from models.records import recordings as ecg_records
from tests.components.kinds.recordings.test_sources import ingest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """The whole sample through the ingest, once for all tests here."""
    return ingest(tmp_path_factory.mktemp("sample") / "out", "ecg_sample")


def signals(records, label):
    return [
        ecg_records.decode(r[ecg_records.SIGNAL]).numpy()
        for split in picture_records.SPLITS for r in records[split] if r[ecg_records.LABEL_NAME] == label
    ]  # fmt: skip


def intervals(signal):
    """Seconds between R peaks."""
    band = scipy.signal.sosfiltfilt(scipy.signal.butter(2, (8, 25), "bandpass", fs=300, output="sos"), signal)
    peaks, _ = scipy.signal.find_peaks(band, height=0.5 * np.quantile(band, 0.995), distance=75)
    return np.diff(peaks) / 300


def test_it_says_that_it_is_simulated(ingested):
    records, report, _ = ingested
    everything = [r for split in records.values() for r in split]
    assert len(everything) == 240 and report["formats"] == {"simulated": 240} and report["unreadable"] == []
    assert all(r[ecg_records.ID].numpy().startswith(b"simulated_") for r in everything)
    assert all(r[ecg_records.FORMAT] == "simulated" for r in everything)
    assert "Simulated" in tfds.builder("ecg_sample").info.description
    assert not json.dumps(report["lent"]).strip("[]")


def test_every_split_holds_every_class_and_mostly_30_seconds(ingested):
    records = ingested[0]
    for split, count in sample.COUNTS.items():
        labels = collections.Counter(r[ecg_records.LABEL_NAME].numpy().decode() for r in records[split])
        assert labels == dict.fromkeys(("N", "A", "O", "~"), count)
    seconds = np.array([int(r[ecg_records.SAMPLES]) / 300 for split in records.values() for r in split])
    assert 9 <= seconds.min() < 15 and 50 < seconds.max() <= 61 and 0.6 < np.mean(seconds == 30) < 0.8
    contents = {r[ecg_records.SIGNAL].numpy() for split in records.values() for r in split}
    assert len(contents) == 240


def test_the_rhythms_are_what_they_are_called(ingested):
    records = ingested[0]
    irregular, rate = {}, {}
    for label in "NAO":
        found = [intervals(signal) for signal in signals(records, label)]
        irregular[label] = np.array([np.std(i) / np.mean(i) for i in found])
        rate[label] = np.array([60 / np.median(i) for i in found])
    assert np.mean(irregular["N"] < 0.08) > 0.95 and np.mean(irregular["A"] > 0.12) > 0.95
    assert np.mean((rate["N"] > 55) & (rate["N"] < 100)) > 0.95
    odd = (rate["O"] < 50) | (rate["O"] > 110) | (irregular["O"] > 0.1)
    assert np.mean(odd) > 0.95
    classes = {label: collections.Counter(map(noise_class, signals(records, label))) for label in "NAO~"}
    assert classes["~"]["very_noisy"] >= 57 and sum(classes[label]["very_noisy"] for label in "NAO") <= 3


def test_it_is_the_same_each_time(ingested):
    records = ingested[0]
    by_id = {r[ecg_records.ID].numpy(): r for r in records["test"]}
    for label, name in (("A", "fibrillation"), ("O", "other")):
        again = sample.simulate(label, np.random.default_rng([2, "NAO~".index(label), 3]))
        written = ecg_records.decode(by_id[f"simulated_test_{name}_03".encode()][ecg_records.SIGNAL])
        np.testing.assert_allclose(written, again, atol=6e-4)
