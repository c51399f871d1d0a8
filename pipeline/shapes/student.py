"""The pipeline of a distillation: teacher, its outputs, students and controls, and the table that compares them.

TfdsExampleGen -> Teacher | GivenTeacher -> TeacherOutputs -> Trainer [, Trainer-2, ...] -> as in `pipeline.shapes.line`
              \\-> Control [, Control-2, ...] ------------------------> Comparison
"""

import dataclasses
import json

from tfx.v1 import dsl

from components import artifacts
from components.evaluation.comparison import Comparison
from components.training import teacher
from models.distillation import student
from pipeline.shapes import line


def create_pipeline(options: line.Options) -> dsl.Pipeline:
    """The DAG of one distillation. A picture that is augmented is shown to the teacher anew each time it is drawn."""
    config = options.config
    ingest = line.ingest_of(options)
    examples = ingest.outputs["examples"]
    validation = line.validate(examples, options.recipe)
    instructor = _teacher(options, examples)
    model, records, extra = instructor.outputs["model"], examples, [instructor]
    if config.teacher_names and not config.is_augmented:
        cached = teacher.TeacherOutputs(
            examples=examples,
            model=model,
            config=json.dumps(_without_training(config), sort_keys=True),
            sources=artifacts.source_digest(*teacher.SOURCES),
        )
        records, extra = cached.outputs["outputs"], [instructor, cached]
    students, controls = [], []
    for n in range(config.seeds):
        seeded = dataclasses.replace(config, seed=config.seed + n)
        students += line.train(options, records, config=seeded, teacher=model, name=numbered("Trainer", n))
        if config.control:
            control = student.control_of(seeded)
            controls += line.train(
                options, examples, recipe=student.RECIPE, config=control, name=numbered("Control", n)
            )
    trainers = [s for s in students if "model" in s.outputs]
    comparison = compare(options, examples, model, trainers, controls)
    judged = line.judge(options, examples, validation, trainers[0])
    return line.assemble(options, [ingest, *validation, *extra, *students, *controls, comparison, *judged])


def compare(options: line.Options, examples, model, students: list, controls: list, ensemble: bool = False):
    """The table of a teacher, its students and their controls; with `ensemble` also of the students together."""
    settings = {name: getattr(options.config, name) for name in ("teacher_range", "teacher_output")}
    return Comparison(
        examples=examples,
        teacher=model,
        students=[s.outputs["model"] for s in students],
        controls=[c.outputs["model"] for c in controls],
        settings=settings | {"split": line.TEST, "ensemble": ensemble},
    )


def numbered(name: str, n: int) -> str:
    """The n-th step of a name: Trainer, Trainer-2, ..."""
    return name if n == 0 else f"{name}-{n + 1}"


def _teacher(options: line.Options, examples):
    """The step that makes the teacher, or brings the one that was given."""
    config = options.config
    if student.is_trained_here(config):
        recipe, of_teacher = student.teacher_recipe(config)
        return line.train(options, examples, recipe=recipe, config=of_teacher, name="Teacher")[-1]
    return teacher.GivenTeacher(path=config.teacher, content=teacher.digest(config.teacher))


def _without_training(config) -> dict:
    """The options on which the teacher's outputs depend: which features, which pictures."""
    kept = ("classes", "class_names", "image_size", "teacher_range", "teacher_output", "terms", "student",
            "student_settings", "alpha", "beta", "temperature")  # fmt: skip
    return {name: getattr(config, name) for name in kept}
