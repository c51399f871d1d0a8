"""Losses of an embedding's head: margins on the angle to the own class, and what tells persons apart without a head.

Logits are kept as one matrix product gives them, labels are class numbers: no float of size [B, C] is made for them.
"""

import math

import keras
from keras import ops

HEADS = ("arcface", "cosface", "softmax")
_LEAST_SQUARE = 1e-7  # of the sine: the root has no slope at zero


def with_margin(cosine, head: str, margin: float):
    """The cosine to the own class as the loss sees it.

    ArcFace (arXiv:1801.07698, eq. 3): cos(theta + m) as long as theta + m <= pi, beyond cos(theta) - m sin(m), which
    goes on falling. CosFace (arXiv:1801.09414, eq. 4): cos(theta) - m.

    Args:
      cosine: float32, any shape, in [-1, 1]. head: one of HEADS; "softmax" leaves it as it is. margin: radians of
        ArcFace, a difference of cosines of CosFace.
    """
    if head == "arcface":
        sine = ops.sqrt(ops.maximum(1.0 - ops.square(cosine), _LEAST_SQUARE))
        turned = cosine * math.cos(margin) - sine * math.sin(margin)
        return ops.where(cosine > math.cos(math.pi - margin), turned, cosine - margin * math.sin(margin))
    return cosine - margin if head == "cosface" else cosine


def margin_loss(logits, labels, head: str, margin: float, scale: float):
    """Cross-entropy of examples, nats [B] float32.

    Args:
      logits: float32 [B, C], cosines in [-1, 1]; of the head "softmax" plain logits, and neither margin nor scale
        counts. labels: int [B], in [0, C). scale: factor on the cosines.
    """
    scale = 1.0 if head == "softmax" else scale
    own = with_margin(ops.take_along_axis(logits, labels[:, None], axis=1)[:, 0], head, margin)
    is_own = ops.arange(logits.shape[-1]) == ops.cast(labels, "int32")[:, None]
    return ops.logsumexp(scale * ops.where(is_own, own[:, None], logits), axis=-1) - scale * own


def neighbour_loss(rows, row_labels, columns, labels, start, scale: float):
    """How likely a picture's neighbour, drawn by softmax over cosines, is another person's: -log of the rest, nats [b].

    The loss of neighbourhood components (Goldberger et al., NIPS 2004): it needs no classes. A picture without another
    of its person counts zero.

    Args:
      rows: unit vectors [b, D], with labels int [b]. columns: those of the whole batch [B, D], with labels int [B].
      start: where the rows begin among the columns. scale: factor on the cosines.
    """
    count, total = ops.shape(rows)[0], ops.shape(columns)[0]
    itself = (ops.arange(count) + start)[:, None] == ops.arange(total)
    same = ops.logical_and(row_labels[:, None] == labels, ops.logical_not(itself))
    cosines = scale * ops.matmul(rows, ops.transpose(columns))
    near = ops.logsumexp(ops.where(itself, -1e9, cosines), axis=-1)
    own = ops.logsumexp(ops.where(same, cosines, -1e9), axis=-1)
    return ops.where(ops.any(same, axis=-1), near - own, 0.0)


@keras.saving.register_keras_serializable("kompakt")
class PairErrors(keras.metrics.Metric):
    """The equal error rate over the pairs within batches, from histograms of their cosines.

    Args:
      bins: of equal width over [-1, 1].
    """

    def __init__(self, bins: int = 2000, name: str = "eer", **kwargs):
        super().__init__(name=name, **kwargs)
        self.bins = bins
        self.counts = self.add_weight(shape=(2, bins), initializer="zeros", name="counts", dtype="float32")

    def update_state(self, embeddings, labels, sample_weight=None):
        """embeddings: unit vectors [B, D]. labels: int [B]."""
        embeddings, total = ops.cast(embeddings, "float32"), ops.shape(embeddings)[0]
        cosines = ops.matmul(embeddings, ops.transpose(embeddings))
        above = ops.arange(total)[:, None] < ops.arange(total)
        same = labels[:, None] == labels
        places = ops.cast(ops.clip((cosines + 1.0) * (self.bins / 2), 0, self.bins - 1), "int32")
        places = ops.reshape(ops.where(same, places + self.bins, places), (-1,))
        weights = ops.reshape(ops.cast(above, "float32"), (-1,))
        found = ops.segment_sum(weights, places, num_segments=2 * self.bins)
        self.counts.assign_add(ops.reshape(found, (2, self.bins)))

    def result(self):
        """Scalar in [0, 1]: the mean of both errors where they are nearest; 0.5 without pairs of both kinds."""
        far, tar = (self.accepted(kind) for kind in (0, 1))
        best = ops.argmin(ops.abs(far - (1.0 - tar)))
        rate = (ops.take(far, best) + 1.0 - ops.take(tar, best)) / 2.0
        known = ops.all(ops.sum(self.counts, axis=1) > 0)
        return ops.where(known, rate, 0.5)

    def accepted(self, kind: int):
        """Share of impostors (0) or genuine pairs (1) at or above each bin, and beyond the last: [bins + 1]."""
        counts = self.counts[kind]
        above = ops.concatenate([ops.flip(ops.cumsum(ops.flip(counts))), ops.zeros((1,))])
        return above / ops.maximum(ops.sum(counts), 1.0)

    def get_config(self):
        return super().get_config() | {"bins": self.bins}
