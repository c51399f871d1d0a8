"""Recordings through the ingest: folders, archives, the simulated sample; their records, report and statistics."""

import json
import os
import shutil
import tarfile

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import standard_artifacts

from components.artifacts import LOCAL_BEAM
from components.ingest import example_gen, sources
from components.ingest.statistics import side_feature_options
from components.kinds import registry
from components.kinds.files import DataError
from components.kinds.recordings.beam import RecordingsConfig
from components.kinds.recordings.datasets.cinc2017 import cinc2017_dataset_builder as cinc2017
from components.kinds.recordings.datasets.wfdb_folder import wfdb_folder_dataset_builder as wfdb_folder
from components.kinds.recordings.sources import default_name
from models.records import pictures as picture_records
from models.records import recordings as ecg_records
from tests.components.recordings_on_disk import ROOT, steps, wave, write_pair, write_wfdb

BEAM_ARGS = list(LOCAL_BEAM)


def ingest(out, dataset, folder="", allowed=0.3):
    """Runs the executor; returns {split: [parsed record]}, the report and the artifact."""
    examples = standard_artifacts.Examples()
    examples.uri = str(out)
    digest = sources.dataset_digest(dataset, str(folder), labelled=True, noun="recordings")
    context = example_gen.Executor.Context(
        make_beam_pipeline_fn=lambda: beam.Pipeline(argv=BEAM_ARGS), tmp_dir=str(out)
    )
    properties = {"dataset": dataset, "folder": str(folder), "digest": digest, "max_unreadable": allowed}
    example_gen.Executor(context).Do({}, {"examples": [examples]}, properties)
    found = {}
    for split in picture_records.SPLITS:
        files = sorted(str(path) for path in (out / f"Split-{split}").glob("*.gz"))
        found[split] = [ecg_records.parse(record) for record in picture_records.records(files)]
    return found, json.loads((out / example_gen.REPORT_FILE).read_text()), examples


def ids(records):
    return {split: sorted(r[ecg_records.ID].numpy().decode() for r in members) for split, members in records.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """12 recordings of the challenge's kind, one of them broken inside, with a split of its own."""
    folder = tmp_path_factory.mktemp("cinc")
    lines = ["record,label,split"]
    for n in range(12):
        write_pair(folder, f"A{n:05d}", steps(2 + n, n))
        lines.append(f"A{n:05d},{'NAO~'[n % 4]},{('train', 'train', 'validation', 'test')[n // 3]}")
    broken = folder / "A00001.mat"
    broken.write_bytes(broken.read_bytes()[:100])
    (folder / "labels.csv").write_text("\n".join(lines + ["A99999,N,train"]))
    return folder


@pytest.fixture(scope="module")
def ingested(folder, tmp_path_factory):
    return ingest(tmp_path_factory.mktemp("out"), "cinc2017", folder)


def test_records_of_a_folder(folder, ingested):
    records, report, artifact = ingested
    assert {split: len(members) for split, members in records.items()} == {"train": 5, "validation": 3, "test": 3}
    by_id = {r[ecg_records.ID].numpy().decode(): r for members in records.values() for r in members}
    for n in (0, 7):
        record = by_id[f"A{n:05d}"]
        np.testing.assert_allclose(ecg_records.decode(record[ecg_records.SIGNAL]) * 1000, steps(2 + n, n), atol=1e-3)
        assert record[ecg_records.LABEL_NAME] == "NAO~"[n % 4] and record[ecg_records.ORIGINAL_RATE] == 300
        assert record[ecg_records.SAMPLES] == 300 * (2 + n) and record[ecg_records.FORMAT] == "mat"
        assert record[ecg_records.BYTES] == (folder / f"A{n:05d}.mat").stat().st_size
    assert report["unreadable"] == [{"path": "A00001", "reason": "cut off: 76 of 1800 bytes of the signal are there"}]
    assert report["unknown_records"] == ["A99999"] and report["label_version"] == "labels.csv"
    assert report["splits"]["test"] == {"recordings": 3, "bytes": 3 * 24 + 2 * 300 * 36, "seconds": 36}
    assert report["formats"] == {"mat": 11} and report["lent"] == []
    assert artifact.get_int_custom_property("recordings_train") == 5


@pytest.mark.parametrize("beside", [True, False])
def test_an_archive_gives_the_same_records(folder, ingested, tmp_path, beside):
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "recordings.tar.xz", "w:xz") as archive:
        for path in sorted(folder.iterdir(), key=lambda path: (path.suffix != ".mat", path.name)):
            if not beside or path.suffix != ".csv":
                archive.add(path, path.name)
    if beside:
        shutil.copy(folder / "labels.csv", tmp_path / "in")
    place = tmp_path / "in" if beside else tmp_path / "in" / "recordings.tar.xz"
    records, report, _ = ingest(tmp_path / "out", "cinc2017", place)
    assert ids(records) == ids(ingested[0]) and report["unreadable"] == ingested[1]["unreadable"]
    one, other = ({r[ecg_records.ID].numpy(): r for r in found["train"]} for found in (records, ingested[0]))
    assert all(one[key][ecg_records.SIGNAL] == other[key][ecg_records.SIGNAL] for key in other)


def test_wfdb_records_of_a_folder_and_an_archive(tmp_path):
    source, lines = tmp_path / "in", ["record,label"]
    for n in range(9):
        write_wfdb(source, f"r{n}", np.stack([wave(4, n + 50, 250), wave(4, n, 250)], 1), 250, sig_name=["V1", "II"])
        lines.append(f"r{n},{'sinus' if n % 2 else 'flutter'}")
    (source / "labels.csv").write_text("\n".join(lines))
    with tarfile.open(tmp_path / "in.tar.gz", "w:gz") as archive:
        archive.add(source, "in")
    records, report, _ = ingest(tmp_path / "a", "wfdb_folder", source)
    again, _, _ = ingest(tmp_path / "b", "wfdb_folder", tmp_path / "in.tar.gz")
    assert sum(map(len, records.values())) == 9 and report["formats"] == {"wfdb": 9}
    signals = [{r[ecg_records.SIGNAL].numpy() for s in found.values() for r in s} for found in (records, again)]
    assert signals[0] == signals[1] and len(signals[0]) == 9
    record = records["train"][0]
    assert record[ecg_records.SAMPLES] == 1200 and record[ecg_records.ORIGINAL_RATE] == 250
    assert record[ecg_records.LABEL_NAME].numpy() in (b"sinus", b"flutter")
    assert all(map(len, records.values()))


def test_statistics_read_the_side_features_and_the_label(ingested):
    options = side_feature_options(labelled=True, noun="recordings")
    read = {feature.name: feature.type for feature in options.schema.feature}
    assert set(read) == {*registry.get("recordings").records.side_features, ecg_records.LABEL_NAME}
    assert options.experimental_filter_read_paths
    (path, *_) = (name for name in os.listdir(os.path.join(ingested[2].uri, "Split-train")))
    records = picture_records.records([os.path.join(ingested[2].uri, "Split-train", path)])
    feature = tf.train.Example.FromString(next(records.as_numpy_iterator())).features.feature
    kinds = {"int64_list": schema_pb2.INT, "bytes_list": schema_pb2.BYTES}
    assert {name: kinds[feature[name].WhichOneof("kind")] for name in read} == read


def test_small_places_lend_recordings_to_empty_splits(tmp_path):
    for n in range(4):
        write_pair(tmp_path / "in", f"A{n}", steps(2, n))
    lines = ["record,label,split", "A0,N,train", "A1,A,train", "A2,N,train", "A3,A,train"]
    (tmp_path / "in" / "labels.csv").write_text("\n".join(lines))
    records, report, _ = ingest(tmp_path / "out", "cinc2017", tmp_path / "in")
    assert {split: len(members) for split, members in records.items()} == {"train": 2, "validation": 1, "test": 1}
    assert [(entry["from"], entry["to"]) for entry in report["lent"]] == [("train", "test"), ("train", "validation")]
    assert report["splits"]["train"]["seconds"] == 4 and report["splits"]["test"]["recordings"] == 1


def test_too_many_unreadable_recordings_stop_the_step(folder, tmp_path):
    with pytest.raises(DataError, match="1 of 12 recordings cannot be read, .*A00001: cut off"):
        ingest(tmp_path / "out", "cinc2017", folder, allowed=0.05)


@pytest.mark.parametrize(("builder", "kept"), [(cinc2017, "train"), (wfdb_folder, "test")])
def test_the_builders_prepare_a_place(folder, tmp_path, builder, kept):
    config = RecordingsConfig(name="mine", folder=str(folder), max_unreadable=0.1)
    prepared = builder.Builder(data_dir=tmp_path, config=config)
    prepared.download_and_prepare()
    assert prepared.name == builder.__name__.split(".")[-2]
    assert {name: info.num_examples for name, info in prepared.info.splits.items()} == {
        "train": 5, "validation": 3, "test": 3,
    }  # fmt: skip
    example = next(iter(tfds.as_numpy(prepared.as_dataset(split=kept))))
    n = int(example["id"].decode()[1:])
    np.testing.assert_allclose(example["signal"] * 1000, steps(2 + n, n), atol=1e-3)
    assert example["label_name"].decode() == "NAO~"[n % 4]
    listed = json.loads((prepared.data_path / "unreadable.json").read_text())
    assert [entry["path"] for entry in listed] == ["A00001"]


def test_what_a_place_is_taken_for(folder, tmp_path):
    write_wfdb(tmp_path / "records", "r", wave(3))
    assert default_name("") == "ecg_sample" and default_name(str(folder)) == "cinc2017"
    assert default_name(str(tmp_path / "records")) == "wfdb_folder"
    assert default_name(str(tmp_path / "not here")) == "cinc2017"


@pytest.mark.parametrize(
    ("dataset", "noun", "message"),
    [
        ("ecg_sample", "pictures", "the data set 'ecg_sample' holds recordings; this recipe takes pictures"),
        ("digits", "recordings", "the data set 'digits' holds pictures; this recipe takes recordings"),
    ],
)
def test_pictures_and_recordings_are_not_mixed(dataset, noun, message):
    with pytest.raises(DataError, match=message):
        sources.dataset_digest(dataset, noun=noun)


def test_a_place_without_labels_is_refused_where_labels_are_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path / "training2017", "A00001", steps(2))
    with pytest.raises(DataError) as caught:
        sources.dataset_digest("cinc2017", "training2017", labelled=True)
    (tmp_path / "training2017.zip").write_text("nothing")
    with pytest.raises(DataError) as damaged:
        sources.dataset_digest("cinc2017", "training2017.zip")
    documented = (ROOT / "docs" / "ecg.md").read_text()
    assert str(caught.value) in documented and str(damaged.value) in documented
    with pytest.raises(DataError, match="goes with the data sets cinc2017 and wfdb_folder, not with 'ecg_sample'"):
        sources.dataset_digest("ecg_sample", "training2017")
