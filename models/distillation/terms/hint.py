"""Hints: the student's features, through a regressor, should be the teacher's (FitNets, arXiv:1412.6550)."""

import keras
from keras import ops

from models.distillation.terms.term import TrainedTerm, same_places


@keras.saving.register_keras_serializable("kompakt")
class Hint(TrainedTerm):
    """mean((r(student) - teacher)^2), over the batch and all features (eq. 3, as a mean and without its 1/2).

    r is a 1x1 convolution for maps [B, H, W, C], a dense layer for rows [B, D], to the teacher's width; it is trained
    with the student and not exported. Maps of different resolution are compared at the lower one.

    Args:
      regressor: whether there is an r; without it both sides need one width.

    Raises:
      ValueError: maps against rows, resolutions that are no multiples, or widths that differ without a regressor.
    """

    def __init__(
        self, teacher_layer_name="embedding", student_layer_name="embedding", regressor: bool = True, **kwargs
    ):
        super().__init__(teacher_layer_name, student_layer_name, **kwargs)
        self.has_regressor = regressor
        self.regressor = None

    def connect(self, teacher_shape, student_shape, y_shape=None):
        if len(teacher_shape) != len(student_shape) or len(teacher_shape) not in (2, 4):
            raise ValueError(f"a hint of shape {tuple(teacher_shape)} does not fit features {tuple(student_shape)}")
        if len(teacher_shape) == 4:
            same_places(*(keras.KerasTensor((1, *s[1:])) for s in (teacher_shape, student_shape)))
        if not self.has_regressor:
            if teacher_shape[-1] != student_shape[-1]:
                raise ValueError(f"widths {teacher_shape[-1]} and {student_shape[-1]} differ: a regressor is needed")
            return
        if self.regressor is not None:
            return
        width = teacher_shape[-1]
        self.regressor = keras.layers.Conv2D(width, 1) if len(teacher_shape) == 4 else keras.layers.Dense(width)
        self.regressor.build((None, *student_shape[1:]))
        self.built = True

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Features of both sides, [B, H, W, C] or [B, D] -> [B]."""
        teacher, student = teacher_outputs, student_outputs
        if len(teacher.shape) == 4:
            teacher, student = same_places(teacher, student)
        if self.regressor is not None:
            student = self.regressor(student)
        squares = ops.square(ops.cast(student, "float32") - ops.cast(teacher, "float32"))
        return ops.mean(squares, axis=tuple(range(1, len(squares.shape))))

    def get_config(self):
        return super().get_config() | {"regressor": self.has_regressor}
