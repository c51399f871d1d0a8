"""The pipeline of what learns from codes: a codec that is given or trained first, its codes kept, and the training.

TfdsExampleGen -> Codec | GivenCodec -> Codes -> [Tuner ->] Trainer -> as in `pipeline.shapes.line`
"""

import json

from tfx.orchestration.pipeline import Pipeline

from components import given
from components.training import codes
from models.understanding import codecs
from pipeline.shapes import line


def create_pipeline(options: line.Options) -> Pipeline:
    """The DAG of one training on codes; pictures are evaluated by way of streams that are written there.

    Raises:
      ConfigError: the given codec is no image codec of ours with latents.
    """
    return line.behind(options, _before, codes.__name__)


def _before(options: line.Options, examples) -> tuple:
    """As `line.behind` wants it."""
    codec, kept = coded(options, examples)
    return (codec, kept), codec.outputs["model"], kept.outputs["outputs"]


def coded(options: line.Options, examples) -> tuple:
    """The step that has the codec, and the one that keeps its codes of the records.

    Raises:
      ConfigError: as `create_pipeline`.
    """
    codec = _codec(options, examples)
    kept = codes.Codes(
        examples=examples, codec=codec.outputs["model"], recipe=options.recipe.name,
        config=json.dumps(_without_training(options.config), sort_keys=True),
    )  # fmt: skip
    return codec, kept


def _codec(options: line.Options, examples):
    """The step that trains the codec, or brings the one that was given."""
    config = options.config
    if codecs.is_trained_first(config):
        recipe, own = codecs.recipe_to_train(config)
        (step,) = line.train(options, examples, recipe=recipe, config=own, name="Codec")
        return step
    codecs.described(config.codec)
    return codes.GivenCodec(codec=config.codec, content=given.content_of(config.codec))


def _without_training(config) -> dict:
    """The options on which codes depend, as far as a recipe has them."""
    kept = ("classes", "class_names", "image_size", "rows", "columns", "views", "flip", "shift", "codec",
            "codec_settings", "quality", "rgb")  # fmt: skip
    return {name: getattr(config, name) for name in kept if hasattr(config, name)}
