"""How well embeddings tell persons apart: the figures of a set of faces, each with its interval.

All pairs of the set give the equal error rate and the TAR at a FAR; the listed pairs, of a table or drawn at ingest,
the accuracy by LFW's protocol; the search of everybody's later pictures among everybody's first, the rank-1 rate.
Intervals are percentiles over persons drawn anew with replacement, in NumPy alone.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.faces import verification
from models.faces.alignment import MODES, Alignment, Form

DRAWS = 200
LEVEL = 95  # per cent that an interval holds
_PAIRS_OF_DRAWS = 200_000  # impostor pairs that the draws look at


class Faces(NamedTuple):
    """A set of faces, in the order of their numbers.

    Attributes:
      embeddings: unit vectors float32 [N, D]. persons: int [N]. numbers: int [N], of the pictures.
      first, second: int [P], places of the listed pairs. same: bool [P]. folds: int [P].
      missing: how many listed pairs name a picture that is not of the set.
      align: how pairs are aligned; None leaves the cosines as they are.
    """

    embeddings: np.ndarray
    persons: np.ndarray
    numbers: np.ndarray
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    folds: np.ndarray
    missing: int
    align: Alignment | None = None


class Figure(NamedTuple):
    """A number and the ends of its interval; NaN where it is not defined. And what the draws gave."""

    value: float
    low: float = math.nan
    high: float = math.nan
    drawn: Sequence[float] = ()


_NONE = Figure(math.nan)


def faces_of(
    embeddings: np.ndarray,
    persons: np.ndarray,
    numbers: np.ndarray,
    pairs: Sequence[np.ndarray],
    support: np.ndarray | None = None,
    form: np.ndarray | None = None,
) -> Faces:
    """A set of what a model gives for records in any order.

    Args:
      embeddings: [N, D]. persons, numbers: int [N]. pairs: of each record int [P, 3], as of `models.records.faces`.
      support, form: outputs "support" [N, 4] and "alignment" [N, 4] of an aligned network
        (`models.faces.ida_serving`); None of others.
    """
    order = np.argsort(numbers, kind="stable")
    places = {int(numbers[n]): place for place, n in enumerate(order)}
    listed, missing = [], 0
    for place, n in enumerate(order):
        for second, same, fold in np.asarray(pairs[n], int).reshape(-1, 3):
            if second in places:
                listed.append((place, places[second], same, fold))
            elif second >= 0:
                missing += 1
    first, second, same, folds = np.array(listed, int).reshape(-1, 4).T
    known = (np.asarray(column)[order] for column in (embeddings, persons, numbers))
    align = alignment_of(support[order], form[0]) if support is not None else None
    return Faces(*known, first, second, same.astype(bool), folds, missing, align)


def alignment_of(support: np.ndarray, row: np.ndarray) -> Alignment:
    """How an aligned network aligns pairs, of its outputs "support" [N, 4] and a row of "alignment" [4]."""
    mode, place = (int(row[n]) for n in (0, 3))
    form = Form(MODES[mode], float(row[1]), float(row[2]))
    return Alignment(form, *np.asarray(support, np.float64)[:, 2 * place : 2 * place + 2].T)


def figures(faces: Faces, rates: Sequence[float] = ()) -> dict[str, Any]:
    """The figures of a set.

    Args:
      rates: FARs at which the TAR is told.

    Returns:
      "eer", "accuracy", "rank1": Figures. "tar": FAR -> Figure; undefined where FAR times the impostor pairs is below
      `verification.LEAST_ACCEPTED`. "genuine", "impostors": how many pairs of all pictures; "by_fold": the accuracies;
      "probes", "gallery": pictures of the search.
    """
    pairs, thinned = (
        verification.all_pairs(faces.embeddings, faces.persons, most, faces.align)
        for most in (verification.MOST, _PAIRS_OF_DRAWS)
    )
    found = verification.curve(pairs.scores, pairs.same)
    genuine, impostors = _counts(faces.persons)
    drawn = list(verification.draws(faces.persons, DRAWS)) if len(faces.persons) else []
    curves = [verification.curve(thinned.scores, thinned.same, verification.pair_weights(thinned, d)) for d in drawn]
    tar = {
        far: _figure(verification.tar_at(found, far), [verification.tar_at(c, far) for c in curves])
        if verification.carries(far, impostors) else _NONE
        for far in rates
    }  # fmt: skip
    accuracy, by_fold = _accuracy(faces, drawn)
    rank1, probes, gallery = _rank1(faces, drawn)
    return {
        "eer": _figure(verification.equal_error_rate(found), map(verification.equal_error_rate, curves)),
        "accuracy": accuracy, "rank1": rank1, "tar": tar, "genuine": genuine, "impostors": impostors,
        "by_fold": by_fold, "probes": probes, "gallery": gallery,
    }  # fmt: skip


def _counts(persons: np.ndarray) -> tuple[int, int]:
    """How many pairs of one person and of two a set has."""
    counts = np.unique(persons, return_counts=True)[1].astype(np.int64)
    genuine = int((counts * (counts - 1) // 2).sum())
    return genuine, len(persons) * (len(persons) - 1) // 2 - genuine


def _figure(value: float, drawn: Any) -> Figure:
    drawn = np.array(list(drawn))
    known = drawn[~np.isnan(drawn)]
    if math.isnan(value) or not len(known):
        return Figure(value)
    low, high = np.percentile(known, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return Figure(value, float(low), float(high), drawn)


def change(raw: Figure, new: Figure) -> Figure:
    """How much higher a figure is than another of the same set, draw by draw."""
    if not (len(raw.drawn) and len(new.drawn)):
        return Figure(new.value - raw.value)
    return _figure(new.value - raw.value, np.asarray(new.drawn) - np.asarray(raw.drawn))


def _accuracy(faces: Faces, drawn: Sequence[np.ndarray]) -> tuple[Figure, list[float]]:
    """LFW's accuracy, the mean over folds, and that of each; undefined with less than two folds or one kind of pair."""
    scores = np.einsum("pd,pd->p", *(faces.embeddings[side].astype(np.float64) for side in (faces.first, faces.second)))
    scores = scores if faces.align is None else faces.align(scores, faces.first, faces.second)
    if len(np.unique(faces.folds)) < 2 or faces.same.all() or not faces.same.any():
        return _NONE, []
    of_pairs = verification.Pairs(scores, faces.same, faces.persons[faces.first], faces.persons[faces.second])

    def by_fold(weights=None):
        return verification.accuracy_by_folds(scores, faces.same, faces.folds, weights)

    found = by_fold()
    again = [float(np.nanmean(by_fold(verification.pair_weights(of_pairs, d)))) for d in drawn]
    return _figure(float(found.mean()), again), found.tolist()


def _rank1(faces: Faces, drawn: Sequence[np.ndarray]) -> tuple[Figure, int, int]:
    """The rank-1 rate, probes and gallery. Draws choose among the probes' persons; the gallery stays whole."""
    hits, persons = verification.first_ranks(faces.embeddings, faces.persons, faces.align)
    gallery = len(faces.persons) - len(hits)
    if not len(hits) or gallery < 2:
        return _NONE, len(hits), gallery
    again = [float((d[persons] * hits).sum() / total) if (total := d[persons].sum()) else math.nan for d in drawn]
    return _figure(float(hits.mean()), again), len(hits), gallery


def decided(faces: Faces, threshold: float) -> Mapping[str, float]:
    """What a threshold that was chosen elsewhere does on all pairs: "far" and "tar", NaN without pairs of the kind."""
    pairs = verification.all_pairs(faces.embeddings, faces.persons, align=faces.align)
    accepted = pairs.scores >= threshold
    rate = {name: accepted[kind] for name, kind in (("far", ~pairs.same), ("tar", pairs.same))}
    return {name: float(kind.mean()) if kind.size else math.nan for name, kind in rate.items()}


class Content:
    """A set of faces that is told apart by what it holds, so that its figures are made once."""

    def __init__(self, faces: Faces, rates: Sequence[float]):
        self.faces, self.rates = faces, tuple(rates)
        *parts, align = faces
        parts += [] if align is None else [align.mean, align.spread]
        form = None if align is None else align.form
        self._key = (self.rates, form, *(np.asarray(part).tobytes() for part in parts))

    def __eq__(self, other):
        return isinstance(other, Content) and self._key == other._key

    def __hash__(self):
        return hash(self._key)


@functools.lru_cache(2)
def figures_of(content: Content) -> dict[str, Any]:
    """`figures` of a set; the last two stay, as every metric asks for them."""
    return figures(content.faces, content.rates)
