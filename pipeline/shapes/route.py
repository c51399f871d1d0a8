"""The pipeline of a student that follows its teacher's training (route constrained optimisation).

TfdsExampleGen -> Teacher (keeps its route) -> Anchors -> Trainer [, Trainer-2, ...] -> as in `pipeline.shapes.line`
"""

import dataclasses

from tfx.orchestration.pipeline import Pipeline

from components.training.teacher import Anchors
from models.contract.recipe import ConfigError
from models.distillation import student
from pipeline.shapes import line
from pipeline.shapes.student import compare, numbered


def create_pipeline(options: line.Options) -> Pipeline:
    """The DAG of one run along a route.

    Raises:
      ConfigError: the teacher is given, so that it has no route; or the run is to be tuned.
    """
    config = options.config
    if not student.is_trained_here(config):
        raise ConfigError(f"teacher={config.teacher}: a route is kept while a teacher is trained; give a recipe's name")
    if options.tune:
        raise ConfigError("a student on a route is not tuned; tune the recipe distill and take its options")
    taught = dataclasses.replace(options, records_by=(*options.records_by, Anchors.__module__))
    ingest = line.ingest_of(options)
    examples = ingest.outputs["examples"]
    validation = line.validate(examples, options.recipe)
    recipe, of_teacher = student.teacher_recipe(config)
    (teacher,) = line.train(options, examples, recipe=recipe, config=of_teacher, name="Teacher", keep_route=True)
    positions = "all" if config.selector == "greedy" else str(config.anchors)
    anchors = Anchors(model_run=teacher.outputs["model_run"], positions=positions)
    students, controls = [], []
    for n in range(config.seeds):
        seeded = dataclasses.replace(config, seed=config.seed + n)
        route = anchors.outputs["route"]
        students += line.train(taught, examples, config=seeded, teacher=route, name=numbered("Trainer", n))
        if config.control:
            control = student.control_of(seeded)
            controls += line.train(
                options, examples, recipe=student.RECIPE, config=control, name=numbered("Control", n)
            )
    comparison = compare(options, examples, teacher.outputs["model"], students, controls)
    judged = line.judge(taught, examples, validation, students[0], comparison=comparison)
    return line.assemble(taught, [ingest, *validation, teacher, anchors, *students, *controls, comparison, *judged])
