"""Tiny recordings as ingest writes them: a sine wave a class, with noise."""

import pathlib

import numpy as np
import scipy.io
import tensorflow as tf

from models.records import ecg_units
from models.records import recordings as ecg_records

NAMES = ("N", "A", "O", "~")
_HERTZ = {"N": 2.0, "A": 9.0, "O": 25.0, "~": 60.0}


def signal(name: str, seed: int, samples: int = 600) -> np.ndarray:
    """Millivolts at 300 Hz, float64 [samples]: 1 mV of the class's frequency (none without a class) and some noise."""
    time = np.arange(samples) / ecg_units.RATE
    return np.sin(2 * np.pi * _HERTZ.get(name, 0.0) * time + seed) + np.random.default_rng(seed).normal(0, 0.1, samples)


def record(name: str, seed: int, samples: int = 600, key: str = "") -> bytes:
    """A serialised ingest record of class `name` ("": without a label)."""
    example = ecg_records.recording_example(
        signal(name, seed, samples), key=key or f"{name}{seed}", format_name="simulated", original_rate=300,
        size_bytes=2 * samples, noise_class="low", label_name=name,
    )  # fmt: skip
    return example.SerializeToString()


def write(path: pathlib.Path, records: list[bytes]) -> str:
    """Writes serialised records to a GZIP TFRecord file, making its folder; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for serialized in records:
            writer.write(serialized)
    return str(path)


def read(files: list[str]) -> list[dict]:
    """The features of every record of files."""
    records = tf.data.TFRecordDataset(files, "GZIP")
    return [{name: value.numpy() for name, value in ecg_records.parse(r).items()} for r in records]


def fill(folder: pathlib.Path, labels: dict[str, str], samples: int = 600) -> None:
    """A folder as the challenge's: a MATLAB 4 file for each name with its class, and REFERENCE.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, label) in enumerate(labels.items()):
        volts = np.rint(1000 * signal(label, seed, samples + 10 * seed)).astype(np.int16)
        scipy.io.savemat(folder / f"{name}.mat", {"val": volts[None]}, format="4")
    (folder / "REFERENCE.csv").write_text("".join(f"{name},{label}\n" for name, label in labels.items()))
