"""Codecs as artifacts, and their codes of pictures, kept in the records: training then reads no picture."""

import json
import pathlib
import shutil

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model
from tfx.utils import path_utils

from components import artifacts, given
from components.training import kept
from models.contract import registry
from models.contract.recipe import ConfigError
from models.publishing import pushed, released
from models.records import pictures as picture_records
from models.understanding import codecs, inputs
from models.understanding.reader import Reader


@component
def GivenCodec(  # noqa: N802 (TFX components are nouns)
    model: OutputArtifact[Model],
    codec: Parameter[str],
    content: Parameter[str],
) -> None:
    """Copies what a codec is built from into the pipeline, so that the run keeps what its codes mean.

    Args:
      model: recipe, options, weights and tables; no graph. codec: a released one, or the path of a pushed one.
      content: `components.given.content_of` it, for the cache.

    Raises:
      ConfigError: there is no such codec, or it has changed since the run began.
    """
    take(codec, content, path_utils.serving_model_dir(model.uri))


def take(codec: str, content: str, target: str) -> None:
    """Copies a codec into a folder; raises as `GivenCodec`."""
    codecs.described(codec)
    if content and given.content_of(codec) != content:
        raise ConfigError(f"codec={codec}: changed while the pipeline started; run it again")
    if codec in released.names():
        recipe, config, model = released.unpack(released.path_of(codec), "float32")
        reads = {"reads": [f"{fingerprint:08x}" for fingerprint in model.reads]} if model.reads else {}
        pushed.save(target, recipe, config, model, model.tables, **reads)
        return
    copy(codec, target)


def copy(source: str, target: str) -> None:
    """Copies what a pushed model is built from again into a folder; the newest of a folder of versions."""
    folder = pathlib.Path(target, pushed.EXTRA)
    folder.mkdir(parents=True)
    for name in (pushed.ABOUT, pushed.WEIGHTS, pushed.TABLES):
        if (path := pushed.newest(source) / pushed.EXTRA / name).is_file():
            shutil.copy(path, folder)


@component
def Codes(  # noqa: N802 (TFX components are nouns)
    examples: InputArtifact[Examples],
    codec: InputArtifact[Model],
    outputs: OutputArtifact[Examples],
    recipe: Parameter[str],
    config: Parameter[str],
) -> None:
    """Writes the training and validation records again, each with the stream of its picture and what that holds.

    Args:
      examples: records. codec: as `GivenCodec` or a Trainer leaves it.
      outputs: the same records with features `codes/received` and `codes/bitstream_bytes`, see
        `components.training.kept`.
      recipe, config: what learns from them, all its options as JSON.

    Raises:
      ConfigError: the codec has no such quality, or as of the recipe's `adapt`.
    """
    write_codes(examples, codec, outputs, recipe, config)


def write_codes(examples, codec, outputs, recipe: str, config: str) -> None:
    """What `Codes` does, with its artifacts."""
    splits = picture_records.SPLITS[:2]
    learner = registry.get(recipe)
    options = learner.config(**json.loads(config) | {"codec": artifacts.saved_model_dir(codec), "codec_settings": ""})
    options = learner.adapt(options, artifacts.split_files([examples], splits[0]))
    of_codec = codecs.of_about(options.codec_about)
    reader = Reader(of_codec[0], codecs.built(options), of_codec[1], options.quality, options.rgb)

    def say(records):
        found = [options.values(reader, record) for record in records]
        return {name: [values[name] for values in found] for name in found[0]}

    kept.write(examples, outputs, say, splits, inputs.PREFIX)
