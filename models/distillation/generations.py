"""Born-again networks: a chain of students of one size, each the teacher of the next (Furlanello, arXiv:1805.04770).

Generation 0 learns from labels, generation k from generation k - 1, from fresh weights of another seed, in as many
steps.
"""

import dataclasses

from models.classifiers import classifier
from models.contract.recipe import ConfigError, Recipe, option
from models.distillation import student


@dataclasses.dataclass(frozen=True)
class GenerationsConfig(student.StudentConfig):
    """Options of a chain; `student` is what every generation is, `terms` what all but the first learn from."""

    terms: str = option("born_again", "the objective: born_again, ce + born_again, cwtm or dkpp, or any other sum")
    generations: int = option(3, "generations behind the one that learns from labels", low=1, high=9)
    push: str = option("last", "what is pushed: the last generation, or the ensemble of all but generation 0",
                       choices=("last", "ensemble"))  # fmt: skip
    members: str = option(
        "all",
        "of an ensemble that is pushed: all with one weight, or those and the weights that the non-negative garrote "
        "finds on the validation split",
        choices=("all", "garrote"),
    )

    def __post_init__(self):
        super().__post_init__()
        if self.push == "ensemble" and self.generations < 2:
            raise ConfigError("push=ensemble: an ensemble takes two generations or more")
        if self.members == "garrote" and self.push != "ensemble":
            raise ConfigError("members=garrote: chooses among what is pushed together; set push=ensemble as well")


def first_of(config: GenerationsConfig) -> student.StudentConfig:
    """Generation 0: the same network on labels alone."""
    return student.control_of(config)


def generation(config: GenerationsConfig, k: int) -> GenerationsConfig:
    """The options of generation k, from 1: another seed for its weights and the order of its batches."""
    is_pushed = k == config.generations and config.push == "last"
    return dataclasses.replace(config, seed=config.seed + k, int8=config.int8 and is_pushed)


def retrained(config: GenerationsConfig, k: int) -> student.StudentConfig:
    """The control of generation k: its seed, its steps, but labels alone."""
    return student.control_of(generation(config, k))


RECIPE = Recipe(
    name="born_again",
    shape="born_again",
    summary="Chain of students of one size, each the teacher of the next (arXiv:1805.04770)",
    config=GenerationsConfig,
    presets={"small": classifier.SMALL, "paper": classifier.PAPER | {"student": "densenet"}},
    phases=student.stages,
    **student.SHARED,
)
