"""Non-negative factorisation Y = UV by greedy rank-one atoms of a cone (arXiv:1705.11041, section on matrices).

Fully corrective pursuit over the matrices u v' with u, v >= 0: the oracle names the atom that fits the residual best,
the weights of all atoms are solved for, and then the atoms themselves are corrected, one factor after the other. Every
step lowers the error or leaves it. Only factors are kept, no atom is ever written out.
"""

import functools
import time
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from models.pursuit import active_set
from models.pursuit.atoms import RankOne

_TINY = 1e-12


class Factors(NamedTuple):
    """U [n, K] and V [K, d], non-negative, rows of V of norm 1 (or 0: nothing was left to fit); and how it went.

    `history` has a dict for each correction of all atoms: "atoms", "seconds", "error" = |Y - UV|^2 / 2.
    """

    left: np.ndarray
    right: np.ndarray
    history: list[dict]


def factorise(matrix, rank: int, *, sweeps: int = 1, last: int = 200, seconds: float = float("inf")) -> Factors:
    """Factors of a matrix.

    Args:
      matrix: Y, [n, d]; may have negative numbers, which no factor reaches.
      rank: atoms. sweeps: corrections of the atoms after each new one, 1 or more.
      last: at most so many at the end; they stop where one brings less than 1e-5 of the error. seconds: after which no
        more of those begin.

    Raises:
      ValueError: a matrix without numbers, or one that is not finite.
    """
    matrix = np.asarray(matrix, "float64")
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise ValueError(f"wanted is a matrix of finite numbers, not {matrix.shape}")
    begin, history, across = time.perf_counter(), [], np.ascontiguousarray(matrix.T)
    left, right = np.zeros((0, len(matrix))), np.zeros((0, matrix.shape[1]))  # U', V
    oracle, energy = _oracle(min(4, len(matrix))), 0.5 * np.square(matrix).sum()

    def corrected_once():
        nonlocal left, right
        right = _corrected_rows(left @ matrix, left @ left.T, right)
        target, gram = right @ across, right @ right.T
        left = _corrected_rows(target, gram, left)
        value = energy - np.vdot(left, target) + 0.5 * np.vdot(left @ left.T, gram)
        history.append({"atoms": len(right), "seconds": time.perf_counter() - begin, "error": float(value)})
        return value

    for _ in range(rank):
        u, v = (np.asarray(part) for part in oracle(matrix - left.T @ right))
        left, right = np.vstack([left, u]), np.vstack([right, v])
        left *= _weights(matrix, left, right)[:, None]
        for _ in range(sweeps):
            before = corrected_once()
        sizes = np.maximum(np.linalg.norm(right, axis=1, keepdims=True), _TINY)
        left, right = left * sizes, right / sizes
    for _ in range(last):
        if time.perf_counter() - begin > seconds:
            break
        now = corrected_once()
        if before - now < 1e-5 * before:
            break
        before = now
    sizes = np.linalg.norm(right, axis=1)
    sizes = np.where(sizes > _TINY, sizes, 1.0)
    return Factors((left * sizes[:, None]).T, right / sizes[:, None], history)


def _weights(matrix, left, right) -> np.ndarray:
    """What each atom u v', rows of [K, n] and [K, d], is best multiplied with so that the sum fits: [K], >= 0.

    The last atom is new: it has no weight yet.
    """
    sizes = np.maximum(np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1), _TINY)
    gram = (left @ left.T) * (right @ right.T) / np.outer(sizes, sizes)
    target = (np.sum((left @ matrix) * right, axis=1) / sizes)[None]
    here = np.ones(target.shape, bool)
    now = np.append(sizes[:-1], 0.0)[None]
    return _solved()(gram, target, here, now, here & (now == 0)).numpy()[0] / sizes


@functools.cache
def _solved():
    """`active_set.corrected` for any number of atoms, traced once."""
    specs = [tf.TensorSpec(shape, kind) for shape, kind in (
        ([None, None], "float64"), ([1, None], "float64"), ([1, None], "bool"), ([1, None], "float64"),
        ([1, None], "bool"),
    )]  # fmt: skip
    return tf.function(active_set.corrected, specs, autograph=False)


@functools.cache
def _oracle(starts: int):
    """`RankOne.best` for matrices of any size; on TensorFlow traced once."""
    best = RankOne(starts, 1, slots=1, rounds=10, starts=starts).best
    if keras.backend.backend() == "tensorflow":
        return tf.function(lambda m: tuple(best(m)), [tf.TensorSpec([None, None], "float64")], autograph=False)
    return lambda matrix: best(keras.ops.convert_to_tensor(matrix, "float64"))


def _corrected_rows(target, gram, rows) -> np.ndarray:
    """Coordinate descent on rows [K, m] of |Y - W rows|^2: target W'Y, gram W'W; a row that nothing weighs stays."""
    rows = rows.copy()
    for k in range(len(rows)):
        if gram[k, k] > _TINY:
            rows[k] = np.maximum(rows[k] + (target[k] - gram[k] @ rows) / gram[k, k], 0.0)
    return rows
