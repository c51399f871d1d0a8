"""Matching of logits: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531)."""

import keras
from keras import ops

from models.distillation.term import Term


@keras.saving.register_keras_serializable("kompakt")
class Logits(Term):
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)), summed over classes, mean over the batch.

    The factor T^2 keeps the gradient, T * (p_student - p_teacher), of one size when T changes (section 2).

    Args:
      temperature: T, above zero.

    Raises:
      ValueError: the temperature is not above zero, or the two sides have different numbers of classes.
    """

    def __init__(self, temperature: float = 4.0, **kwargs):
        super().__init__(**kwargs)
        if temperature <= 0:
            raise ValueError(f"temperature={temperature}: must be above zero")
        self.temperature = temperature

    def connect(self, teacher_shape, student_shape, y_shape=None):
        check_classes(teacher_shape, student_shape)

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Logits of both sides, [B, K] -> [B]."""
        log_teacher, log_student = (
            ops.log_softmax(ops.cast(z, "float32") / self.temperature) for z in (teacher_outputs, student_outputs)
        )
        divergence = ops.sum(ops.exp(log_teacher) * (log_teacher - log_student), axis=-1)
        return self.temperature**2 * divergence

    def get_config(self):
        return super().get_config() | {"temperature": self.temperature}


@keras.saving.register_keras_serializable("kompakt")
class LogitRegression(Term):
    """Mean squared difference of logits [B, K], over batch and classes (Ba, Caruana, arXiv:1312.6184, eq. 1)."""

    def connect(self, teacher_shape, student_shape, y_shape=None):
        check_classes(teacher_shape, student_shape)

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Logits of both sides, [B, K] -> [B]."""
        difference = ops.cast(teacher_outputs, "float32") - ops.cast(student_outputs, "float32")
        return ops.mean(ops.square(difference), axis=-1)


def check_classes(teacher_shape: tuple, student_shape: tuple) -> None:
    """Raises ValueError unless both shapes are [B, K] with one K."""
    if len(teacher_shape) != 2 or len(student_shape) != 2 or teacher_shape[-1] != student_shape[-1]:
        raise ValueError(f"logits of one set of classes are wanted, not {tuple(teacher_shape)}, {tuple(student_shape)}")
