"""The pipeline of a student of codes: its codec, the codes, a teacher that sees pictures, what that says, the student.

TfdsExampleGen -> Codec | GivenCodec -> Codes -> TeacherOutputs -> [Tuner ->] Trainer -> as in `pipeline.shapes.line`
              \\-> Teacher | GivenTeacher ----------^
"""

import dataclasses

from tfx.orchestration.pipeline import Pipeline

from components.training import codes, teacher
from models.understanding import code_classifier, code_student
from pipeline.shapes import line, student
from pipeline.shapes.understanding import codes as codes_shape


def create_pipeline(options: line.Options) -> Pipeline:
    """The DAG of one student of codes.

    Raises:
      ConfigError: the given codec is no image codec of ours with latents, or the given teacher is nowhere.
    """
    return line.behind(
        dataclasses.replace(options, records_by=(*options.records_by, codes.__name__)), _before, teacher.__name__
    )


def _before(options: line.Options, examples) -> tuple:
    """As `line.behind` wants it."""
    recipe, own = code_classifier.RECIPE, code_student.student_config(options.config)
    codec, kept = codes_shape.coded(dataclasses.replace(options, recipe=recipe, config=own), examples)
    for step in (codec, kept):
        line.sign(step, options.names_of(recipe, own))  # they know nothing of a teacher
    first = student.teacher_of(options, examples)
    said = teacher.TeacherOutputs(
        examples=kept.outputs["outputs"], model=first.outputs["model"],
        config=student.of_teacher(options.config),
    )  # fmt: skip
    return (codec, kept, first, said), codec.outputs["model"], said.outputs["outputs"]
