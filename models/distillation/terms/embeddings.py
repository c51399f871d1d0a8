"""Terms on embeddings of one width: feature consistency, and CoupleFace's mutual relations (arXiv:2204.05502).

What of CoupleFace is from its abstract and what is a choice of this project, `docs/faces.md` says.
"""

import math

import keras
import numpy as np
from keras import ops

from models.distillation.terms import mining
from models.distillation.terms.term import Term, TrainedTerm, flat, unit_rows
from models.training import replicas

RELATIONS = ("mined", "random")
_MOST, _SHARE, _FEWEST = 100, 0.05, 5  # of neighbours, where no number is given


def _check_widths(name: str, teacher_shape: tuple, student_shape: tuple) -> None:
    """Raises ValueError unless both sides have embeddings of one width."""
    if teacher_shape[-1] != student_shape[-1]:
        raise ValueError(
            f"{name} compares embeddings of one width; the teacher's has {teacher_shape[-1]} numbers, the student's "
            f"{student_shape[-1]}"
        )


def _numbers(y):
    """Labels [B, K] as numbers int [B]; numbers as they are, for classes by the thousand."""
    return ops.argmax(y, axis=-1) if len(y.shape) == 2 else y


@keras.saving.register_keras_serializable("kompakt")
class FeatureConsistency(Term):
    """1 - cosine of a student's and its teacher's embedding of the same picture: half the squared distance of the unit
    vectors."""

    def __init__(self, teacher_layer_name="embedding", student_layer_name="embedding"):
        super().__init__(teacher_layer_name, student_layer_name)

    def connect(self, teacher_shape, student_shape, y_shape=None):
        _check_widths("fcd", teacher_shape, student_shape)

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Embeddings of both sides, [B, D] (maps are averaged over their places) -> [B]."""
        return 1.0 - ops.sum(unit_rows(flat(teacher_outputs)) * unit_rows(flat(student_outputs)), axis=-1)


@keras.saving.register_keras_serializable("kompakt")
class MutualRelations(TrainedTerm):
    """Relations of a picture to the classes that the teacher takes for near, and to its own, as the teacher has them.

    A relation is the cosine to a slot of a bank, one a class: the teacher's prototype at first, then the mean of its
    embeddings of the class in the last batch that had one. To another class's slot the student may not be nearer than
    the teacher (relu(student - teacher + margin)), to its own, and to the teacher's embeddings of the batch's other
    pictures of the class, not farther (relu(teacher - student + margin)): what is easier than it is for the teacher
    costs nothing. The loss of a picture is the mean over its relations.

    Args:
      neighbours: other classes of each; 0: a twentieth of all, at least 5 and at most 100, as far as there are so many.
      margin: above. aware: whether the direction counts; without, |student - teacher| for all.
      relations: "mined" are the nearest prototypes, "random" any other classes, for comparison.
      seed: of the random ones.

    Raises:
      ValueError: an argument out of range.
    """

    needs_labels = needs_training_set = True

    def __init__(
        self, teacher_layer_name="embedding", student_layer_name="embedding", neighbours: int = 0, margin: float = 0.0,
        aware: bool = True, relations: str = "mined", seed: int = 1, **kwargs,
    ):  # fmt: skip
        super().__init__(teacher_layer_name, student_layer_name, **kwargs)
        if neighbours != int(neighbours) or neighbours < 0 or margin < 0:
            raise ValueError(f"neighbours={neighbours}, margin={margin}: neither may be below 0, and neighbours whole")
        if relations not in RELATIONS:
            raise ValueError(f"relations={relations}: not one of {', '.join(RELATIONS)}")
        self.neighbours, self.margin, self.aware = int(neighbours), margin, bool(aware)
        self.relations, self.seed = relations, int(seed)

    def connect(self, teacher_shape, student_shape, y_shape=None):
        _check_widths("coupleface", teacher_shape, student_shape)
        classes = y_shape[-1]
        wanted = self.neighbours or min(_MOST, max(_FEWEST, math.ceil(_SHARE * classes)))
        self.count = min(wanted, classes - 1)
        self.bank = self.add_state("bank", (classes, teacher_shape[-1]))
        self.table = self.add_state("table", (classes, self.count), dtype="int32")

    def prepare(self, outputs):
        classes = self.bank.shape[0]
        found = mining.prototypes(
            ((np.array(flat(theirs)), np.array(_numbers(y))) for theirs, _, y in outputs()), classes
        )
        self.bank.assign(found)
        mined = self.relations == "mined"
        self.table.assign(
            mining.nearest(found, self.count) if mined else mining.strangers(classes, self.count, self.seed)
        )

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Embeddings of both sides, [B, D], labels [B, K], or their numbers int [B] -> [B]."""
        theirs, own = (unit_rows(flat(side)) for side in (teacher_outputs, student_outputs))
        theirs, label = ops.stop_gradient(theirs), _numbers(y)
        others = ops.take(self.bank, ops.take(self.table, label, axis=0), axis=0)  # [B, neighbours, D]
        stranger = self._cost(*(ops.einsum("bd,bnd->bn", side, others) for side in (own, theirs)))
        slot = ops.take(self.bank, label, axis=0)
        kin = self._cost(*(ops.sum(side * slot, axis=-1) for side in (theirs, own)))
        batch, start = replicas.gathered(theirs), replicas.start(ops.shape(own)[0])
        itself = (ops.arange(ops.shape(own)[0]) + start)[:, None] == ops.arange(ops.shape(batch)[0])
        same = ops.logical_and(label[:, None] == replicas.gathered(label), ops.logical_not(itself))
        same = ops.cast(same, "float32")
        near = self._cost(*(ops.matmul(side, ops.transpose(batch)) for side in (theirs, own)))
        count = self.count + 1.0 + ops.sum(same, axis=-1)
        return (ops.sum(stranger, axis=-1) + kin + ops.sum(near * same, axis=-1)) / count

    def _cost(self, first, second):
        """What it costs that the first relation is larger than the second."""
        difference = first - second
        return ops.relu(difference + self.margin) if self.aware else ops.abs(difference)

    def update(self, teacher_outputs, student_outputs, y=None):
        classes = self.bank.shape[0]
        theirs, label = unit_rows(flat(teacher_outputs)), _numbers(y)
        sums = replicas.total(ops.segment_sum(theirs, label, num_segments=classes))
        seen = ops.any(sums != 0, axis=-1, keepdims=True)
        self.bank.assign(ops.where(seen, unit_rows(sums), self.bank.value))

    def get_config(self):
        names = ("neighbours", "margin", "aware", "relations", "seed")
        return super().get_config() | {name: getattr(self, name) for name in names}
