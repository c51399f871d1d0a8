"""The ingest on an engine of Beam in processes of its own: the very records of the in-process runner."""

import json
import pathlib

import apache_beam as beam
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.artifacts import LOCAL_BEAM
from components.ingest import sources
from components.ingest.example_gen import REPORT_FILE, Executor
from models.records import pictures as picture_records
from tests.components.pictures_on_disk import encoded, fill, noise
from tests.components.portable_beam import engine


def _ingested(out: pathlib.Path, dataset: str, folder: pathlib.Path, args: list[str]) -> tuple[dict, dict]:
    """{split: its serialised records, sorted} and the report of an ingest with these arguments of Beam."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(out)
    digest = sources.dataset_digest(dataset, str(folder))
    properties = {"dataset": dataset, "folder": str(folder), "digest": digest, "max_unreadable": 0.1}
    context = Executor.Context(make_beam_pipeline_fn=lambda: beam.Pipeline(argv=args), tmp_dir=str(out))
    Executor(context).Do({}, {"examples": [artifact]}, properties)
    records = {}
    for split in picture_records.SPLITS:
        files = sorted(str(path) for path in (out / f"Split-{split}").glob("*.gz"))
        records[split] = sorted(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
    return records, json.loads((out / REPORT_FILE).read_text())


@pytest.mark.slow
def test_two_workers_make_the_records_of_the_in_process_runner(tmp_path):
    folder = tmp_path / "in"
    for name, first in (("a", 0), ("b", 100)):
        fill(folder / name, 30, first)
    (folder / "a" / "broken.jpg").write_bytes(encoded(noise(20, 20, 8), "JPEG")[:300])
    expected, report = _ingested(tmp_path / "here", "class_folders", folder, list(LOCAL_BEAM))
    with engine(tmp_path / "engine", workers=2) as found:
        before = found.workers()
        records, told = _ingested(tmp_path / "there", "class_folders", folder, found.args)
        workers = found.workers()
    assert records == expected and told == report
    assert sum(map(len, records.values())) == 60 and all(map(len, records.values()))
    assert [entry["path"] for entry in told["unreadable"]] == ["a/broken.jpg"]
    assert not before and len(workers) == 2
    assert min(workers.values()) > 1, "a worker that reads pictures imports TensorFlow, which takes a second and more"
