"""Electrocardiograms as a kind of data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.kinds.kind import Features, Inputs, Kind, Records, Source, best
from models.records import ecg_units
from models.records import recordings as ecg_records

_SAMPLES = 60 * ecg_units.RATE  # the recording for a warm-up has at most this many, if there is such a one


def _build(key: str, example: dict[str, Any]) -> tf.train.Example:
    return ecg_records.recording_example(
        example["signal"],
        key=key,
        format_name=example["format"],
        size_bytes=example["bytes"],
        **{name: example[name] for name in ("original_rate", "noise_class", "gaps", "clipped", "label_name")},
    )


def _seconds(feature: Features) -> float:
    return feature[ecg_records.SAMPLES].int64_list.value[0] / ecg_units.RATE


def _size(record: tf.Tensor) -> int:
    return int(ecg_records.parse(record)[ecg_records.SAMPLES])


class Recordings(Kind):
    """Recordings of one lead: a folder or an archive of WFDB records or the challenge's, or the simulated sample."""

    noun = "recordings"
    datasets = ("ecg_sample",)
    places = ("cinc2017", "wfdb_folder")
    records = Records(
        amount="seconds", build=_build, measure=_seconds,
        content=ecg_records.SIGNAL, identity=ecg_records.ID, format=ecg_records.FORMAT, size_bytes=ecg_records.BYTES,
        label_name=ecg_records.LABEL_NAME,
        side_features=(
            ecg_records.FORMAT, ecg_records.LENGTH_CLASS, ecg_records.NOISE_CLASS, *ecg_records.INTEGERS,
        ),
        integers=ecg_records.INTEGERS,
    )  # fmt: skip

    def open(self, dataset: str, place: str = "") -> Source:
        from components.kinds.recordings.sources import open_recordings

        return open_recordings(dataset, place)

    def default_dataset(self, place: str, labelled: bool) -> str:
        from components.kinds.recordings.sources import default_name

        return default_name(place)

    def reads_file(self, name: str) -> bool:
        return True  # which files are archives is said when one is opened

    def warm_up(self, files: Sequence[str]) -> Inputs:
        record = best(files, _size, _SAMPLES)
        signal = ecg_records.parse(tf.constant(record))[ecg_records.SIGNAL]
        samples = ecg_records.decode(signal).numpy()
        return {"examples": record, "samples": samples, "length": np.array(len(samples)),
                "rate": np.array(ecg_units.RATE), "signal_bytes": signal.numpy(), "gain": np.array(1000),
                "index": np.array(0)}  # fmt: skip


KIND = Recordings()
