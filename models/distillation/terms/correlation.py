"""Correlation congruence: Peng et al., "Correlation Congruence for Knowledge Distillation" (arXiv:1904.01802)."""

import math
import warnings

import keras
from keras import ops

from models.distillation.terms.term import Term, batch_rows, check_rows, unit_rows

KERNELS = ("taylor_rbf", "rbf", "bilinear")
_TOLERANCE = 0.1  # truncation error of the kernel above which one is warned


@keras.saving.register_keras_serializable("kompakt")
class Correlation(Term):
    """Mean squared difference of the batch's two n x n correlation matrices, over all n^2 entries.

    The batch is the whole one, also where several devices share it.

    Kernels on unit vectors x, y: "bilinear" x.y; "rbf" exp(-gamma * |x - y|^2); "taylor_rbf", the paper's, its series
    sum over p = 0 ... order of exp(-2 gamma) * (2 gamma)^p / p! * (x.y)^p. Widths of the two sides may differ.

    Args:
      kernel: one of KERNELS. gamma: of the two RBF kernels, above zero. order: last power of the series.

    Raises:
      ValueError: unknown kernel, gamma or order out of range.

    Warns:
      UserWarning: the first power left out weighs more than 0.1: a large gamma takes a high order.
    """

    def __init__(
        self, teacher_layer_name="embedding", student_layer_name="embedding", kernel: str = "taylor_rbf",
        gamma: float = 0.4, order: int = 2,
    ):  # fmt: skip
        super().__init__(teacher_layer_name, student_layer_name)
        if kernel not in KERNELS:
            raise ValueError(f"kernel={kernel}: not one of {', '.join(KERNELS)}")
        if gamma <= 0 or order < 1 or order != int(order):
            raise ValueError(f"gamma={gamma}, order={order}: gamma must be above zero, order a whole number from 1")
        self.kernel, self.gamma, self.order = kernel, gamma, int(order)
        rest = coefficients(gamma, self.order + 1)[-1]
        if kernel == "taylor_rbf" and rest > _TOLERANCE:
            warnings.warn(f"gamma={gamma}: the series of order {order} leaves out up to {rest:.2g}", stacklevel=2)

    def connect(self, teacher_shape, student_shape, y_shape=None):
        check_rows("correlation", teacher_shape, student_shape)

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Embeddings of both sides, [B, D] (maps are averaged over their places) -> scalar."""
        teacher, student = (self.matrix(f) for f in (teacher_outputs, student_outputs))
        return ops.mean(ops.square(teacher - student))

    def matrix(self, features):
        """Correlations within a batch: [n, D] or [n, H, W, C] -> [n, n] float32."""
        rows = unit_rows(batch_rows(features))
        cosines = ops.matmul(rows, ops.transpose(rows))
        if self.kernel == "bilinear":
            return cosines
        if self.kernel == "rbf":
            return ops.exp(-2.0 * self.gamma * (1.0 - cosines))
        total = ops.zeros_like(cosines)
        for weight in reversed(coefficients(self.gamma, self.order)):
            total = total * cosines + weight
        return total

    def get_config(self):
        return super().get_config() | {"kernel": self.kernel, "gamma": self.gamma, "order": self.order}


def coefficients(gamma: float, order: int) -> list[float]:
    """Weights of the powers 0 ... order of the cosine in the Taylor series of the Gaussian RBF kernel."""
    return [math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p) for p in range(order + 1)]
