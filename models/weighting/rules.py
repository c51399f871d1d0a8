"""Rules that weigh the examples of a batch: those that a learned policy is compared with.

Each takes logits [B, K], labels [B, K], `wrong` [B] (1 where a label was made wrong) and gives weights [B], float32.
"""

import keras
from keras import ops

from models.classifiers.classifier import cross_entropy
from models.contract.recipe import ConfigError
from models.weighting.policy import normalised

FOCUS = 2.0  # gamma of the focal loss
DROPPED = 0.3  # share of a batch's largest losses that self-paced learning leaves out


def uniform(logits, labels, wrong):
    """All alike."""
    return ops.ones_like(cross_entropy(labels, logits))


def focal(logits, labels, wrong):
    """(1 - p)^2 of the label's probability p: the loss of arXiv:1708.02002, whose weights have a gradient too."""
    p = ops.sum(ops.softmax(ops.cast(logits, "float32")) * ops.cast(labels, "float32"), axis=-1)
    return (1.0 - p) ** FOCUS


def self_paced(logits, labels, wrong):
    """Leaves out the largest losses of the batch, 30 % of it (small-loss selection)."""
    losses = ops.stop_gradient(cross_entropy(labels, logits))
    kept = ops.ceil((1.0 - DROPPED) * ops.cast(ops.shape(losses)[0], "float32"))
    rank = ops.cast(ops.argsort(ops.argsort(losses)), "float32")
    return normalised(ops.cast(rank < kept, "float32"))


def oracle(logits, labels, wrong):
    """Leaves out the wrong labels, which nothing but a simulation knows."""
    return normalised(1.0 - ops.cast(wrong, "float32"))


RULES = {"uniform": uniform, "focal": focal, "self_paced": self_paced, "oracle": oracle, "early_stopping": uniform}


def by_gradients(classifier: keras.Model, x, labels, clean_x, clean_labels):
    """Learning to reweight (arXiv:1803.09050): an example weighs as much as a step on it alone would help clean ones.

    At weights of nothing, the derivative of the clean loss after a step is minus the product of both gradients; it is
    found for the whole batch at once, as the change of its losses along the gradient of the clean ones.

    Args:
      x [B, S, S, 3], labels [B, K]: the batch. clean_x, clean_labels: a clean one of any size.

    Returns:
      Weights [B] with mean 1, next to nothing where an example would do harm.

    Raises:
      ConfigError: Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ConfigError("weighting=meta: needs Keras on TensorFlow")
    import tensorflow as tf

    weights = [tf.identity(v.value) for v in classifier.trainable_variables]
    state = [v.value for v in classifier.non_trainable_variables]

    def losses(pixels, wanted):
        return cross_entropy(wanted, classifier.stateless_call(weights, state, pixels, training=True)[0])

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        clean = ops.mean(losses(clean_x, clean_labels))
    direction = tape.gradient(clean, weights, unconnected_gradients="zero")
    with tf.autodiff.ForwardAccumulator(weights, direction) as forward:
        found = losses(x, labels)
    return ops.stop_gradient(normalised(ops.relu(forward.jvp(found))))
