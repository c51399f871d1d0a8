"""The pipeline of a compression: a classifier that is given or trained first, and the same with few distinct weights.

TfdsExampleGen -> Original | GivenModel -> [Tuner ->] Trainer -> as in `pipeline.shapes.line`
"""

from tfx.orchestration.pipeline import Pipeline

from components.training import teacher
from models.classifiers.named import settings_of
from models.compressed import original
from pipeline.shapes import line


def create_pipeline(options: line.Options) -> Pipeline:
    """The DAG of one compression.

    Raises:
      ConfigError: the given model is no classifier of ours.
    """
    return line.behind(options, _before, teacher.__name__)


def _before(options: line.Options, examples) -> tuple:
    """As `line.behind` wants it."""
    first = _original(options, examples)
    return (first,), first.outputs["model"], examples


def _original(options: line.Options, examples):
    """The step that trains the model, or brings the one that was given."""
    config = options.config
    if original.is_trained_first(config):
        recipe, own = original.recipe_to_train(config)
        settled = settings_of("model_settings", config.model_settings)
        (step,) = line.train(options, examples, recipe=recipe, config=own, name="Original", settled=settled)
        return step
    original.described(config.model)
    return teacher.GivenTeacher(path=config.model, content=teacher.digest(config.model)).with_id("GivenModel")
