"""Which classes look alike to a teacher: the nearest prototypes of each, found without a matrix of all pairs. NumPy."""

from collections.abc import Iterable

import numpy as np

_ROWS = 512  # prototypes that are compared with all others at once; 205 MB for 100,000 classes
_SORTED = 64  # of these, rows that are sorted at once


def prototypes(batches: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> np.ndarray:
    """The mean direction of each class: unit vectors float32 [C, D], zero for a class without an example.

    Args:
      batches: embeddings [b, D] of any length above zero, and classes int [b].
    """
    sums = None
    for rows, labels in batches:
        rows = np.asarray(rows, np.float64)
        sums = np.zeros((classes, rows.shape[1])) if sums is None else sums
        np.add.at(sums, labels, rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
    if sums is None:
        raise ValueError("no example to make prototypes of")
    return (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def nearest(vectors: np.ndarray, count: int) -> np.ndarray:
    """The `count` nearest other rows of each row by the cosine, nearest first: int32 [C, count].

    Of equal ones those come first that stand first. A zero row, a class that nobody has seen, is nobody's neighbour as
    long as there are others.

    Args:
      vectors: unit vectors or zeros, float32 [C, D]. count: below C.
    """
    total = len(vectors)
    if not 0 < count < total:
        raise ValueError(f"{count} neighbours among {total} classes: there must be fewer, and one at least")
    unseen = ~vectors.any(axis=1)
    found = np.empty((total, count), np.int32)
    for start in range(0, total, _ROWS):
        cosines = vectors[start : start + _ROWS] @ vectors.T
        cosines[:, unseen] = -2.0
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -3.0
        for place in range(0, len(cosines), _SORTED):
            found[start + place : start + place + _SORTED] = _largest(cosines[place : place + _SORTED], count)
    return found


def _largest(rows: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` largest of each row, largest first, of equal ones the first.

    The count-th largest of the maxima of groups is at most the count-th largest of all, and what is below it is not
    looked at: a partition of whole rows takes many times as long.
    """
    total = rows.shape[1]
    side = max(1, total // (4 * count))
    whole = total // side * side
    most = np.concatenate([rows[:, :whole].reshape(len(rows), -1, side).max(axis=2), rows[:, whole:]], axis=1)
    least = np.partition(most, most.shape[1] - count, axis=1)[:, -count]
    found = np.empty((len(rows), count), np.int32)
    for n, (row, bound) in enumerate(zip(rows, least, strict=True)):
        places = np.flatnonzero(row >= bound)
        found[n] = places[np.argsort(-row[places], kind="stable")[:count]]
    return found


def strangers(classes: int, count: int, seed: int) -> np.ndarray:
    """As many other classes of each, drawn at random, each once: int32 [C, count]."""
    random, found = np.random.default_rng(seed), np.empty((classes, count), np.int32)
    for row in range(classes):
        others = random.choice(classes - 1, count, replace=False)
        found[row] = others + (others >= row)
    return found
