"""Inter-class discrepancy alignment: the score of two faces against how crowded the space is around each of them.

After IDA (arXiv:2103.01559), of which the abstract could be read, not the formulas: a face's support set are the
nearest of a bank of other persons' faces, its discrepancy is its mean cosine to them, and a pair's score is aligned
with both. The variants are choices of this project; relatives are CSLS and the cohort normalisation of voices.
"""

from typing import NamedTuple

import numpy as np

MODES = ("subtract", "ratio", "zscore", "one_sided")
ESTIMATORS = ("bank", "learned")  # of discrepancy and spread
LEAST_MEAN, LEAST_SPREAD = 0.05, 0.01  # below which "ratio" and "zscore" would divide by next to nothing
ROWS = 4096  # candidates that are compared with at once
_NONE = -2.0  # the cosine to a candidate that does not count


class Form(NamedTuple):
    """How scores are aligned.

    Attributes:
      mode: one of MODES. strength: of "subtract" and "one_sided", 0 leaves the cosine as it is. average: the mean
        discrepancy of the persons on whom the threshold was chosen, which keeps the scale that of a cosine.
    """

    mode: str
    strength: float
    average: float


def aligned(cosine, first, second, form: Form, xp=np):
    """The aligned score of pairs; all but "one_sided" are the same for both orders.

    - subtract: s - strength ((d_x + d_y) / 2 - average).
    - ratio: s times the average over (d_x + d_y) / 2, each LEAST_MEAN at least.
    - zscore: the mean of (s - d_x) / spread_x and (s - d_y) / spread_y; spreads are LEAST_SPREAD at least.
    - one_sided: s - strength (d_y - average), for a search: what a probe's own discrepancy says is the same for all of
      a gallery.

    Args:
      cosine: float [P], or any shape that broadcasts. first, second: (discrepancy, spread) of both faces.
      xp: the module whose `maximum` is taken, NumPy's or `keras.ops` in a graph.

    Raises:
      ValueError: no such mode.
    """
    if form.mode == "subtract":
        return cosine - form.strength * ((first[0] + second[0]) / 2.0 - form.average)
    if form.mode == "one_sided":
        return cosine - form.strength * (second[0] - form.average)
    if form.mode == "ratio":
        around = xp.maximum((first[0] + second[0]) / 2.0, LEAST_MEAN)
        return cosine * (xp.maximum(form.average, LEAST_MEAN) / around)
    if form.mode == "zscore":
        sides = [(cosine - mean) / xp.maximum(spread, LEAST_SPREAD) for mean, spread in (first, second)]
        return (sides[0] + sides[1]) / 2.0
    raise ValueError(f"mode={form.mode}: not one of {', '.join(MODES)}")


class Alignment(NamedTuple):
    """The form, with discrepancy and spread of each face of a set, float [N]."""

    form: Form
    mean: np.ndarray
    spread: np.ndarray

    def __call__(self, cosines: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Aligned scores of pairs; `first` and `second` are their places in the set."""
        sides = [(self.mean[places], self.spread[places]) for places in (first, second)]
        return aligned(cosines, *sides, self.form)


def support(unit, candidates, persons, count: int, own=None, duplicate: float = 1.0, radius: float = -1.0):
    """Mean and standard deviation of the cosines of faces to their support sets.

    A support set are the `count` nearest candidates, of these those of a cosine of `radius` at least, and the nearest
    in any case. The bank is gone through in blocks of ROWS. A face for which no candidate counts has 0 and 0.

    Args:
      unit: unit vectors float32 [B, D]. candidates: unit vectors float32 [M, D].
      persons: int32 [M, 2], whom a candidate shows; a mixture shows two, and -1 is nobody that is known.
      own: int [B], each face's person, whose candidates are left out; None leaves nobody out.
      duplicate: candidates of a higher cosine are taken for the same person, and left out.

    Returns:
      float32 [B] each.
    """
    from keras import ops  # scores are aligned without Keras, which takes seconds to import

    kept = None
    for start in range(0, candidates.shape[0], ROWS):
        cosines = ops.matmul(unit, ops.transpose(candidates[start : start + ROWS]))
        out = cosines > duplicate
        if own is not None:
            shown = ops.cast(persons[start : start + ROWS], "int32")
            same = ops.any(shown[None] == ops.cast(own, "int32")[:, None, None], axis=-1)
            out = ops.logical_or(out, same)
        cosines = ops.where(out, _NONE, cosines)
        cosines = cosines if kept is None else ops.concatenate([kept, cosines], axis=1)
        kept = ops.top_k(cosines, min(count, cosines.shape[1]))[0]
    nearest = ops.arange(kept.shape[1]) == 0
    counts = ops.logical_and(kept > _NONE + 0.5, ops.logical_or(kept >= radius, nearest))
    weights = ops.cast(counts, "float32")
    total = ops.maximum(ops.sum(weights, axis=1), 1.0)
    mean = ops.sum(weights * kept, axis=1) / total
    square = ops.sum(weights * ops.square(kept - mean[:, None]), axis=1) / total
    return mean, ops.sqrt(square)
