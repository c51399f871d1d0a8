"""Beam transforms from a place with recordings to (key, example), and what the TFDS builders of such places share.

An example is {"signal" (millivolts, float32 [T] at 300 Hz), "format", "original_rate", "bytes", "noise_class", "gaps",
"clipped", "label_name"}.
"""

import dataclasses
import os
import tempfile
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_datasets as tfds

from components.kinds.containers import members
from components.kinds.files import bytes_of_path, path_of_bytes
from components.kinds.recordings import recordings
from components.kinds.recordings.places import Place, Record, scan
from components.kinds.recordings.recordings import Recording, RecordingError
from components.kinds.unreadable import UNREADABLE, report_unreadable
from models.records.pictures import SPLITS

NOUN = "recordings"


@dataclasses.dataclass(eq=False)
class RecordingsConfig(tfds.core.BuilderConfig):
    """Which folder or archive is read, and which share of its recordings may be unreadable before that is an error."""

    folder: str = ""
    max_unreadable: float = 0.01


def example_of(recording: Recording, label_name: str) -> dict[str, Any]:
    """The example of one recording."""
    return {
        "signal": recording.samples,
        "format": recording.format,
        "original_rate": round(recording.original_rate),
        "bytes": recording.size_bytes,
        "noise_class": recording.noise_class,
        "gaps": recording.gaps,
        "clipped": recording.clipped,
        "label_name": label_name,
    }


class _Read(beam.DoFn):
    """Records of a place to (key, example) on the outputs of their splits, or to UNREADABLE.

    Elements are (path in bytes, key, label, split) of a record of the folder, since names of files need not be text, or
    (path of an archive, its records): one pass, in which a record is decoded when its last signal file was read. Both
    go through one step, since Beam's in-process runner holds in memory what several steps give to one.
    """

    def __init__(self, folder: str):
        super().__init__()
        self._folder = folder

    def process(self, element: tuple):
        if len(element) == 2:
            yield from _read_archive(*element)
        else:
            yield from self._read_file(*element)

    def _read_file(self, path: bytes, key: str, label: str, split: str):
        try:
            recording = recordings.read(os.path.join(self._folder, path_of_bytes(path)))
        except RecordingError as error:
            yield _unreadable(key, error)
            return
        yield beam.pvalue.TaggedOutput(split, (key, example_of(recording, label)))


def _read_archive(path: str, records: list[Record]):
    wanted = {file: record for record in records for file in record.files}
    waiting: dict[str, dict[str, bytes]] = {}
    for member in members(path):
        record = wanted.get(member.path)
        if record is None:
            continue
        try:
            files = waiting.setdefault(record.key, {}) | {member.path: member.read()}
            waiting[record.key] = files
            if len(files) < len(record.files):
                continue
            del waiting[record.key]
            recording = _decode(record, files)
        except (OSError, RecordingError) as error:
            yield _unreadable(record.key, error)
            continue
        yield beam.pvalue.TaggedOutput(record.split, (record.key, example_of(recording, record.label)))


def _unreadable(key: str, error: Exception) -> beam.pvalue.TaggedOutput:
    # Messages start with the name of the file, which the list gives beside them.
    return beam.pvalue.TaggedOutput(UNREADABLE, {"path": key, "reason": str(error).partition(": ")[2] or str(error)})


def _decode(record: Record, files: dict[str, bytes]) -> Recording:
    """A record from the contents of its files.

    WFDB's library reads from a file system only, so what is no MATLAB matrix lies for a moment, alone, in a temporary
    folder.
    """
    name = os.path.basename(record.path)
    if len(files) == 1 and record.files[0].lower().endswith(".mat"):
        return recordings.read_bytes(files[record.files[0]], record.header, name=name)
    with tempfile.TemporaryDirectory() as folder:
        for path, content in {record.path + ".hea": record.header, **files}.items():
            with open(os.path.join(folder, os.path.basename(path)), "wb") as file:
                file.write(content)
        return recordings.read(os.path.join(folder, name + ".hea"))


def read_place(pipeline: beam.Pipeline, folder: str, place: Place) -> dict[str, beam.PCollection]:
    """Adds to a pipeline: (key, example) on outputs named SPLITS, and {"path", "reason"} on UNREADABLE.

    Files of a folder are read where Beam's workers are; an archive is one stream, read by one worker.
    """
    loose, archives = [], {}
    is_one_archive = os.path.isfile(folder)
    for record in place.records:
        if record.container or is_one_archive:
            path = os.path.join(folder, record.container) if record.container else folder
            archives.setdefault(path, []).append(record)
        else:
            path = record.path + (".hea" if record.header is not None else os.path.splitext(record.files[0])[1])
            loose.append((bytes_of_path(path), record.key, record.label, record.split))
    outputs = (
        pipeline
        | "Records" >> beam.Create([*loose, *archives.items()], reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(_Read(folder)).with_outputs(*SPLITS, UNREADABLE)
    )
    return {tag: outputs[tag] for tag in (*SPLITS, UNREADABLE)}


class RecordingsBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A place with recordings: its own split where a labels.csv has one, else 8:1:1 within each label.

    Splits without any recording are left out. What could not be read is listed in `unreadable.json` beside the data.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put the recordings into `manual_dir`, or name their place in a `RecordingsConfig`."
    DESCRIPTION = ""
    LABELS: tuple[str, ...] = ()  # that are accepted; empty: any

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "signal": tfds.features.Tensor(shape=(None,), dtype=np.float32, doc="millivolts at 300 Hz"),
                "id": tfds.features.Text(doc="Path in the folder or archive, without extension."),
                "format": tfds.features.Text(doc="Format of the file: mat or wfdb."),
                "original_rate": tfds.features.Scalar(np.int64, doc="samples a second of the file"),
                "bytes": tfds.features.Scalar(np.int64, doc="size of the signal file"),
                "noise_class": tfds.features.Text(doc="clean, noisy or very_noisy"),
                "gaps": tfds.features.Scalar(np.int64, doc="samples that were missing"),
                "clipped": tfds.features.Scalar(np.int64, doc="samples at the limits"),
                "label_name": tfds.features.Text(doc="The label; empty without one."),
            }
        )
        return tfds.core.DatasetInfo(builder=self, description=self.DESCRIPTION, features=features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager, pipeline: beam.Pipeline) -> dict[str, Any]:
        config = self.builder_config or RecordingsConfig(name="manual", folder=str(dl_manager.manual_dir))
        place = scan(config.folder, self.LABELS)
        outputs = read_place(pipeline, config.folder, place)
        options = (place.unreadable, len(place.records), config.max_unreadable, str(self.data_path), NOUN)
        _ = (
            outputs[UNREADABLE]
            | "ListUnreadable" >> beam.combiners.ToList()
            | "ReportUnreadable" >> beam.Map(report_unreadable, *options)
        )
        used = {record.split for record in place.records}
        return {name: self._generate_examples(outputs[name], name) for name in SPLITS if name in used}

    def _generate_examples(self, examples: beam.PCollection, split: str) -> beam.PCollection:
        return examples | f"Identify[{split}]" >> beam.MapTuple(lambda key, example: (key, example | {"id": key}))
