"""Matching of logits: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531).

With the two that lead the tables of methods since: decoupled distillation (Zhao et al., arXiv:2203.08679) and logits
standardised before the softmax (Sun et al., arXiv:2403.01427).
"""

import keras
from keras import ops

from models.distillation.terms.term import Term

_TINY = 1e-12  # variance of logits that are all alike
_OUT = 1e3  # taken off a logit whose class is out of the question: it exceeds what a softmax in float32 tells apart


@keras.saving.register_keras_serializable("kompakt")
class Logits(Term):
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)), summed over classes, mean over the batch.

    The factor T^2 keeps the gradient, T * (p_student - p_teacher), of one size when T changes (section 2).

    Args:
      temperature: T, above zero.
      standardise: whether each side's logits of an example are first brought to mean 0 and standard deviation 1: the
        student need not copy how large the teacher's are, only their relations (arXiv:2403.01427).

    Raises:
      ValueError: the temperature is not above zero, or the two sides have different numbers of classes.
    """

    def __init__(self, temperature: float = 4.0, standardise: bool = False, **kwargs):
        super().__init__(**kwargs)
        if temperature <= 0:
            raise ValueError(f"temperature={temperature}: must be above zero")
        self.temperature, self.standardise = temperature, standardise

    def connect(self, teacher_shape, student_shape, y_shape=None):
        check_classes(teacher_shape, student_shape)

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Logits of both sides, [B, K] -> [B]."""
        sides = (self.softened(teacher_outputs), self.softened(student_outputs))
        return self.temperature**2 * _divergence(*map(ops.log_softmax, sides))

    def softened(self, logits):
        """Logits [B, K] over the temperature, float32, standardised before if it is asked for."""
        logits = ops.cast(logits, "float32")
        if self.standardise:
            logits = logits - ops.mean(logits, axis=-1, keepdims=True)
            # Not the square root of zero, whose gradient is infinite.
            logits = logits * ops.rsqrt(ops.mean(ops.square(logits), axis=-1, keepdims=True) + _TINY)
        return logits / self.temperature

    def get_config(self):
        return super().get_config() | {"temperature": self.temperature, "standardise": self.standardise}


@keras.saving.register_keras_serializable("kompakt")
class DecoupledLogits(Logits):
    """Decoupled distillation (arXiv:2203.08679, eq. 7): T^2 * (alpha * TCKD + beta * NCKD), mean over the batch.

    TCKD is KL(teacher || student) of (the label's class, all others together), NCKD that of the other classes among
    themselves. `Logits` is the sum with alpha = 1 and beta = what the teacher leaves to the other classes: it learns
    least of them from examples that the teacher is sure of.

    Args:
      temperature, standardise: as of `Logits`.
      alpha, beta: weights of the two parts, not below zero.

    Raises:
      ValueError: as `Logits`, or a weight is below zero.
    """

    needs_labels = True

    def __init__(self, temperature: float = 4.0, alpha: float = 1.0, beta: float = 8.0, **kwargs):
        super().__init__(temperature, **kwargs)
        if min(alpha, beta) < 0:
            raise ValueError(f"alpha={alpha}, beta={beta}: must not be below zero")
        self.alpha, self.beta = alpha, beta

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Logits of both sides and labels, [B, K] -> [B]; of mixed labels the largest counts."""
        classes = teacher_outputs.shape[-1]
        target = ops.one_hot(ops.argmax(y, axis=-1), classes, dtype="float32")
        parts = [self._parts(self.softened(z), target) for z in (teacher_outputs, student_outputs)]
        (log_two, log_others), (log_own_two, log_own_others) = parts
        # The label's own place, where both are the same, adds nothing.
        among = _divergence(log_others, log_own_others)
        return self.temperature**2 * (self.alpha * _divergence(log_two, log_own_two) + self.beta * among)

    @staticmethod
    def _parts(logits, target):
        """Log probabilities of (the target, the rest), [B, 2], and of the others among themselves, [B, K]."""
        others = logits - _OUT * target
        of_target, of_rest = ops.sum(logits * target, axis=-1), ops.logsumexp(others, axis=-1)
        return ops.log_softmax(ops.stack([of_target, of_rest], axis=-1)), ops.log_softmax(others)

    def get_config(self):
        return super().get_config() | {"alpha": self.alpha, "beta": self.beta}


def _divergence(log_teacher, log_student):
    """KL(teacher || student) of log probabilities [B, K] -> [B], nats."""
    return ops.sum(ops.exp(log_teacher) * (log_teacher - log_student), axis=-1)


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
