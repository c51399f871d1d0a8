"""The pipeline of a joint training: a network on codes, given or trained first, is trained on with its codec.

TfdsExampleGen -> GivenPair | (Codec | GivenCodec -> Codes -> Original) -> [Tuner ->] Trainer -> as in
`pipeline.shapes.line`
"""

import dataclasses

from tfx.orchestration.pipeline import Pipeline

from components import given
from components.training import codes, pair
from models.understanding import joint
from pipeline.shapes import line
from pipeline.shapes.understanding import codes as codes_shape


def create_pipeline(options: line.Options) -> Pipeline:
    """The DAG of one joint training, which sees pictures.

    Raises:
      ConfigError: the given model is no network on codes that can go on so, or there is no such codec.
    """
    return line.behind(options, _before, codes.__name__)


def _before(options: line.Options, examples) -> tuple:
    """As `line.behind` wants it."""
    learned = dataclasses.replace(options, records_by=(*options.records_by, codes.__name__))
    first = _pair(learned, examples)
    return first, first[-1].outputs["model"], examples


def _pair(options: line.Options, examples) -> tuple:
    """The steps behind the pair; the last has it."""
    path = options.config.model
    if not joint.is_trained_first(options.config):
        joint.check_given(options.config)
        name = options.config.original.name
        return (pair.GivenPair(path=path, recipe=name, content=given.content_of(path)),)
    recipe, own = joint.recipe_to_train(options.config)
    codec, kept = codes_shape.coded(dataclasses.replace(options, recipe=recipe, config=own), examples)
    for step in (codec, kept):
        line.sign(step, options.names_of(recipe, own))  # they know nothing of what comes behind the pair
    records, model = kept.outputs["outputs"], codec.outputs["model"]
    (training,) = line.train(options, records, recipe=recipe, config=own, teacher=model, name="Original")
    return codec, kept, training
