"""StrassenNets: a classifier with a budget of multiplications, taught by itself in full precision (arXiv:1712.03942).

The full-precision network is trained first; the one with sum-product layers learns from labels and from it, in the
phases of `models.classifiers.products`. The paper's ResNet-20 with r = c_out, one patch and no teacher has 90.8 % on
CIFAR-10, the full-precision sum-product network 91.4 %.
"""

import dataclasses

from models.classifiers import classifier
from models.contract.recipe import Recipe, Search, option
from models.distillation import student
from models.distillation.stages import stages

SAME = "same"


@dataclasses.dataclass(frozen=True)
class StrassenConfig(student.StudentConfig):
    """Options of a network with sum-product layers and of its teacher."""

    teacher: str = option(
        SAME, "the network itself in full precision (same), a recipe that is trained, or path of a teacher that exists",
        is_model=True,
    )  # fmt: skip
    student: str = option("resnet", "recipe of the network whose layers are replaced; any classifier's")
    terms: str = option(
        "0.5*ce + 0.5*logits(temperature=temperature)", "the objective, a sum of WEIGHT*TERM(KEY=VALUE, ...)"
    )
    temperature: float = option(1.0, "of the logits, where the terms name it", search=Search(1.0, 10.0), low=0.01)
    budget: float = option(
        1.0, "multiplications over output channels (r / c_out)", search=Search(choices=(0.25, 0.5, 1.0, 2.0)), low=0.0
    )
    patch: int = option(
        1, "side of the square of outputs that share multiplications", search=Search(choices=(1, 2)), low=1, high=8
    )

    def __post_init__(self):
        if self.teacher == SAME:
            object.__setattr__(self, "teacher", self.student)
            object.__setattr__(self, "teacher_settings", self.student_settings)
        super().__post_init__()


RECIPE = Recipe(
    name="strassen_resnet",
    shape="student",
    summary="Residual classifier with a budget of multiplications, StrassenNets (arXiv:1712.03942)",
    config=StrassenConfig,
    presets={
        "small": classifier.SMALL | {"steps": 900},
        # 250, 40 and 10 epochs of 300.
        "paper": classifier.PAPER | {"steps": 117_000, "weight_decay": 1e-4, "full_share": 0.8333,
                                     "ternary_share": 0.1333, "ternary_rate": 0.1, "folded_rate": 0.01},
    },
    phases=stages,
    **student.SHARED | {"report": ("comparison", "operations", "confusions")},
)  # fmt: skip
