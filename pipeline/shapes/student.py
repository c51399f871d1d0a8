"""The pipeline of a distillation: teacher, its outputs, students and controls, and the table that compares them.

TfdsExampleGen -> Teacher | GivenTeacher -> TeacherOutputs -> Trainer [, Trainer-2, ...] -> as in `pipeline.shapes.line`
              \\-> Control [, Control-2, ...] ------------------------> Comparison

A tuned run has [Teacher-Search -> TeacherOutputs-Search ->] Tuner before all that; teacher, students and controls are
then trained with the values that were found, so that the table compares like with like.
"""

import dataclasses
import json
from typing import NamedTuple

from tfx.orchestration.pipeline import Pipeline

from components.evaluation.comparison import Comparison
from components.training import teacher
from models.classifiers import named
from models.distillation import stages, student
from pipeline.shapes import line


def create_pipeline(options: line.Options) -> Pipeline:
    """The DAG of one distillation. A picture that is augmented is shown to the teacher anew each time it is drawn."""
    config = options.config
    taught = dataclasses.replace(options, records_by=(*options.records_by, teacher.__name__))
    ingest = line.ingest_of(options)
    examples = ingest.outputs["examples"]
    validation = line.validate(examples, options.recipe)
    found, learned = None, student.is_trained_here(config)
    lesson = _lesson(options, examples, "-Search" if options.tune and learned else "")
    extra = [*lesson.steps]
    if options.tune:
        found = line.search(taught, lesson.records, lesson.model)
        extra.append(found)
        if learned:
            lesson = _lesson(options, examples, found=found)
            extra += lesson.steps
    model, records = lesson.model, lesson.records
    students, controls = [], []
    for n in range(config.seeds):
        seeded = dataclasses.replace(config, seed=config.seed + n)
        students += line.train(taught, records, config=seeded, teacher=model, name=numbered("Trainer", n), found=found)
        if config.control:
            control = student.control_of(seeded)
            controls += line.train(
                options, examples, recipe=student.RECIPE, config=control, name=numbered("Control", n), found=found
            )
    comparison = compare(options, examples, model, students, controls)
    judged = line.judge(taught, examples, validation, students[0], comparison=comparison)
    return line.assemble(taught, [ingest, *validation, *extra, *students, *controls, comparison, *judged])


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


class _Lesson(NamedTuple):
    """The steps that bring a teacher and say what it makes of the pictures; its channel, and that of the records."""

    steps: list
    model: object
    records: object


def _lesson(options: line.Options, examples, suffix: str = "", found=None) -> _Lesson:
    """What students learn from: a teacher and the records, with its outputs if the pictures stay as they are."""
    config = options.config
    instructor = teacher_of(options, examples, suffix, found)
    model = instructor.outputs["model"]
    if config.is_augmented or not stages.both(config).teacher_names:
        return _Lesson([instructor], model, examples)
    cached = teacher.TeacherOutputs(
        examples=examples,
        model=model,
        config=of_teacher(config),
    ).with_id("TeacherOutputs" + suffix)
    return _Lesson([instructor, cached], model, cached.outputs["outputs"])


def teacher_of(options: line.Options, examples, suffix: str = "", found=None):
    """The step that makes the teacher, or brings the one that was given."""
    config = options.config
    if student.is_trained_here(config):
        recipe, of_teacher = student.teacher_recipe(config)
        settled = named.settings_of("teacher_settings", config.teacher_settings)
        (step,) = line.train(options, examples, recipe=recipe, config=of_teacher, name="Teacher" + suffix, found=found,
                             settled=settled)  # fmt: skip
        return step
    return teacher.GivenTeacher(path=config.teacher, content=teacher.digest(config.teacher))


def of_teacher(config) -> str:
    """The options on which the teacher's outputs depend, as far as a recipe has them, JSON: features and pictures."""
    kept = ("classes", "class_names", "image_size", "teacher_range", "teacher_output", "terms", "hint_terms",
            "student", "student_settings", "alpha", "beta", "temperature")  # fmt: skip
    return json.dumps({name: getattr(config, name) for name in kept if hasattr(config, name)}, sort_keys=True)
