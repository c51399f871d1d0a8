"""What a model says of records, kept in them: codes to learn from, embeddings, a teacher's logits."""

import os
from collections.abc import Callable, Sequence

import tensorflow as tf
from tfx.components.example_gen import write_split
from tfx.components.util import examples_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples, Model

from components import artifacts
from models.contract.recipe import ConfigError
from models.records import kept
from models.records import pictures as picture_records

_BATCH = 128


@component
def KeptOutputs(  # noqa: N802 (TFX components are nouns)
    examples: InputArtifact[Examples],
    model: InputArtifact[Model],
    outputs: OutputArtifact[Examples],
    signature: Parameter[str],
    names: Parameter[str],
    prefix: Parameter[str],
) -> None:
    """Writes records again, each with what a signature of a model says of it.

    Args:
      examples: records. model: a SavedModel.
      outputs: the same splits and records with features PREFIX/NAME, told by `models.records.kept.FILE`.
      signature: of one argument, string [B]: records, or encoded pictures (`image_bytes`).
      names: of its outputs, separated by commas; empty: all. prefix: before their names.

    Raises:
      ConfigError: no such signature or output.
    """
    keep_signature(examples, model, outputs, signature, names, prefix)


def keep_signature(examples, model, outputs, signature: str, names: str, prefix: str) -> None:
    """What `KeptOutputs` does, with its artifacts."""
    loaded = tf.saved_model.load(artifacts.saved_model_dir(model))
    try:
        answer = kept.of_signature(loaded, signature)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    given = loaded.signatures[signature].structured_outputs
    wanted = [name.strip() for name in names.split(",") if name.strip()] or sorted(given)
    if unknown := set(wanted) - set(given):
        raise ConfigError(f"the signature '{signature}' gives no '{min(unknown)}'; it gives {', '.join(sorted(given))}")

    def say(records):
        said = answer(records)
        return {name: said[name].numpy() for name in wanted}

    write(examples, outputs, say, artifact_utils.decode_split_names(examples.split_names), prefix)


def write(examples, outputs, say: Callable, splits: Sequence[str], prefix: str) -> None:
    """Writes splits of records again with what `say` says of them, and what all have in common of it.

    Args:
      examples, outputs: Examples artifacts. prefix: before the names of the outputs.
      say: serialised records, string [B], to {name: array [B, ...], or a list of B arrays}.

    Raises:
      ValueError: an output differs between records in type or number of sides.
    """
    common = {}
    for split in splits:
        folder = os.path.join(outputs.uri, f"Split-{split}")
        tf.io.gfile.makedirs(folder)
        path = os.path.join(folder, "data-00000-of-00001.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for record, values in annotated(artifacts.split_files([examples], split), say, prefix):
                for name, value in values.items():
                    output = kept.Output.of(value)
                    common[name] = output.common(common.get(name, output))
                writer.write(record)
    with tf.io.gfile.GFile(os.path.join(outputs.uri, kept.FILE), "w") as file:
        file.write(kept.dumps(common))
    outputs.split_names = artifact_utils.encode_split_names(list(splits))
    examples_utils.set_payload_format(outputs, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(outputs, write_split.to_file_format_str(example_gen_pb2.FORMAT_TFRECORDS_GZIP))


def annotated(files: Sequence[str], say: Callable, prefix: str):
    """Yields (record, values): serialised records of files with what `say` says of them, and that by feature name."""
    for records in picture_records.records(files).batch(_BATCH):
        said = say(records)
        for place, record in enumerate(records.numpy()):
            values = {prefix + name: value[place] for name, value in said.items()}
            yield kept.annotated(record, values), values
