"""The pipeline of born-again networks: a chain of generations and their ensemble; the one or the other is pushed.

TfdsExampleGen -> Generation-0 -> Generation-1 -> ... -> Trainer [-> Ensemble] -> as in `pipeline.shapes.line`
              \\-> Control, Control-2, ... (the same seeds on labels alone) -> Comparison
"""

from tfx.orchestration.pipeline import Pipeline

from components import artifacts
from components.training.ensemble import Ensemble
from models.contract.recipe import ConfigError
from models.distillation import generations, student
from pipeline.shapes import line
from pipeline.shapes.student import compare, numbered


def create_pipeline(options: line.Options) -> Pipeline:
    """The DAG of one chain.

    Raises:
      ConfigError: several seeds are asked for, which generations are already; or the run is to be tuned.
    """
    config = options.config
    if config.seeds > 1 or options.tune:
        raise ConfigError("a chain of generations takes one seed and no tuning: run it again for another")
    ingest = line.ingest_of(options)
    examples = ingest.outputs["examples"]
    validation = line.validate(examples, options.recipe)
    (first,) = line.train(
        options, examples, recipe=student.RECIPE, config=generations.first_of(config), name="Generation-0"
    )
    chain, controls = [first], []
    for k in range(1, config.generations + 1):
        name = "Trainer" if k == config.generations else f"Generation-{k}"
        teacher = chain[-1].outputs["model"]
        chain += line.train(options, examples, config=generations.generation(config, k), teacher=teacher, name=name)
        if config.control:
            control = generations.retrained(config, k)
            controls += line.train(
                options, examples, recipe=student.RECIPE, config=control, name=numbered("Control", k - 1)
            )
    comparison = compare(options, examples, first.outputs["model"], chain[1:], controls, ensemble=True)
    together = [_ensemble(options, examples, chain[1:])] if config.push == "ensemble" else []
    model = together[0].outputs["model"] if together else None
    judged = line.judge(options, examples, validation, chain[-1], model, comparison)
    return line.assemble(options, [ingest, *validation, *chain, *controls, comparison, *together, *judged])


def _ensemble(options: line.Options, examples, generations: list):
    """The step that makes one model of the generations."""
    settings = {"int8": options.config.int8, "origin": artifacts.origin_of(options.recipe, options.config, options.run)}
    if options.elsewhere:
        settings["by_members"] = True
    if options.config.members == "garrote":
        settings["garrote"] = True
    return Ensemble(examples=examples, members=[g.outputs["model"] for g in generations], settings=settings)
