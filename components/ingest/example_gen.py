"""The first step of every pipeline: examples from a TFDS data set or a folder to TFRecords.

The records are those that the kind of the data makes (`components.kinds`).
"""

import collections
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

from components.ingest.lending import lend
from components.ingest.sources import open_source
from components.kinds import registry
from components.kinds.files import DataError
from components.kinds.kind import Splits
from components.kinds.splits import check_trained
from components.kinds.unreadable import check_unreadable
from models.records import pictures as picture_records

REPORT_FILE = "ingest.json"


class TfdsExampleGenSpec(component_spec.ComponentSpec):
    """What TfdsExampleGen takes and gives."""

    PARAMETERS = {
        "dataset": component_spec.ExecutionParameter(type=str),
        "folder": component_spec.ExecutionParameter(type=str),
        "digest": component_spec.ExecutionParameter(type=str),
        "max_unreadable": component_spec.ExecutionParameter(type=float),
        "labelled": component_spec.ExecutionParameter(type=int, optional=True),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}


class _Tally(beam.CombineFn):
    """Sums the counts of (format, class, counts), and counts examples by format and by class."""

    def create_accumulator(self):
        return {"counts": collections.Counter(), "formats": collections.Counter(), "classes": collections.Counter()}

    def add_input(self, total, element):
        format_name, label, counts = element
        for name, amount in counts.items():
            total["counts"][name] += amount
        total["formats"][format_name] += 1
        if label:
            total["classes"][label] += 1
        return total

    def merge_accumulators(self, totals):
        merged = self.create_accumulator()
        for total in totals:
            for name, counter in merged.items():
                counter.update(total[name])
        return merged

    def extract_output(self, total):
        return {name: dict(counter) for name, counter in total.items()}


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
            or fewer than three readable ones, or, if `labelled`, a class without an example to train with.
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
        report["lent"] = lend(examples.uri, report, registry.get(source.noun))
        if exec_properties.get("labelled"):
            known = {label for found in source.classes.values() for label in found}
            check_trained(report["classes"], source.noun, known)
        _describe(examples, report, source.noun)


class TfdsExampleGen(base_beam_component.BaseBeamComponent):
    """Pictures or recordings from a folder or a TFDS data set to GZIP TFRecords, split into train, validation and test.

    Pictures stay encoded; recordings are one lead at 300 Hz. REPORT_FILE in the artifact holds the counts, and every
    file that could not be read:
    {"dataset", "folder", "digest", "splits": {name: {"pictures", "bytes", "pixels"}}, "formats": {name: count},
    "classes": {split: {class: count}}, "unreadable": [{"path", "reason"}], "duplicates":
    [{"path", "same_as"}], "ignored": {kind: count}, "lent": [{"id", "from", "to"}]}, and what else the source knows
    (its `facts`). Of another kind its own noun and amount are counted, recordings and seconds say. The main counts are
    custom properties of the artifact: <noun>_<split>, unreadable, duplicates (integers), digest.
    """

    SPEC_CLASS = TfdsExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self, dataset: str, folder: str = "", digest: str = "", max_unreadable: float = 0.01, labelled: bool = False
    ):
        """Makes the component.

        Args:
          dataset: a data set of a kind ("photos", "wfdb_folder"), or of TFDS ("cifar10").
          folder: the folder, sub-folders included, or the file that it is read from, if it is read from one.
          digest: `dataset_digest(dataset, folder)`; part of the cache's key, so that new or changed files are noticed,
            and checked again when the step runs. Empty: not checked.
          max_unreadable: share (0 to 1) of unreadable pictures above which the step fails.
          labelled: whether the classes are wanted, so that each must have an example to train with.
        """
        examples = types.Channel(type=standard_artifacts.Examples)
        super().__init__(
            spec=TfdsExampleGenSpec(
                dataset=dataset,
                folder=folder,
                digest=digest,
                max_unreadable=float(max_unreadable),
                labelled=int(labelled),
                examples=examples,
            )  # fmt: skip
        )


def _write_records(examples: Splits, noun: str, uri: str, report_path: str) -> None:
    """Adds to the pipeline: one set of record files a split, and the counts as JSON at `report_path`.

    Examples are written where they are read, without a shuffle between and without joining what several steps give:
    either would hold them all in memory on Beam's in-process runner. Training shuffles anyway. The features of a record
    are serialised in the order of their names: every worker process has another one otherwise.
    """
    build, tallies = registry.get(noun).records.build, {}
    for name in picture_records.SPLITS:
        split = examples.splits.get(name)
        if split is None:
            split = examples.unreadable.pipeline | f"None[{name}]" >> beam.Create([])
        prefix = os.path.join(uri, f"Split-{name}", write_split.DEFAULT_FILE_NAME)
        records = split | f"Record[{name}]" >> beam.MapTuple(build)
        _ = (
            records
            | f"Serialize[{name}]" >> beam.Map(lambda record: record.SerializeToString(deterministic=True))
            | f"Write[{name}]" >> beam.io.WriteToTFRecord(prefix, file_name_suffix=".gz")
        )
        counted = records | f"Count[{name}]" >> beam.Map(_counts, noun)
        tallies[name] = beam.pvalue.AsSingleton(counted | f"Tally[{name}]" >> beam.CombineGlobally(_Tally()))
    _ = (
        examples.unreadable.pipeline
        | "Once" >> beam.Create([report_path])
        | "Report" >> beam.Map(_write_report, noun, beam.pvalue.AsList(examples.unreadable), **tallies)
    )


def _counts(record: tf.train.Example, noun: str) -> tuple[str, str, dict[str, Any]]:
    """(format, class, counts) of a record; Any, since Beam would turn all counts into floats."""
    kind, feature = registry.get(noun), record.features.feature
    texts = (feature[name].bytes_list.value for name in (kind.records.format, kind.records.label_name))
    format_name, label = (next(iter(values), b"").decode() for values in texts)
    return format_name, label, kind.count(record)


def _write_report(path: str, noun: str, unreadable: list[dict[str, str]], **tallies: dict[str, dict[str, Any]]) -> None:
    """Writes the counts, by split, and the unreadable files as JSON."""
    formats = sum((collections.Counter(tally["formats"]) for tally in tallies.values()), collections.Counter())
    report = {
        "splits": {
            name: {count: round(tally["counts"].get(count, 0), 3) for count in registry.get(noun).counts}
            for name, tally in tallies.items()
        },
        "classes": {name: dict(sorted(tally["classes"].items())) for name, tally in tallies.items()},
        "formats": dict(sorted(formats.items())),
        "unreadable": unreadable,
    }
    with tf.io.gfile.GFile(path, "w") as file:
        json.dump(report, file)


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
