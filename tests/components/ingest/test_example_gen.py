"""TfdsExampleGen in real TFX runs: records, counts, cache, small sets, data sets of TFDS, statistics."""

import json
import os
import pathlib

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
import tensorflow_datasets as tfds
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import components
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from components.artifacts import LOCAL_BEAM
from components.ingest import sources
from components.ingest.example_gen import REPORT_FILE, Executor, TfdsExampleGen
from components.ingest.lending import lend
from components.ingest.statistics import side_feature_options
from components.kinds import catalogue, registry
from components.kinds.files import DataError
from models.records import pictures as picture_records
from tests.components.pictures_on_disk import encoded, fill, grey16, noise

PICTURES = registry.get("pictures")
SIDE_FEATURES = PICTURES.records.side_features
BEAM_ARGS = list(LOCAL_BEAM)


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """A catalogue data set: 60 pictures, no validation split, one split that is no business of ours."""

    VERSION = tfds.core.Version("2.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(6, 7, 3)), "label": tfds.features.ClassLabel(num_classes=2)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        ranges = {"train": (0, 60), "test": (60, 5), "extra": (70, 1)}
        return {name: self._generate_examples(*bounds) for name, bounds in ranges.items()}

    def _generate_examples(self, first, count):
        for seed in range(first, first + count):
            yield seed, {"image": np.asarray(noise(6, 7, seed)), "label": seed % 2}


class TinyPairs(tfds.core.GeneratorBasedBuilder):
    """A data set with two pictures in each example."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"hr": tfds.features.Image(), "lr": tfds.features.Image(), "name": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"pairs": self._generate_examples()}

    def _generate_examples(self):
        for seed in range(30):
            yield seed, {"hr": np.asarray(noise(8, 8, seed)), "lr": np.asarray(noise(4, 4, seed)), "name": str(seed)}


def _execute(folder: pathlib.Path, dataset: str, source: str = "", digest: str | None = None, allowed: float = 0.01):
    """Runs the executor alone; returns the artifact, its report and {split: [parsed record]}."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder)
    digest = sources.dataset_digest(dataset, source) if digest is None else digest
    properties = {"dataset": dataset, "folder": source, "digest": digest, "max_unreadable": allowed}
    context = Executor.Context(make_beam_pipeline_fn=lambda: beam.Pipeline(argv=BEAM_ARGS), tmp_dir=str(folder))
    Executor(context).Do({}, {"examples": [artifact]}, properties)
    return artifact, json.loads((folder / REPORT_FILE).read_text()), _records(folder)


def _records(folder: pathlib.Path) -> dict[str, list[dict]]:
    parsed = {}
    for split in picture_records.SPLITS:
        files = sorted(str(path) for path in (folder / f"Split-{split}").glob("*.gz"))
        parsed[split] = [picture_records.parse(record) for record in picture_records.records(files)]
    return parsed


def _pipeline(root: pathlib.Path, folder: pathlib.Path, validate: bool) -> Pipeline:
    ingest = TfdsExampleGen("photos", str(folder), sources.dataset_digest("photos", str(folder)), max_unreadable=0.1)
    statistics = components.StatisticsGen(ingest.outputs["examples"], stats_options=side_feature_options())
    schema = components.SchemaGen(statistics.outputs["statistics"], infer_feature_shape=True)
    validator = components.ExampleValidator(statistics.outputs["statistics"], schema.outputs["schema"])
    return Pipeline(
        pipeline_name="ingest",
        pipeline_root=str(root / "pipeline"),
        components=[ingest, statistics, schema, validator] if validate else [ingest],
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(root / "m.db")),
        enable_cache=True,
        beam_pipeline_args=BEAM_ARGS,
    )


@pytest.mark.slow
def test_a_run_writes_records_statistics_and_is_cached_until_a_file_comes(tmp_path):
    folder = tmp_path / "in"
    fill(folder, 40)
    (folder / "wide.webp").write_bytes(encoded(noise(5, 50, 7), "WEBP", lossless=True))
    (folder / "deep.png").write_bytes(grey16(9, 10)[1])
    (folder / "again.png").write_bytes((folder / "003.png").read_bytes())
    (folder / "broken.jpg").write_bytes(encoded(noise(20, 20, 8), "JPEG")[:300])
    runner = LocalDagRunner()
    runner.run(_pipeline(tmp_path, folder, validate=True))
    runs = tmp_path / "pipeline" / "TfdsExampleGen" / "examples"
    (first,) = runs.iterdir()
    report, records = json.loads((first / REPORT_FILE).read_text()), _records(first)
    assert {path.name for path in first.iterdir()} == {
        REPORT_FILE,
        *(f"Split-{split}" for split in picture_records.SPLITS),
    }
    assert {name: split["pictures"] for name, split in report["splits"].items()} == {
        name: len(split) for name, split in records.items()
    }
    assert sum(map(len, records.values())) == 42 and report["formats"] == {"png": 41, "webp": 1}
    assert [entry["path"] for entry in report["unreadable"]] == ["broken.jpg"]
    assert report["duplicates"] == [{"path": "again.png", "same_as": "003.png"}] or report["duplicates"] == [
        {"path": "003.png", "same_as": "again.png"}
    ]
    by_id = {r[picture_records.ID].numpy().decode(): r for split in records.values() for r in split}
    assert by_id["005.png"][picture_records.ENCODED].numpy() == (folder / "005.png").read_bytes()
    wide = by_id["wide.webp"]
    np.testing.assert_array_equal(picture_records.decode(wide[picture_records.ENCODED]), np.asarray(noise(5, 50, 7)))
    assert (
        wide[picture_records.FORMAT].numpy() == b"webp"
        and wide[picture_records.BYTES] == (folder / "wide.webp").stat().st_size
    )
    assert [int(wide[name]) for name in (picture_records.HEIGHT, picture_records.WIDTH, picture_records.CHANNELS)] == [
        5,
        50,
        3,
    ]
    assert by_id["deep.png"][picture_records.CHANNELS] == 1
    _check_statistics(tmp_path / "pipeline", len(records["train"]))

    runner.run(_pipeline(tmp_path, folder, validate=False))
    assert len(list(runs.iterdir())) == 1
    fill(folder, 1, first=500)
    runner.run(_pipeline(tmp_path, folder, validate=False))
    second = max(runs.iterdir(), key=lambda path: int(path.name))
    assert second != first and sum(map(len, _records(second).values())) == 43


def _check_statistics(root: pathlib.Path, pictures: int) -> None:
    (path,) = (root / "StatisticsGen" / "statistics").glob("*/Split-train/FeatureStats.pb")
    (statistics,) = tfdv.load_stats_binary(str(path)).datasets
    assert statistics.num_examples == pictures
    assert {feature.path.step[0] for feature in statistics.features} == set(SIDE_FEATURES)
    (path,) = (root / "SchemaGen" / "schema").glob("*/schema.pbtxt")
    schema = tfdv.load_schema_text(str(path))
    assert {feature.name for feature in schema.feature} == set(SIDE_FEATURES)
    differences = list((root / "ExampleValidator" / "anomalies").glob("*/Split-*/SchemaDiff.pb"))
    assert len(differences) == len(picture_records.SPLITS)
    for path in differences:
        assert not anomalies_pb2.Anomalies.FromString(path.read_bytes()).anomaly_info


def test_the_artifact_says_what_it_holds(tmp_path):
    fill(tmp_path / "in", 30)
    artifact, report, records = _execute(tmp_path / "out", "photos", str(tmp_path / "in"))
    assert json.loads(artifact.split_names) == list(picture_records.SPLITS)
    assert artifact.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
    assert artifact.get_string_custom_property("digest") == sources.dataset_digest("photos", str(tmp_path / "in"))
    assert artifact.get_int_custom_property("pictures_train") == len(records["train"])
    assert artifact.get_int_custom_property("unreadable") == artifact.get_int_custom_property("duplicates") == 0
    total = sum(path.stat().st_size for path in (tmp_path / "in").iterdir())
    assert sum(split["bytes"] for split in report["splits"].values()) == total


def test_small_folders_lend_pictures_to_empty_splits_and_take_them_back(tmp_path):
    fill(tmp_path / "in", 60)
    _, report, records = _execute(tmp_path / "sixty", "photos", str(tmp_path / "in"))
    assert not report["lent"] and sum(map(len, records.values())) == 60
    training = sorted(r[picture_records.ID].numpy().decode() for r in records["train"])[:4]
    for path in (tmp_path / "in").iterdir():
        if path.name not in training:
            path.unlink()
    _, report, records = _execute(tmp_path / "four", "photos", str(tmp_path / "in"))
    assert {name: len(split) for name, split in records.items()} == {"train": 2, "validation": 1, "test": 1}
    assert sorted(r[picture_records.ID].numpy().decode() for split in records.values() for r in split) == training
    assert [(entry["from"], entry["to"]) for entry in report["lent"]] == [("train", "test"), ("train", "validation")]
    assert {name: split["pixels"] for name, split in report["splits"].items()} == {
        "train": 336,
        "validation": 168,
        "test": 168,
    }


def test_fewer_than_three_pictures_are_refused(tmp_path):
    fill(tmp_path / "in", 2)
    with pytest.raises(DataError, match="at least 3 pictures are needed .* 2 could be read"):
        _execute(tmp_path / "out", "photos", str(tmp_path / "in"))


def test_too_many_unreadable_pictures_stop_the_step_and_are_named(tmp_path):
    fill(tmp_path / "in", 20)
    (tmp_path / "in" / "torn.png").write_bytes((tmp_path / "in" / "001.png").read_bytes()[:100])
    (tmp_path / "in" / "zero.png").touch()
    with pytest.raises(DataError, match="2 of 22 pictures .*torn.png: damaged.*zero.png: the file is empty"):
        _execute(tmp_path / "out", "photos", str(tmp_path / "in"))
    _, report, _ = _execute(tmp_path / "out2", "photos", str(tmp_path / "in"), allowed=0.1)
    assert [entry["path"] for entry in report["unreadable"]] == ["torn.png", "zero.png"]


def test_data_that_changed_since_the_digest_are_refused(tmp_path):
    fill(tmp_path / "in", 5)
    digest = sources.dataset_digest("photos", str(tmp_path / "in"))
    fill(tmp_path / "in", 1, first=9)
    with pytest.raises(DataError, match="changed while the pipeline started"):
        _execute(tmp_path / "out", "photos", str(tmp_path / "in"), digest=digest)


def test_a_catalogue_set_keeps_its_splits_and_carves_the_missing_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    _, report, records = _execute(tmp_path / "out", "tiny_pictures")
    sizes = {name: len(split) for name, split in records.items()}
    assert sizes["test"] == 5 and sizes["train"] + sizes["validation"] == 60 and 1 <= sizes["validation"] <= 20
    assert report["source_splits"] == {"train": ["train", "validation"], "test": ["test"]}
    expected = {np.asarray(noise(6, 7, seed)).tobytes() for seed in range(60)}
    decoded = [
        picture_records.decode(r[picture_records.ENCODED]).numpy().tobytes()
        for r in records["train"] + records["validation"]
    ]
    assert set(decoded) == expected
    assert (
        records["test"][0][picture_records.FORMAT].numpy() == b"png" and records["test"][0][picture_records.HEIGHT] == 6
    )
    assert report["digest"] == "tiny_pictures/2.0.0#image+label"
    _, _, again = _execute(tmp_path / "again", "tiny_pictures")
    ids = [
        {name: sorted(r[picture_records.ID].numpy() for r in s) for name, s in run.items()} for run in (records, again)
    ]
    assert ids[0] == ids[1]


def test_a_catalogue_set_that_cannot_be_prepared_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    # ImageNet wants its archive in a folder by hand: fails at once, without a network.
    with pytest.raises(DataError, match="TFDS cannot prepare the data set 'imagenet2012': ") as caught:
        sources.open_source("imagenet2012").prepare(str(tmp_path), BEAM_ARGS)
    assert "\n" not in str(caught.value)


def test_a_catalogue_set_with_two_pictures_asks_which(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    with pytest.raises(DataError, match="tiny_pairs#hr or tiny_pairs#lr"):
        sources.dataset_digest("tiny_pairs")
    _, report, records = _execute(tmp_path / "out", "tiny_pairs#lr")
    assert sum(map(len, records.values())) == 30 and all(map(len, records.values()))
    assert all(r[picture_records.HEIGHT] == 4 for split in records.values() for r in split)
    assert report["source_splits"] == {"pairs": list(picture_records.SPLITS)}


def test_sample_photos_are_prepared_inside_the_artifact(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "home"))
    _, _, records = _execute(tmp_path / "out", "sample_photos")
    assert {name: len(split) for name, split in records.items()} == {"train": 14, "validation": 3, "test": 4}
    assert not os.path.exists(tmp_path / "home") and not os.path.exists(tmp_path / "out" / "work")


@pytest.mark.parametrize(
    ("dataset", "folder", "message"),
    [
        ("photos", "", "does not exist"),
        ("cifar11", "", "no data set is named 'cifar11' .*cifar10"),
        ("cifar10", "/tmp", "goes with the data set 'photos'"),
        ("imdb_reviews", "", "no feature of the data set 'imdb_reviews' is one picture"),
        ("mnist_corrupted/no_such_config", "", "cannot be opened"),
        ("cifar10#label", "", "name the pictures of the data set 'cifar10': cifar10#image"),
    ],
)
def test_a_wrong_data_set_is_one_clear_line(dataset, folder, message):
    with pytest.raises(DataError, match=message) as caught:
        sources.dataset_digest(dataset, folder)
    assert "\n" not in str(caught.value)


def test_digests_of_the_catalogue_are_name_and_version():
    assert sources.dataset_digest("cifar10") == "cifar10/3.0.2#image+label"
    assert sources.dataset_digest("div2k/bicubic_x2#hr") == "div2k/bicubic_x2/2.0.0#hr"


@pytest.mark.parametrize("available", [["train"], ["train", "validation"], ["test"], ["train", "extra"], ["a", "b"]])
def test_every_data_set_gets_all_three_splits(available):
    targets = catalogue.split_targets(available)
    assert {split for shares in targets.values() for split in shares} == set(picture_records.SPLITS)
    assert all(sum(shares.values()) == pytest.approx(1) for shares in targets.values())


def test_lending_prefers_the_largest_split_and_moves_the_sizes(tmp_path):
    for split, seeds in {"train": range(0), "validation": range(4), "test": range(0)}.items():
        os.makedirs(tmp_path / f"Split-{split}")
        options = tf.io.TFRecordOptions(compression_type="GZIP")
        with tf.io.TFRecordWriter(str(tmp_path / f"Split-{split}" / "a.gz"), options) as writer:
            for seed in seeds:
                sizes = dict(height=2, width=3, channels=3, size_bytes=10)
                record = picture_records.image_example(b"%d" % seed, key=str(seed), format_name="png", **sizes)
                writer.write(record.SerializeToString())
    splits = {name: dict(pictures=0, bytes=0, pixels=0) for name in picture_records.SPLITS}
    splits["validation"] = dict(pictures=4, bytes=40, pixels=24)
    classes = {name: {} for name in picture_records.SPLITS}
    lent = lend(str(tmp_path), {"splits": splits, "classes": classes}, PICTURES)
    assert [(entry["from"], entry["to"]) for entry in lent] == [("validation", "test"), ("validation", "train")]
    assert splits["validation"] == dict(pictures=2, bytes=20, pixels=12)
    assert splits["train"] == splits["test"] == dict(pictures=1, bytes=10, pixels=6)
    assert {name: len(split) for name, split in _records(tmp_path).items()} == {"train": 1, "validation": 2, "test": 1}
