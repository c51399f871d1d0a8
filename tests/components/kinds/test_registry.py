"""A new kind of data is one new folder: in a copy of the sources its files are ingested; no other changes."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from components.kinds import headlines, registry
from components.kinds.files import DataError
from components.kinds.kind import Kind

ROOT = pathlib.Path(__file__).resolve().parents[3]
WORDS = '''"""Text files as a kind of data: an example a line."""

import hashlib
import pathlib

import apache_beam as beam
import tensorflow as tf

from components.kinds.kind import Kind, Records, Splits
from components.kinds.splits import split_of
from components.kinds.unreadable import UNREADABLE
from models.records.pictures import SPLITS


def _build(key, example):
    texts = {"text/line": example["line"], "text/id": key, "text/format": "txt", "text/label": ""}
    feature = {n: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode()])) for n, v in texts.items()}
    feature["text/bytes"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[len(example["line"])]))
    return tf.train.Example(features=tf.train.Features(feature=feature))


def _read(path):
    for n, line in enumerate(pathlib.Path(path).read_text().splitlines()):
        split = split_of(hashlib.sha256(line.encode()).hexdigest())
        yield beam.pvalue.TaggedOutput(split, (f"{path}:{n}", {"line": line}))


class Source:
    noun, labels, facts, classes = "words", [], {}, {}

    def __init__(self, place):
        self.place, self.digest = place, hashlib.sha256(pathlib.Path(place).read_bytes()).hexdigest()

    def prepare(self, work_dir, beam_args):
        pass

    def examples(self, pipeline):
        outputs = pipeline | beam.Create([self.place]) | beam.FlatMap(_read).with_outputs(*SPLITS, UNREADABLE)
        return Splits({name: outputs[name] for name in SPLITS}, outputs[UNREADABLE])


class Words(Kind):
    noun, places = "words", ("lines",)
    records = Records("letters", _build, lambda f: len(f["text/line"].bytes_list.value[0]), "text/line", "text/id",
                      "text/format", "text/bytes", "text/label", ("text/format", "text/bytes"), ("text/bytes",))

    def open(self, dataset, place=""):
        return Source(place)

    def default_dataset(self, place, labelled):
        return "lines"

    def reads_file(self, name):
        return name.endswith(".txt")

    def warm_up(self, files):
        return {"line": b"word"}


KIND = Words()
'''
INGEST = """
import glob, json, sys
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts
from components.artifacts import LOCAL_BEAM
from components.ingest import example_gen, sources, statistics
from components.serving import check

place, out = sys.argv[1:]
examples = standard_artifacts.Examples()
examples.uri = out
beam_args = list(LOCAL_BEAM)
context = BaseBeamExecutor.Context(beam_pipeline_args=beam_args, tmp_dir=out)
digest = sources.dataset_digest("lines", place, noun="words")
properties = {"dataset": "lines", "folder": place, "digest": digest, "max_unreadable": 0.0}
example_gen.Executor(context).Do({}, {"examples": [examples]}, properties)
print(json.dumps([f.name for f in statistics.side_feature_options(noun="words").schema.feature]))
inputs = check.inputs_of(glob.glob(out + "/Split-train/*.gz"))
print(json.dumps({name: value.decode() for name, value in inputs.items()}))
"""


@pytest.mark.slow
def test_a_kind_of_data_is_a_folder(tmp_path):
    for folder in ("models", "components"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    room = tmp_path / "components" / "kinds" / "words"
    room.mkdir()
    (room / "__init__.py").write_text('"""Words."""\n')
    (room / "kind.py").write_text(WORDS)
    lines = [f"line number {n}" for n in range(60)]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    command = [sys.executable, "-c", INGEST, str(tmp_path / "lines.txt"), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-2000:]
    features, inputs = map(json.loads, done.stdout.strip().splitlines()[-2:])
    assert features == ["text/format", "text/bytes"] and inputs == {"line": "word"}
    report = json.loads((tmp_path / "out" / "ingest.json").read_text())
    assert sum(split["words"] for split in report["splits"].values()) == 60 and report["formats"] == {"txt": 60}
    assert sum(split["letters"] for split in report["splits"].values()) == sum(map(len, lines))


def test_the_kinds_know_their_data_sets():
    assert set(registry.kinds()) == {"clips", "faces", "matrices", "pictures", "recordings", "scenes"}
    assert all(isinstance(kind, Kind) for kind in registry.kinds().values())
    assert registry.kind_of("wfdb_folder").noun == "recordings" and registry.kind_of("cifar10") is None
    known = "clips, faces, matrices, pictures, recordings, scenes"
    with pytest.raises(DataError, match=f"no kind of data is called 'words'; there are {known}"):
        registry.get("words")


@pytest.mark.parametrize(
    ("noun", "place", "labelled", "name"),
    [
        ("pictures", "", False, "sample_photos"), ("pictures", "", True, "digits"),
        ("pictures", "/data", False, "photos"), ("pictures", "/data", True, "class_folders"),
        ("pictures", "/data/set.npz", True, "packed"), ("recordings", "", True, "ecg_sample"),
        ("faces", "", False, "sample_faces"), ("faces", "/data", False, "face_folders"),
        ("clips", "", False, "sample_clips"), ("clips", "/data", False, "clips"),
        ("scenes", "", False, "sample_shapes"), ("scenes", "/data", False, "scene_folders"),
    ],
)  # fmt: skip
def test_what_is_meant_without_a_name(noun, place, labelled, name):
    assert registry.get(noun).default_dataset(place, labelled) == name


def test_names_of_places_are_told_without_importing_a_kind():
    assert headlines.place_names() == {name for kind in registry.kinds().values() for name in kind.places}
