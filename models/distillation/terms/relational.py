"""Relational knowledge distillation: Park, Kim, Lu, Cho (arXiv:1904.05068).

Pairs and triplets are of the whole batch, also where several devices share it.
"""

import keras
from keras import ops

from models.distillation.terms.term import Term, batch_rows, check_rows

_TINY = 1e-12  # below the square of any distance that matters


class _Relational(Term):
    def __init__(self, teacher_layer_name="embedding", student_layer_name="embedding"):
        super().__init__(teacher_layer_name, student_layer_name)

    def connect(self, teacher_shape, student_shape, y_shape=None):
        check_rows("a relation", teacher_shape, student_shape)


@keras.saving.register_keras_serializable("kompakt")
class RelationalDistance(_Relational):
    """Huber loss between the matrices of Euclidean distances within the batch (eq. 5 and 6), mean over all n^2 pairs.

    Each side's distances are divided by the mean of its own nonzero ones, so that scale and width may differ. The
    gradient is finite where embeddings are equal.
    """

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Embeddings of both sides, [B, D] (maps are averaged over their places) -> scalar."""
        return _huber(_distances(batch_rows(teacher_outputs)) - _distances(batch_rows(student_outputs)))


@keras.saving.register_keras_serializable("kompakt")
class RelationalAngle(_Relational):
    """Huber loss between the cosines of the angles of all triplets (eq. 7 and 8), mean over all n^3 of them.

    Memory grows with the cube of the batch: 64 examples make 262,144 angles, 256 make 16.8 million.
    """

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Embeddings of both sides, [B, D] (maps are averaged over their places) -> scalar."""
        return _huber(_angles(batch_rows(teacher_outputs)) - _angles(batch_rows(student_outputs)))


def _huber(difference):
    """Mean of x^2 / 2 for |x| < 1, |x| - 1/2 beyond."""
    size = ops.abs(difference)
    return ops.mean(ops.where(size < 1.0, 0.5 * ops.square(difference), size - 0.5))


def _distances(rows):
    """[n, D] -> [n, n], each over the mean of the nonzero ones; zero where two rows are equal."""
    # Differences, not products: these cancel exactly where two rows are equal.
    squares = ops.sum(ops.square(rows[None] - rows[:, None]), axis=-1)
    different = squares > _TINY
    # The root's slope is infinite at zero: those entries are replaced before the root, then masked.
    roots = ops.where(different, ops.sqrt(ops.where(different, squares, 1.0)), 0.0)
    count = ops.sum(ops.cast(different, "float32"))
    mean = ops.sum(roots) / ops.maximum(count, 1.0)
    return roots / ops.where(count > 0, mean, 1.0)


def _angles(rows):
    """[n, D] -> [n, n, n]: cosine at the middle vertex j of the triplet (i, j, k); zero where two of them are equal."""
    differences = rows[None] - rows[:, None]
    squares = ops.sum(ops.square(differences), axis=-1, keepdims=True)
    different = squares > _TINY
    units = ops.where(different, differences * ops.rsqrt(ops.where(different, squares, 1.0)), 0.0)
    return ops.matmul(units, ops.transpose(units, (0, 2, 1)))
