"""Losses of the labels alone, as terms of an objective."""

import keras

from models.classifiers.classifier import cross_entropy
from models.distillation.terms.logits import check_classes
from models.distillation.terms.term import Term


class LabelTerm(Term):
    """A term between the student and the labels: it is given None in a teacher's place.

    Args:
      student_layer_name: the layer whose output it takes (None: the logits).
    """

    needs_teacher = False
    needs_labels = True

    def __init__(self, student_layer_name: str | None = None):
        super().__init__(None, student_layer_name)

    def get_config(self):
        return {"student_layer_name": self.student_layer_name}


@keras.saving.register_keras_serializable("kompakt")
class CrossEntropy(LabelTerm):
    """Cross-entropy of the student's logits with the labels, nats.

    Raises:
      ValueError: there are not as many logits as classes.
    """

    def connect(self, teacher_shape, student_shape, y_shape=None):
        check_classes(y_shape or student_shape, student_shape)

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Logits and labels y, [B, K] each -> [B]."""
        return cross_entropy(y, student_outputs)
