"""What a full pass over the training recordings decides (TFT): the label vocabulary and the amplitude of the signals.

The records stay as they are and get two features more: `ecg/label`, the place of the label in the vocabulary, and
`ecg/amplitude`, one number for the whole set. Both stand in the records, so that training, cross-validation and the
exported configuration use the same numbers.
"""

import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.component.experimental.annotations import OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types.standard_artifacts import Schema
from tfx.utils import io_utils
from tfx_bsl.coders import example_coder
from tfx_bsl.public import tfxio

from components.artifacts import LOCAL_BEAM
from models.files import replacing
from models.records import pictures as picture_records
from models.records import recordings as ecg_records

_TYPES = {tf.string: schema_pb2.BYTES, tf.int64: schema_pb2.INT, tf.float32: schema_pb2.FLOAT}


def preprocessing_fn(inputs: Mapping[str, tf.Tensor | tf.SparseTensor]) -> dict[str, tf.Tensor]:
    """Ingest records, with the features that `record_schema` names, to the same with label and amplitude.

    Returns:
      The inputs (without a label its name is empty); `ecg/label` int64 [B]: the place of the label among those of the
      training split, by falling frequency (ties by falling name), -1 without a label or with one that the training
      split lacks; `ecg/amplitude` float32 [B]: the root mean square of all samples of the training split, millivolts,
      the same for every record.
    """
    names = inputs[ecg_records.LABEL_NAME]
    places = tft.compute_and_apply_vocabulary(names, default_value=ecg_records.NO_LABEL, vocab_filename="labels")
    rows = tf.shape(inputs[ecg_records.SIGNAL], tf.int64)[:1]

    def dense(found: tf.SparseTensor, missing: str | int) -> tf.Tensor:
        whole = tf.SparseTensor(found.indices, found.values, tf.concat([rows, [1]], 0))
        return tf.sparse.to_dense(whole, missing)[:, 0]

    energy = tf.map_fn(_energy, inputs[ecg_records.SIGNAL], fn_output_signature=tf.float64)
    samples = tft.sum(tf.cast(inputs[ecg_records.SAMPLES], tf.float64))
    amplitude = tf.sqrt(tft.sum(energy) / tf.maximum(samples, 1.0))
    return dict(inputs) | {
        # An absent value would be written as an empty list, which no reader takes.
        ecg_records.LABEL_NAME: dense(names, ""),
        ecg_records.LABEL: dense(places, ecg_records.NO_LABEL),
        ecg_records.AMPLITUDE: tf.fill(rows, tf.cast(amplitude, tf.float32)),
    }


def _energy(signal: tf.Tensor) -> tf.Tensor:
    """Sum of the squares of a record's samples, square millivolts, float64."""
    return tf.reduce_sum(tf.square(tf.cast(ecg_records.decode(signal), tf.float64)))


def record_schema() -> schema_pb2.Schema:
    """What an ingest record holds: one value of each feature, of the label's name at most one."""
    schema = schema_pb2.Schema()
    for name, spec in ecg_records.FEATURES.items():
        if name in (ecg_records.LABEL, ecg_records.AMPLITUDE):
            continue
        feature = schema.feature.add(name=name, type=_TYPES[spec.dtype])
        if name == ecg_records.LABEL_NAME:
            feature.value_count.min, feature.value_count.max = 0, 1
        else:
            feature.presence.min_fraction = 1.0
            feature.shape.SetInParent()  # a scalar
    return schema


@component
def RecordSchema(schema: OutputArtifact[Schema]) -> None:  # noqa: N802 (TFX components are nouns)
    """Writes `record_schema()`, for Transform: the schema of SchemaGen knows the side features alone."""
    fileio.makedirs(schema.uri)
    io_utils.write_pbtxt_file(os.path.join(schema.uri, "schema.pbtxt"), record_schema())


def transform(
    files: Mapping[str, Sequence[str]], folder: str | os.PathLike, beam_args: Sequence[str] = LOCAL_BEAM
) -> dict[str, list[str]]:
    """What the pipeline's Transform does, outside of it: analyses the split "train" and transforms all.

    Args:
      files: split -> GZIP TFRecord files of ingest records; "train" must be among them.
      folder: gets `Split-<name>/*.gz`, complete or not at all; must not exist.

    Returns:
      split -> the transformed files.

    Raises:
      FileExistsError: the folder exists.
      FileNotFoundError: a file is missing, or a split has none.
    """
    target = pathlib.Path(folder)
    if target.exists():
        raise FileExistsError(f"{target} is there already; recordings are transformed to a new folder")
    files = {split: list(map(os.fspath, paths)) for split, paths in files.items()}
    missing = [path for paths in files.values() for path in paths if not os.path.isfile(path)]
    if missing or not all(files.values()):
        raise FileNotFoundError(f"no records at {', '.join(missing) or 'an empty list of files'}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        part.mkdir()
        _write_transformed(files, part, beam_args)
        shutil.rmtree(part / "work")
    return split_files(target)


def split_files(folder: str | os.PathLike) -> dict[str, list[str]]:
    """The files of each split of a folder that `transform` has written."""
    return {
        split.name.removeprefix("Split-"): sorted(map(str, split.glob("*.gz")))
        for split in sorted(pathlib.Path(folder).glob("Split-*"))
    }


def _write_transformed(files: Mapping[str, Sequence[str]], part: pathlib.Path, beam_args: Sequence[str]) -> None:
    options = beam.options.pipeline_options.PipelineOptions(list(beam_args))
    with beam.Pipeline(options=options) as pipeline, tft_beam.Context(temp_dir=str(part / "work")):
        read, configs = {}, {}
        for split, paths in files.items():
            source = tfxio.TFExampleRecord(paths, schema=record_schema(), telemetry_descriptors=["ecg_transform"])
            read[split] = pipeline | f"Read[{split}]" >> source.BeamSource()
            configs[split] = source.TensorAdapterConfig()
        train = picture_records.SPLITS[0]
        graph = (read[train], configs[train]) | "Analyze" >> tft_beam.AnalyzeDataset(preprocessing_fn)
        for split, batches in read.items():
            transformed, metadata = ((batches, configs[split]), graph) | f"Transform[{split}]" >> (
                tft_beam.TransformDataset(output_record_batches=True)
            )
            prefix = str(part / f"Split-{split}" / "transformed")
            _ = (
                transformed
                | f"Encode[{split}]" >> beam.ParDo(_Encode(), beam.pvalue.AsSingleton(metadata.deferred_metadata))
                | f"Write[{split}]" >> beam.io.WriteToTFRecord(prefix, file_name_suffix=".gz")
            )


class _Encode(beam.DoFn):
    """Record batches to serialised records."""

    def process(self, element, metadata):
        batch, _ = element  # nothing is passed through beside it
        yield from example_coder.RecordBatchToExamplesEncoder(metadata.schema).encode(batch)
