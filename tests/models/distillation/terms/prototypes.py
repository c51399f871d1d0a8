"""A term with a state, and trainings with it: `test_state.py` runs this as well, with two logical CPU devices.

    python -m tests.models.distillation.terms.prototypes FOLDER

trains on what `setting` wrote there, and writes the state and the weights to FOLDER/two.npz.
"""

import dataclasses
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from models.contract import registry
from models.distillation import student
from models.distillation.terms import objective
from models.distillation.terms.term import TrainedTerm, check_rows, flat, unit_rows
from models.publishing.export import export
from models.training import loop, replicas
from tests.models.kinds import tinted, write_records

SIZE, K, MOMENTUM = 16, 3, 0.5


@keras.saving.register_keras_serializable("tests")
class Prototypes(TrainedTerm):
    """1 - cosine of a student's embedding and its class's prototype, a moving mean of the teacher's.

    A projection with weights of its own brings the student's embedding to the teacher's width.
    """

    needs_labels = needs_training_set = True

    def __init__(self, teacher_layer_name="embedding", student_layer_name="embedding", **kwargs):
        super().__init__(teacher_layer_name, student_layer_name, **kwargs)

    def connect(self, teacher_shape, student_shape, y_shape=None):
        check_rows("prototypes", teacher_shape, student_shape)
        self.prototypes = self.add_state("prototypes", (y_shape[-1], teacher_shape[-1]))
        self.seen = self.add_state("seen", (), dtype="int32")
        self.projection = keras.layers.Dense(teacher_shape[-1])
        self.projection.build((None, student_shape[-1]))

    def prepare(self, outputs):
        sums, counts = 0, 0
        for teacher, _, y in outputs():
            sums, counts = sums + y.T @ teacher, counts + y.sum(0)[:, None]
        assert sum(len(y) for _, _, y in outputs()) == counts.sum()  # a second pass
        self.prototypes.assign(sums / counts)

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        wanted = unit_rows(ops.matmul(y, self.prototypes))
        return 1 - ops.sum(wanted * unit_rows(self.projection(flat(student_outputs))), axis=-1)

    def update(self, teacher_outputs, student_outputs, y=None):
        sums = replicas.total(ops.matmul(ops.transpose(y), flat(teacher_outputs)))
        counts = ops.transpose(replicas.total(ops.sum(y, axis=0, keepdims=True)))
        means = ops.where(counts > 0, sums / ops.maximum(counts, 1.0), self.prototypes.value)
        self.prototypes.assign(MOMENTUM * self.prototypes + (1 - MOMENTUM) * means)
        self.seen.assign(self.seen + ops.cast(ops.sum(counts), "int32"))


@dataclasses.dataclass(frozen=True)
class Config(student.StudentConfig):
    """A distillation that knows a term more."""

    @property
    def known_terms(self):
        return objective.TERMS | {"prototypes": Prototypes}


def config_of(folder: pathlib.Path, **options) -> Config:
    """Six steps in two epochs."""
    return Config(
        classes=K, image_size=SIZE, batch_size=6, steps=6, steps_per_epoch=3, student_settings="width=4", seed=5,
        optimizer="sgd", teacher=str(folder / "teacher"), terms="ce + 2*prototypes", **options,
    )  # fmt: skip


def setting(folder: pathlib.Path) -> tuple[Config, list[str]]:
    """A teacher and records."""
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", {"classes": K, "image_size": SIZE, "width": 8})
    keras.utils.set_random_seed(3)
    export(recipe, config, recipe.build(config), str(folder / "teacher"))
    return config_of(folder), [write_records(folder / "r.gz", [tinted(n, f"{n}") for n in range(18)])]


def trained(config: Config, files: list[str], folder: pathlib.Path, *callbacks) -> student.Student:
    """A training by the phases of the recipe, which prepare the terms."""
    recipe = dataclasses.replace(student.RECIPE, config=Config)
    return loop.train(
        recipe, config, files, files, work_dir=str(folder / "work"), log_dir=str(folder / "logs"), progress=False,
        callbacks=callbacks,
    )  # fmt: skip


def main(folder: pathlib.Path) -> None:
    """Trains on two devices."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    with loop.strategy_scope():
        assert replicas.count() == 2
    model = trained(config_of(folder), [str(folder / "r.gz")], folder / "two")
    np.savez(folder / "two.npz", *model.get_weights())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
