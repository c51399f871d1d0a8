"""The first step of every pipeline: examples from a TFDS data set or a folder to TFRecords.

The records are those of `models.records.pictures` (pictures) or `models.records.recordings` (recordings).
"""

import collections
import hashlib
import json
import os
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.example_gen import write_split
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.datasets.photos.photos_dataset_builder import check_unreadable
from components.ingest.catalogue import Splits
from components.ingest.folders import DataError
from components.ingest.sources import open_source
from components.kinds.record_kinds import KINDS, RecordKind
from models.records import pictures as picture_records

REPORT_FILE = "ingest.json"


class TfdsExampleGenSpec(component_spec.ComponentSpec):
    """What TfdsExampleGen takes and gives."""

    PARAMETERS = {
        "dataset": component_spec.ExecutionParameter(type=str),
        "folder": component_spec.ExecutionParameter(type=str),
        "digest": component_spec.ExecutionParameter(type=str),
        "max_unreadable": component_spec.ExecutionParameter(type=float),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}


class _Tally(beam.CombineFn):
    """Sums the counts of (split, format, counts) by split, and counts examples by format."""

    def create_accumulator(self):
        return collections.Counter()

    def add_input(self, total, element):
        split, format_name, counts = element
        for name, amount in counts.items():
            total[f"splits/{split}/{name}"] += amount
        total[f"formats/{format_name}"] += 1
        return total

    def merge_accumulators(self, totals):
        return sum(totals, collections.Counter())

    def extract_output(self, total):
        return dict(total)


class Executor(base_beam_executor.BaseBeamExecutor):
    """Reads, normalises, splits and writes the examples; see TfdsExampleGen."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `Split-<name>/*.gz` and REPORT_FILE into the examples artifact.

        Raises:
          DataError: the data cannot be read, changed since their digest was taken, hold too many unreadable files
            or fewer than three readable ones.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        dataset, folder = exec_properties["dataset"], exec_properties["folder"]
        source = open_source(dataset, folder)
        if exec_properties["digest"] not in ("", source.digest):
            raise DataError(f"the data of {folder or dataset!r} changed while the pipeline started; run it again")
        work_dir = os.path.join(examples.uri, "work")
        tf.io.gfile.makedirs(work_dir)
        source.prepare(work_dir, list(self._beam_pipeline_args))
        with self._make_beam_pipeline() as pipeline:
            _write_records(source.examples(pipeline), source.noun, examples.uri, os.path.join(work_dir, REPORT_FILE))
        with tf.io.gfile.GFile(os.path.join(work_dir, REPORT_FILE)) as file:
            report = json.load(file)
        tf.io.gfile.rmtree(work_dir)
        report |= {"dataset": dataset, "folder": folder, "digest": source.digest, "duplicates": [], "ignored": {}}
        unreadable = report["unreadable"] + source.facts.get("unreadable", [])
        report |= source.facts | {"unreadable": sorted(unreadable, key=lambda entry: entry["path"])}
        readable = sum(split[source.noun] for split in report["splits"].values())
        check_unreadable(report["unreadable"], readable, exec_properties["max_unreadable"], source.noun)
        report["lent"] = lend(examples.uri, report["splits"], KINDS[source.noun])
        _describe(examples, report, source.noun)


class TfdsExampleGen(base_beam_component.BaseBeamComponent):
    """Pictures or recordings from a folder or a TFDS data set to GZIP TFRecords, split into train, validation and test.

    Pictures stay encoded; recordings are one lead at 300 Hz. REPORT_FILE in the artifact holds the counts, and every
    file that could not be read:
    {"dataset", "folder", "digest", "splits": {name: {"pictures", "bytes", "pixels"}}, "formats": {name: count},
    "unreadable": [{"path", "reason"}], "duplicates": [{"path", "same_as"}], "ignored": {kind: count},
    "lent": [{"id", "from", "to"}], "source_splits": {name: [name]} for data sets of TFDS}. Of recordings
    "recordings" and "seconds" are counted in place of "pictures" and "pixels", and it also holds "label_version",
    "unlabelled" and "unknown_records" (see `components.kinds.recordings.places.Place`), or "simulated". The main counts
    are custom properties of the artifact: pictures_<split> or recordings_<split>, unreadable, duplicates (integers),
    digest.
    """

    SPEC_CLASS = TfdsExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, dataset: str, folder: str = "", digest: str = "", max_unreadable: float = 0.01):
        """Makes the component.

        Args:
          dataset: "photos" or "class_folders" (then `folder` is read), "packed" (then `folder` is a file), "cinc2017"
            or "wfdb_folder" (then it is a folder or an archive), "ecg_sample", or an image data set of TFDS ("cifar10",
            or our own "sample_photos", "digits").
          folder: the folder, sub-folders included, or the file.
          digest: `dataset_digest(dataset, folder)`; part of the cache's key, so that new or changed files are noticed,
            and checked again when the step runs. Empty: not checked.
          max_unreadable: share (0 to 1) of unreadable pictures above which the step fails.
        """
        examples = types.Channel(type=standard_artifacts.Examples)
        super().__init__(
            spec=TfdsExampleGenSpec(
                dataset=dataset, folder=folder, digest=digest, max_unreadable=float(max_unreadable), examples=examples
            )
        )


def lend(uri: str, splits: dict[str, dict[str, float]], kind: RecordKind = KINDS["pictures"]) -> list[dict[str, str]]:
    """Gives each empty split one example of the largest split, so that small sets can be evaluated at all.

    A set of a few dozen examples may have none whose hash falls into a split. The example is the one with the lowest
    (test, train) or highest (validation) SHA-256 of its content; it goes back to its own split as soon as the empty
    split has one by right. This is the only way in which a picture can change its split.

    Args:
      uri: the examples artifact's folder; its files are rewritten.
      splits: {name: counts of `kind`}; brought up to date.

    Returns:
      [{"id", "from", "to"}] of the examples that were lent.

    Raises:
      DataError: fewer than three examples.
    """
    total = sum(split[kind.noun] for split in splits.values())
    if total < len(picture_records.SPLITS):
        raise DataError(f"at least 3 {kind.noun} are needed (training, validation, test), {total} could be read")
    lent = []
    for name in [name for name in reversed(picture_records.SPLITS) if not splits[name][kind.noun]]:
        donor = max(picture_records.SPLITS, key=lambda split: splits[split][kind.noun])
        files = tf.io.gfile.glob(os.path.join(uri, f"Split-{donor}", "*.gz"))
        records = list(picture_records.records(files).as_numpy_iterator())
        choose = max if name == "validation" else min
        chosen = choose(records, key=lambda record: hashlib.sha256(_text(record, kind.content)).digest())
        records.remove(chosen)
        for file in files[1:]:
            tf.io.gfile.remove(file)
        _rewrite(files[0], records)
        _rewrite(tf.io.gfile.glob(os.path.join(uri, f"Split-{name}", "*.gz"))[0], [chosen])
        for key, amount in kind.count(tf.train.Example.FromString(chosen)).items():
            splits[donor][key] -= amount
            splits[name][key] += amount
        lent.append({"id": _text(chosen, kind.identity).decode(), "from": donor, "to": name})
    return lent


def _text(record: bytes, name: str) -> bytes:
    """The bytes of one feature of a serialised record."""
    return tf.train.Example.FromString(record).features.feature[name].bytes_list.value[0]


def _rewrite(path: str, records: list[bytes]) -> None:
    """Writes a GZIP TFRecord file beside `path`, then puts it in its place."""
    with tf.io.TFRecordWriter(path + ".new", tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for record in records:
            writer.write(record)
    tf.io.gfile.rename(path + ".new", path, overwrite=True)


def _write_records(examples: Splits, noun: str, uri: str, report_path: str) -> None:
    """Adds to the pipeline: one set of record files a split, and the counts as JSON at `report_path`.

    Examples are written where they are read, without a shuffle between, which would hold them all in memory on Beam's
    in-process runner; training shuffles anyway.
    """
    counted = []
    for name in picture_records.SPLITS:
        split = examples.splits.get(name)
        if split is None:
            split = examples.unreadable.pipeline | f"None[{name}]" >> beam.Create([])
        prefix = os.path.join(uri, f"Split-{name}", write_split.DEFAULT_FILE_NAME)
        records = split | f"Record[{name}]" >> beam.MapTuple(KINDS[noun].build)
        _ = (
            records
            | f"Serialize[{name}]" >> beam.Map(lambda record: record.SerializeToString())
            | f"Write[{name}]" >> beam.io.WriteToTFRecord(prefix, file_name_suffix=".gz")
        )
        counted.append(records | f"Count[{name}]" >> beam.Map(_counts, name, noun))
    _ = (
        tuple(counted)
        | "AllCounts" >> beam.Flatten()
        | "Tally" >> beam.CombineGlobally(_Tally())
        | "Report" >> beam.Map(_write_report, beam.pvalue.AsList(examples.unreadable), noun, report_path)
    )


def _counts(record: tf.train.Example, split: str, noun: str) -> tuple[str, str, dict[str, Any]]:
    """(split, format, counts) of a record; Any, since Beam would turn all counts into floats."""
    kind = KINDS[noun]
    format_name = record.features.feature[kind.format].bytes_list.value[0].decode()
    return split, format_name, kind.count(record)


def _write_report(tally: dict[str, float], unreadable: list[dict[str, str]], noun: str, path: str) -> None:
    """Writes the counts and the unreadable files as JSON."""
    splits = {
        name: {count: round(tally.get(f"splits/{name}/{count}", 0), 3) for count in KINDS[noun].counts}
        for name in picture_records.SPLITS
    }
    formats = {key.partition("/")[2]: count for key, count in sorted(tally.items()) if key.startswith("formats/")}
    with tf.io.gfile.GFile(path, "w") as file:
        json.dump({"splits": splits, "formats": formats, "unreadable": unreadable}, file)


def _describe(examples: types.Artifact, report: dict[str, Any], noun: str) -> None:
    """Writes REPORT_FILE and sets the artifact's properties."""
    path = os.path.join(examples.uri, REPORT_FILE)
    with tf.io.gfile.GFile(path + ".new", "w") as file:
        json.dump(report, file, indent=1)
    tf.io.gfile.rename(path + ".new", path, overwrite=True)
    examples.split_names = artifact_utils.encode_split_names(list(picture_records.SPLITS))
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, write_split.to_file_format_str(example_gen_pb2.FORMAT_TFRECORDS_GZIP))
    examples.set_string_custom_property("digest", report["digest"])
    for name, split in report["splits"].items():
        examples.set_int_custom_property(f"{noun}_{name}", split[noun])
    for name in ("unreadable", "duplicates"):
        examples.set_int_custom_property(name, len(report[name]))
