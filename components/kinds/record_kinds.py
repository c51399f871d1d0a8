"""What the ingest must know about a kind of record: how it is made, hashed and counted."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from models.records import ecg_units
from models.records import pictures as picture_records
from models.records import recordings as ecg_records

Features = Mapping[str, tf.train.Feature]


class RecordKind(NamedTuple):
    """One kind.

    Attributes:
      noun: what the examples are, and the name of their count. amount: name of what else is counted.
      build: makes the record of (key, example). measure: the amount of a record.
      content, identity, format, size_bytes: names of the features of a record that hold them.
    """

    noun: str
    amount: str
    build: Callable[[str, dict[str, Any]], tf.train.Example]
    measure: Callable[[Features], float]
    content: str
    identity: str
    format: str
    size_bytes: str

    @property
    def counts(self) -> tuple[str, str, str]:
        """Names of the counts of a split."""
        return self.noun, "bytes", self.amount

    def count(self, record: tf.train.Example) -> dict[str, float]:
        """The counts of one record."""
        feature = record.features.feature
        size = feature[self.size_bytes].int64_list.value[0]
        return dict(zip(self.counts, (1, size, self.measure(feature)), strict=True))


def _picture(key: str, example: dict[str, Any]) -> tf.train.Example:
    return picture_records.image_example(
        example["image"],
        key=key,
        format_name=example["format"],
        size_bytes=example["bytes"],
        label=example.get("label", picture_records.NO_LABEL),
        label_name=example.get("label_name", ""),
        **{name: example[name] for name in ("height", "width", "channels")},
    )


def _recording(key: str, example: dict[str, Any]) -> tf.train.Example:
    return ecg_records.recording_example(
        example["signal"],
        key=key,
        format_name=example["format"],
        size_bytes=example["bytes"],
        **{name: example[name] for name in ("original_rate", "noise_class", "gaps", "clipped", "label_name")},
    )


def _pixels(feature: Features) -> int:
    return feature[picture_records.HEIGHT].int64_list.value[0] * feature[picture_records.WIDTH].int64_list.value[0]


def _seconds(feature: Features) -> float:
    return feature[ecg_records.SAMPLES].int64_list.value[0] / ecg_units.RATE


_KINDS = (
    RecordKind(
        "pictures", "pixels", _picture, _pixels,
        picture_records.ENCODED, picture_records.ID, picture_records.FORMAT, picture_records.BYTES,
    ),
    RecordKind(
        "recordings", "seconds", _recording, _seconds,
        ecg_records.SIGNAL, ecg_records.ID, ecg_records.FORMAT, ecg_records.BYTES,
    ),
)  # fmt: skip
KINDS: Mapping[str, RecordKind] = {kind.noun: kind for kind in _KINDS}
