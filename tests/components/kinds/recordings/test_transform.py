"""What the full pass over the training recordings gives, against the same in NumPy."""

import numpy as np
import pytest
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from components.kinds.recordings import transform
from models.records import recordings as ecg_data
from tests.components import ecg_records

# Twice O, thrice A and N (a tie), one without a label; of validation one class that training lacks.
TRAIN = ["O", "A", "N", "A", "", "N", "A", "O", "N"]
VALIDATION = ["N", "~", "", "O"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Ingest records by split, of unequal lengths; test is as validation, its signals are ten times as long."""
    root = tmp_path_factory.mktemp("ingest")
    splits = {"train": (TRAIN, 300), "validation": (VALIDATION, 310), "test": (VALIDATION, 3000)}
    found = {}
    for split, (names, size) in splits.items():
        records = [ecg_records.record(name, n, size + 7 * n) for n, name in enumerate(names)]
        found[split] = [ecg_records.write(root / f"{split}.gz", records)]
    return found


@pytest.fixture(scope="module")
def transformed(files, tmp_path_factory):
    """The transformed records by split."""
    out = transform.transform(files, tmp_path_factory.mktemp("transformed") / "out")
    assert set(out) == set(files)
    return {split: ecg_records.read(paths) for split, paths in out.items()}


def test_every_feature_passes_through_as_it_is(files, transformed):
    for split, records in transformed.items():
        before = {r[ecg_data.ID]: r for r in ecg_records.read(files[split])}
        assert len(records) == len(before)
        for record in records:
            for name in set(ecg_data.FEATURES) - {ecg_data.LABEL, ecg_data.AMPLITUDE}:
                assert record[name] == before[record[ecg_data.ID]][name], name


def test_labels_are_places_in_the_order_of_training_frequency(transformed):
    order = {b"N": 0, b"A": 1, b"O": 2, b"": -1, b"~": -1}  # of the two thrice there, the later name comes first
    for records in transformed.values():
        assert [r[ecg_data.LABEL] for r in records] == [order[r[ecg_data.LABEL_NAME]] for r in records]
        assert -1 in [r[ecg_data.LABEL] for r in records]


def test_the_amplitude_is_that_of_the_training_split(files, transformed):
    samples = [np.frombuffer(r[ecg_data.SIGNAL], "<i2") / 1000.0 for r in ecg_records.read(files["train"])]
    expected = np.sqrt(np.mean(np.square(np.concatenate(samples))))
    found = {float(r[ecg_data.AMPLITUDE]) for records in transformed.values() for r in records}
    assert len(found) == 1 and abs(found.pop() - expected) < 1e-6


def test_nothing_half_written_is_left(files, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.gz"):
        transform.transform(files | {"test": [str(tmp_path / "absent.gz")]}, tmp_path / "out")
    broken = tmp_path / "broken.gz"
    broken.write_bytes(b"no record at all")
    with pytest.raises(Exception, match="."):  # Beam's own kinds of error
        transform.transform({"train": [str(broken)]}, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["broken.gz"]
    with pytest.raises(FileExistsError):
        transform.transform(files, tmp_path)


def test_the_step_writes_the_schema_of_whole_records(tmp_path):
    artifact = standard_artifacts.Schema()
    artifact.uri = str(tmp_path)
    executor = transform.RecordSchema.EXECUTOR_SPEC.executor_class()
    executor.Do({}, {"schema": [artifact]}, {"sources": "x"})
    (path,) = tmp_path.iterdir()
    schema = io_utils.parse_pbtxt_file(str(path), schema_pb2.Schema())
    names = {feature.name for feature in schema.feature}
    assert names == set(ecg_data.FEATURES) - {ecg_data.LABEL, ecg_data.AMPLITUDE}
