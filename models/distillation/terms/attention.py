"""Attention transfer: Zagoruyko, Komodakis, "Paying More Attention to Attention" (arXiv:1612.03928)."""

import keras
from keras import ops

from models.distillation.terms.term import Term, check_maps, same_places


@keras.saving.register_keras_serializable("kompakt")
class AttentionTransfer(Term):
    """mean((Q_t - Q_s)^2) over batch and places; Q is the map sum_c |a_c|^power, flattened and divided by its length.

    Equation 2 with the squared 2-norm as a mean, as in the authors' code. Channels may differ; maps of different
    resolution are compared at the lower one.

    Args:
      power: of the activations.

    Raises:
      ValueError: the features are no maps, or their resolutions are no multiples.
    """

    def __init__(self, teacher_layer_name="stage3", student_layer_name="stage3", power: float = 2.0, **kwargs):
        super().__init__(teacher_layer_name, student_layer_name, **kwargs)
        self.power = power

    def connect(self, teacher_shape, student_shape, y_shape=None):
        check_maps("attention transfer", teacher_shape, student_shape)
        same_places(*(keras.KerasTensor((1, *s[1:])) for s in (teacher_shape, student_shape)))

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Maps of both sides, [B, H, W, C] -> [B]."""
        teacher, student = same_places(self._map(teacher_outputs), self._map(student_outputs))
        return ops.mean(ops.square(self._direction(teacher) - self._direction(student)), axis=-1)

    def _map(self, features):
        """[B, H, W, C] -> [B, H, W, 1] float32."""
        return ops.sum(ops.power(ops.abs(ops.cast(features, "float32")), self.power), axis=-1, keepdims=True)

    @staticmethod
    def _direction(attention):
        rows = ops.reshape(attention, (-1, attention.shape[1] * attention.shape[2]))
        return rows * ops.rsqrt(ops.maximum(ops.sum(ops.square(rows), axis=-1, keepdims=True), 1e-24))

    def get_config(self):
        return super().get_config() | {"power": self.power}
