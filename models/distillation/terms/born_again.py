"""Born-again networks: Furlanello et al. (arXiv:1805.04770), section 3: BAN, CWTM, DKPP."""

import keras
from keras import ops

from models.classifiers.classifier import cross_entropy
from models.distillation.terms.logits import check_classes
from models.distillation.terms.term import Term, TrainedTerm
from models.training import replicas

PERMUTATIONS = ("sample", "global")


class _OnLogits(Term):
    def connect(self, teacher_shape, student_shape, y_shape=None):
        check_classes(teacher_shape, student_shape)


@keras.saving.register_keras_serializable("kompakt")
class BornAgain(_OnLogits):
    """Cross-entropy of the student with the teacher's probabilities, temperature 1, no labels; mean over the batch."""

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Logits of both sides, [B, K] -> [B]."""
        return cross_entropy(probabilities(teacher_outputs), student_outputs)


@keras.saving.register_keras_serializable("kompakt")
class ConfidenceWeighted(_OnLogits):
    """CWTM: cross-entropy with the labels, each example weighted by the teacher's largest probability.

    The weights of a batch, the whole one where several devices share it, are divided by their mean: a teacher of
    constant confidence gives the plain mean. Needs the labels, which Keras' own `Distiller` does not pass on: there it
    raises ValueError.
    """

    needs_labels = True

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Logits of both sides and labels y, [B, K] each -> [B]."""
        return self.weights(teacher_outputs) * cross_entropy(y, student_outputs)

    @staticmethod
    def weights(teacher_outputs):
        """[B, K] logits -> [B] float32 with a mean of one over the whole batch."""
        confidence = ops.max(probabilities(teacher_outputs), axis=-1)
        return confidence / ops.mean(replicas.gathered(confidence))


@keras.saving.register_keras_serializable("kompakt")
class PermutedDarkKnowledge(TrainedTerm):
    """DKPP: cross-entropy with the teacher's probabilities, all but the largest of which are permuted at random.

    Args:
      permutation: "sample" draws anew for each example and step; "global" takes one order for all, which keeps more of
        the structure. The paper does not say which it means.
      seed: of the permutations.

    Raises:
      ValueError: unknown permutation, or different numbers of classes.
    """

    def __init__(self, permutation: str = "sample", seed: int = 1, teacher_layer_name=None, student_layer_name=None):
        super().__init__(teacher_layer_name, student_layer_name)
        if permutation not in PERMUTATIONS:
            raise ValueError(f"permutation={permutation}: not one of {', '.join(PERMUTATIONS)}")
        self.permutation, self.seed = permutation, seed
        self.generator = keras.random.SeedGenerator(seed)
        self.built = True

    def connect(self, teacher_shape, student_shape, y_shape=None):
        check_classes(teacher_shape, student_shape)

    def targets(self, teacher_outputs):
        """[B, K] logits -> [B, K] float32: the largest probability in its place, the others in a random order."""
        p = probabilities(teacher_outputs)
        classes = p.shape[-1]
        if self.permutation == "global":
            keys = ops.zeros_like(p) + keras.random.uniform((1, classes), seed=self.seed)
        else:
            keys = keras.random.uniform(ops.shape(p), seed=self.generator)
        top = ops.one_hot(ops.argmax(p, axis=-1), classes)
        # Sorted by these keys the largest comes first; once behind it the others in order, once in disorder.
        in_disorder = ops.argsort(keys - 2.0 * top, axis=-1)
        in_order = ops.argsort(ops.arange(classes, dtype="float32") - (classes + 1.0) * top, axis=-1)
        return ops.take_along_axis(
            ops.take_along_axis(p, in_disorder, axis=-1), ops.argsort(in_order, axis=-1), axis=-1
        )

    def example_losses(self, teacher_outputs, student_outputs, y=None):
        """Logits of both sides, [B, K] -> [B]."""
        return cross_entropy(self.targets(teacher_outputs), student_outputs)

    def get_config(self):
        return super().get_config() | {"permutation": self.permutation, "seed": self.seed}


def probabilities(logits):
    """Softmax in float32."""
    return ops.softmax(ops.cast(logits, "float32"))
