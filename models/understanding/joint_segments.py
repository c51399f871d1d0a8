"""Training of a codec and the segmenter of its codes together, as `models.understanding.joint` has it of a classifier.

    x --analysis--> y --rounded, gradient passed on--> latents --DeepLab on cResNet--> a class a pixel
                    '--> bits                             '--synthesis--> x_hat

What is pushed is a `code_segmenter` again, with its codec beside it. The paper trains so for classification; that
segmenters are, and the same loss, is a choice of this project.
"""

import dataclasses
from typing import ClassVar

import keras

from models.classifiers import classifier
from models.contract.recipe import ConfigError, Evaluation, Recipe, option
from models.understanding import code_segmenter, joint, scene_inputs
from models.understanding.scene_serving import signatures


@dataclasses.dataclass(frozen=True)
class JointScenesConfig(joint.JointOptions):
    """Options of a joint training with a segmenter."""

    original: ClassVar[Recipe] = code_segmenter.RECIPE

    model: str = option(original.name, joint.MODEL, is_model=True)
    classes: int = option(0, "number of classes (0: as many as the training data have)", low=0, high=255)
    class_names: str = option("", "their names, a JSON list (empty: those of the training data)")
    rows: int = option(
        0, "height of the scenes in training, pixels; others are resized (0: the model's, down to a multiple of 16)",
        low=0,
    )  # fmt: skip
    columns: int = option(0, "their width, pixels (0: likewise)", low=0)
    flip: bool = option(False, "whether scenes are mirrored half of the time")
    shift: int = option(0, "pixels each way by which they are shifted at most", low=0)

    def __post_init__(self):
        super().__post_init__()
        if self.classes == 1:
            raise ConfigError("classes=1: there is nothing to tell apart")

    @property
    def sides(self) -> tuple[int, int]:
        return self.rows, self.columns

    def batches(self, files, training: bool):
        return scene_inputs.scenes(files, self, training)


@keras.saving.register_keras_serializable("kompakt")
class JointScenes(joint.Joint):
    """A codec and a segmenter of its codes; `call`'s "logits" are [B, H', W', K], as `CodeSegmenter` gives them."""

    config_class = JointScenesConfig

    def judged(self, y, logits):
        """(share of pixels that are right, cross-entropy in nats), [B] float32 each, of the pixels with a class."""
        return code_segmenter.means(y, logits)


def build(config: JointScenesConfig) -> JointScenes:
    """Loads the pair and runs it once, so that every variable exists.

    Raises:
      ConfigError: as `models.understanding.joint.build`.
    """
    classifier.check_known(config, ("classes", "rows", "columns"))
    return joint.together(JointScenes, config)


def adapt(config: JointScenesConfig, files) -> JointScenesConfig:
    """Fills in classes and the size of scenes as the training records and the pair have them.

    Raises:
      ConfigError: as of `models.understanding.scene_inputs.adapt_to_data` and `models.understanding.joint.fitted`.
    """
    known, _ = joint.described(config.model, config.original)
    rows, columns = (max(1, side // joint.STRIDE) * joint.STRIDE for side in known.sides)
    sized = dataclasses.replace(config, rows=config.rows or rows, columns=config.columns or columns)
    return joint.fitted(scene_inputs.adapt_to_data(sized, files))


RECIPE = Recipe(
    name="joint_segments",
    shape="joint_scenes",
    summary="Joint training of a codec and the segmenter of its codes, after arXiv:1803.06131",
    config=JointScenesConfig,
    presets={
        "small": {"batch_size": 8, "steps": 400, "steps_per_epoch": 100, "learning_rate": 1e-4, "flip": True},
        "paper": {"batch_size": 10, "steps": 20_000, "steps_per_epoch": 1000, "learning_rate": 1e-5, "flip": True,
                  "rows": 512, "columns": 512},
    },
    build=build,
    inputs=scene_inputs.scenes,
    signatures=signatures,
    evaluation=Evaluation(metrics=code_segmenter.RECIPE.evaluation.metrics),
    report=("joint", "codes", "scenes"),
    adapt=adapt,
    served=joint.served,
    beside=joint.beside,
    phases=joint.phases,
    data="scenes",
    batching=False,
)  # fmt: skip
