"""Numbers of verification: of scores of pairs, whether a pair is genuine (one person) or an impostor (two).

A pair is accepted where its score is at least the threshold. FAR is the share of impostors that are accepted, TAR that
of genuine pairs; at the equal error rate as many impostors are accepted as genuine pairs are refused. NumPy alone.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

RATES = {"1e-1": 0.1, "1e-2": 0.01, "1e-3": 0.001}  # FARs at which an evaluation tells the TAR
MOST = 2_000_000  # impostor pairs of a set that are looked at; beyond, every second, third, ... one is
LEAST_ACCEPTED = 10  # impostors that a FAR must accept on average for TAR at it to be told
ROWS, _BLOCK = 512, 4_000_000  # rows and pairs that are looked at together


class Pairs(NamedTuple):
    """Scored pairs.

    Attributes:
      scores: float64 [P]. same: bool [P].
      first, second: int [P], numbers of the persons.
    """

    scores: np.ndarray
    same: np.ndarray
    first: np.ndarray
    second: np.ndarray


class Curve(NamedTuple):
    """What thresholds give, from the highest to the lowest: float64 [T], and shares in [0, 1] beside it.

    The first threshold is infinite, at which nothing is accepted.
    """

    thresholds: np.ndarray
    far: np.ndarray
    tar: np.ndarray


def all_pairs(embeddings: np.ndarray, persons: np.ndarray, most: int = MOST, align: Callable | None = None) -> Pairs:
    """Every pair of pictures of a set; of impostors beyond `most` every k-th alone, in the order of the rows.

    Args:
      embeddings: unit vectors [N, D]. persons: int [N].
      align: (cosines, places of the first, places of the second) -> scores; without it the cosines are the scores.
    """
    persons = np.asarray(persons)
    counts = np.unique(persons, return_counts=True)[1].astype(np.int64)
    impostors = (len(persons) ** 2 - int((counts**2).sum())) // 2
    step, seen, parts = max(1, -(-impostors // most)), 0, []
    for start, rows, columns in upper(len(persons)):
        same = persons[rows] == persons[columns]
        different = np.flatnonzero(~same)
        kept = different[(-seen) % step :: step]
        seen += len(different)
        places = np.sort(np.concatenate([np.flatnonzero(same), kept]))
        rows, columns = rows[places], columns[places]
        block = np.asarray(embeddings[start : rows[-1] + 1], np.float64) @ np.asarray(embeddings, np.float64).T
        scores = block[rows - start, columns]
        scores = scores if align is None else align(scores, rows, columns)
        parts.append((scores, same[places], persons[rows], persons[columns]))
    if not parts:
        return Pairs(np.zeros(0), np.zeros(0, bool), np.zeros(0, int), np.zeros(0, int))
    return Pairs(*map(np.concatenate, zip(*parts, strict=True)))


def upper(count: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Places (first row of the block, rows, columns) above the diagonal, in blocks of rows that memory holds."""
    height = max(1, min(ROWS, _BLOCK // max(1, count)))
    for start in range(0, count - 1, height):
        rows, columns = np.nonzero(np.arange(count) > np.arange(start, min(start + height, count))[:, None])
        yield start, rows + start, columns


def curve(scores: np.ndarray, same: np.ndarray, weights: np.ndarray | None = None) -> Curve:
    """FAR and TAR over all thresholds; NaN where there is no pair of a kind.

    Args:
      weights: of the pairs, [P]; one each, if none are given.
    """
    order = np.argsort(-scores, kind="stable")
    scores, same = scores[order], same[order]
    weights = np.ones(len(scores)) if weights is None else weights[order].astype(np.float64)
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else np.zeros(0, int)
    accepted = [np.concatenate([[0.0], np.cumsum(np.where(kind, weights, 0.0))[last]]) for kind in (~same, same)]
    with np.errstate(invalid="ignore"):
        far, tar = (sums / sums[-1] if sums[-1] else np.full(len(sums), np.nan) for sums in accepted)
    return Curve(np.concatenate([[np.inf], scores[last]]), far, tar)


def equal_error_rate(found: Curve) -> float:
    """Where FAR equals 1 - TAR, between two thresholds by a straight line; NaN without pairs of both kinds."""
    if np.isnan(found.far[-1]) or np.isnan(found.tar[-1]):
        return float("nan")
    gap = found.far - (1 - found.tar)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(found.far[after - 1] + share * (found.far[after] - found.far[after - 1]))


def tar_at(found: Curve, far: float) -> float:
    """TAR at the lowest threshold whose FAR is at most `far`; NaN without pairs of both kinds."""
    return float("nan") if np.isnan(found.far[-1]) else float(found.tar[_place(found, far)])


def threshold_at(found: Curve, far: float) -> tuple[float, float]:
    """The threshold whose FAR is the largest that is at most `far`, and that FAR.

    It lies midway to the next score below, so that rounding does not move a pair across it. Without impostors, and
    where none may be accepted at all, it is midway between the highest score and 1, or beyond both.
    """
    place = 0 if np.isnan(found.far[-1]) else _place(found, far)
    below = found.thresholds[place + 1] if place + 1 < len(found.thresholds) else min(-1.0, found.thresholds[-1] - 0.01)
    above = found.thresholds[place] if place else max(1.0, below + 0.01)
    return float((above + below) / 2), 0.0 if np.isnan(found.far[-1]) else float(found.far[place])


def _place(found: Curve, far: float) -> int:
    return int(np.searchsorted(found.far, far, side="right")) - 1


def carries(far: float, impostors: float) -> bool:
    """Whether so many impostor pairs can tell anything of a FAR."""
    return far * impostors >= LEAST_ACCEPTED


def accuracy_by_folds(
    scores: np.ndarray, same: np.ndarray, folds: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """LFW's protocol: each fold's share of right answers at the threshold that is best on all others; float64 [F].

    The best threshold lies midway between two scores; of equally good ones the highest.

    Args:
      folds: int [P]. weights: as of `curve`.
    """
    weights = np.ones(len(scores)) if weights is None else weights
    found = []
    for fold in np.unique(folds):
        here = folds == fold
        threshold = _best_threshold(scores[~here], same[~here], weights[~here])
        right = (scores[here] >= threshold) == same[here]
        total = weights[here].sum()
        found.append(float((weights[here] * right).sum() / total) if total else np.nan)
    return np.array(found)


def _best_threshold(scores: np.ndarray, same: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    scores, same, weights = scores[order], same[order], weights[order]
    gained = np.concatenate([[0.0], np.cumsum(np.where(same, weights, -weights))])  # by accepting the first n
    gained[1:-1][scores[1:] == scores[:-1]] = -np.inf  # pairs of one score are accepted together
    best = int(np.argmax(gained))
    ends = np.concatenate([[scores[0] + 1 if len(scores) else 0.0], scores, [scores[-1] - 1 if len(scores) else 0.0]])
    return float((ends[best] + ends[best + 1]) / 2)


def first_ranks(
    embeddings: np.ndarray, persons: np.ndarray, align: Callable | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """1:N search: the gallery is everybody's first picture, the probes are all others.

    Args:
      embeddings: unit vectors [N, D], in the order that says which picture is first. persons: int [N].
      align: as of `all_pairs`; the gallery's picture is the second of a pair.

    Returns:
      Whether a probe's nearest of the gallery is its own person, bool [M]; the probes' persons, int [M].
    """
    persons = np.asarray(persons)
    gallery = np.unique(persons, return_index=True)[1]
    probes = np.setdiff1d(np.arange(len(persons)), gallery)
    if not len(probes):
        return np.zeros(0, bool), np.zeros(0, int)
    hits = []
    for start in range(0, len(probes), ROWS):
        some = probes[start : start + ROWS]
        scores = embeddings[some] @ embeddings[gallery].T
        scores = scores if align is None else align(scores, some[:, None], gallery[None])
        nearest = gallery[np.argmax(scores, axis=1)]
        hits.append(persons[nearest] == persons[some])
    return np.concatenate(hits), persons[probes]


def draws(persons: np.ndarray, count: int, seed: int = 1) -> Iterator[np.ndarray]:
    """Bootstrap over persons: how often each number is drawn, int [max + 1], `count` times."""
    known = np.unique(persons)
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield np.bincount(random.choice(known, len(known)), minlength=int(known[-1]) + 1)


def pair_weights(pairs: Pairs, drawn: np.ndarray) -> np.ndarray:
    """Weights of pairs where persons were drawn so often: n of a genuine pair, the product of an impostor pair."""
    first = drawn[pairs.first]
    return np.where(pairs.same, first, first * drawn[pairs.second]).astype(np.float64)
