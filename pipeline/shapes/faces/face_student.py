"""The pipeline of a student network for faces: its teacher, that one's embeddings kept in the records, the student.

TfdsExampleGen -> Teacher | GivenTeacher -> TeacherEmbeddings -> [Tuner ->] Trainer -> as in `pipeline.shapes.line`

With anchors the student follows checkpoints of a teacher that is trained here, and no embeddings are kept: Teacher ->
Anchors -> Trainer.
"""

from tfx.orchestration.pipeline import Pipeline

from components.training import teacher
from models.classifiers.named import settings_of
from models.contract.recipe import ConfigError
from models.faces import coupleface
from pipeline.shapes import line


def create_pipeline(options: line.Options) -> Pipeline:
    """The DAG of one student.

    Raises:
      ConfigError: anchors of a teacher that exists already.
    """
    return line.behind(options, _before, teacher.__name__)


def _before(options: line.Options, examples) -> tuple:
    """As `line.behind` wants it."""
    config, first = options.config, _teacher(options, examples)
    if config.anchors:
        more = teacher.Anchors(model_run=first.outputs["model_run"], positions=str(config.anchors))
        return (first, more), more.outputs["route"], examples
    model = first.outputs["model"]
    more = teacher.TeacherEmbeddings(
        examples=examples, model=model, range=config.teacher_range, size=config.image_size, central=config.central
    )
    return (first, more), model, more.outputs["outputs"]


def _teacher(options: line.Options, examples):
    """The step that makes the teacher, or brings the one that was given."""
    config = options.config
    if coupleface.is_trained_here(config):
        recipe, own = coupleface.teacher_recipe(config)
        settled = settings_of("teacher_settings", config.teacher_settings)
        (step,) = line.train(options, examples, recipe=recipe, config=own, name="Teacher", settled=settled,
                             keep_route=bool(config.anchors))  # fmt: skip
        return step
    if config.anchors:
        raise ConfigError(
            f"anchors={config.anchors}: the teacher must be trained here, a recipe; teacher={config.teacher}"
        )
    return teacher.GivenTeacher(path=config.teacher, content=teacher.digest(config.teacher))
