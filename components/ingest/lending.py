"""Examples that a small set lends to its empty splits, so that it can be evaluated at all."""

import collections
import hashlib
import os
from collections.abc import Iterator

import tensorflow as tf

from components.kinds.files import DataError
from components.kinds.kind import Kind
from models.records import pictures as picture_records
from models.records.pictures import SPLITS


def lend(uri: str, report: dict[str, dict[str, dict[str, float]]], kind: Kind) -> list[dict[str, str]]:
    """Gives each empty split one example of the largest split.

    A set of a few dozen examples may have none whose hash falls into a split. The example is the one with the lowest
    (test, train) or highest (validation) SHA-256 of its content, of a class that has another one there if any has; it
    goes back to its own split as soon as the empty split has one by right.

    Args:
      uri: the examples artifact's folder; its files are rewritten.
      report: {"splits": {split: counts of `kind`}, "classes": {split: {class: count}}}; brought up to date.

    Returns:
      [{"id", "from", "to"}] of the examples that were lent.

    Raises:
      DataError: fewer than three examples.
    """
    splits, classes = report["splits"], report["classes"]
    total = sum(split[kind.noun] for split in splits.values())
    if total < len(SPLITS):
        raise DataError(f"at least 3 {kind.noun} are needed (training, validation, test), {total} could be read")
    lent = []
    for name in [name for name in reversed(SPLITS) if not splits[name][kind.noun]]:
        donor = max(SPLITS, key=lambda split: splits[split][kind.noun])
        files = _files(uri, donor)
        index = _chosen(files, kind, highest=name == "validation")
        taken = _move(files, _files(uri, name), index)
        for key, amount in kind.count(taken).items():
            splits[donor][key] -= amount
            splits[name][key] += amount
        if label := _text(taken, kind.records.label_name).decode():
            classes[donor][label] -= 1
            classes[name][label] = classes[name].get(label, 0) + 1
        lent.append({"id": _text(taken, kind.records.identity).decode(), "from": donor, "to": name})
    return lent


def _files(uri: str, split: str) -> list[str]:
    return sorted(tf.io.gfile.glob(os.path.join(uri, f"Split-{split}", "*.gz")))


def _examples(files: list[str]) -> Iterator[tf.train.Example]:
    return map(tf.train.Example.FromString, picture_records.records(files).as_numpy_iterator())


def _text(record: tf.train.Example, name: str) -> bytes:
    """The bytes of one feature of a record, none if it has not the feature."""
    return next(iter(record.features.feature[name].bytes_list.value), b"")


def _chosen(files: list[str], kind: Kind, highest: bool) -> int:
    """Which record is lent: its place among all."""
    found = [
        (hashlib.sha256(_text(record, kind.records.content)).digest(), _text(record, kind.records.label_name), n)
        for n, record in enumerate(_examples(files))
    ]
    count = collections.Counter(label for _, label, _ in found)
    spare = [entry for entry in found if count[entry[1]] > 1] or found
    return (max if highest else min)(spare)[2]


def _move(source: list[str], target: list[str], index: int) -> tf.train.Example:
    """Moves one record out of the files of a split into those of another, and returns it; the rest goes to one file."""
    taken = None
    with _writer(source[0]) as rest:
        for n, record in enumerate(_examples(source)):
            if n == index:
                taken = record
            else:
                rest.write(record.SerializeToString(deterministic=True))
    with _writer(target[0]) as file:
        file.write(taken.SerializeToString(deterministic=True))
    for path in (source[0], target[0]):
        tf.io.gfile.rename(path + ".new", path, overwrite=True)
    for path in source[1:]:
        tf.io.gfile.remove(path)
    return taken


def _writer(path: str) -> tf.io.TFRecordWriter:
    """Writes a GZIP TFRecord file beside `path`, which is put in its place when all is written."""
    return tf.io.TFRecordWriter(path + ".new", tf.io.TFRecordOptions(compression_type="GZIP"))
