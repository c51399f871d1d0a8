"""Sets of atoms and their oracles. The origin belongs to each: it is what an oracle means by "no atom helps".

A set keeps, for every problem of a batch, the atoms that it can name in numbered slots. A finite dictionary has a slot
for each atom, the same for all; an infinite set those that the oracle has found so far.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

_TINY = 1e-12


def normalised(atoms) -> tuple[np.ndarray, np.ndarray]:
    """Atoms of norm 1, float64 [K, d], and the norms [K] of those given.

    Raises:
      ValueError: not a matrix of finite numbers, or an atom that is zero.
    """
    atoms = np.asarray(atoms, "float64")
    if atoms.ndim != 2 or not atoms.size or not np.isfinite(atoms).all():
        raise ValueError(f"atoms are a matrix of finite numbers, a row each, not {atoms.shape}")
    norms = np.linalg.norm(atoms, axis=1)
    if (norms == 0).any():
        raise ValueError(f"atom {int(np.argmin(norms))} is zero")
    return atoms / norms[:, None], norms


class Found(NamedTuple):
    """What an oracle answers: the bank of atoms, and for each problem the slot of its best atom, int32 [B]."""

    bank: Any
    slot: Any


class Dictionary:
    """Atoms of norm 1, the rows of a matrix [K, d] (see `normalised`).

    Attributes:
      slots: K. quality: of the oracle, 1: it is exact.
    """

    quality = 1.0

    def __init__(self, atoms):
        self.atoms = ops.convert_to_tensor(atoms)
        self.slots = self.atoms.shape[0]
        self.gram = ops.matmul(self.atoms, ops.transpose(self.atoms))

    def start(self, signals) -> Any:
        """The bank of a batch [B, d]: nothing differs between problems."""
        del signals
        return ()

    def scores(self, bank, gradient):
        """<gradient, atom> for every slot: [B, d] -> [B, K]."""
        del bank
        return ops.matmul(gradient, ops.transpose(self.atoms))

    def oracle(self, bank, gradient, weights, open_slots) -> Found:
        """The atom with the least <gradient, atom> among the open slots, bool [B, K]."""
        del weights
        scores = ops.where(open_slots, self.scores(bank, gradient), np.inf)
        return Found(bank, ops.cast(ops.argmin(scores, axis=1), "int32"))

    def take(self, bank, slots):
        """The atoms of slots [B] -> [B, d]."""
        del bank
        return ops.take(self.atoms, slots, axis=0)

    def combine(self, bank, weights):
        """Sums of weighed atoms: [B, K] -> [B, d]."""
        del bank
        return ops.matmul(weights, self.atoms)

    def grams(self, bank):
        """Inner products of the atoms, [K, K]."""
        del bank
        return self.gram


class RankOne:
    """Non-negative matrices of rank one and norm 1, u v' with u, v >= 0, as vectors of rows * columns numbers.

    The oracle, max of u'Mv over them with M = -gradient, is NP-hard in general. It is approximated by power steps with
    negative numbers cut off, from each of `starts` rows of M that have the most; an atom found before counts as well.

    Attributes:
      slots: how many atoms a problem can hold at once; if all are taken, only those are told.
    """

    def __init__(self, rows: int, columns: int, slots: int, rounds: int = 20, starts: int = 4):
        self.rows, self.columns, self.slots, self.rounds, self.starts = rows, columns, slots, rounds, min(starts, rows)

    def start(self, signals) -> Any:
        """The empty bank of a batch, [B, slots, rows * columns]."""
        return ops.zeros((ops.shape(signals)[0], self.slots, self.rows * self.columns), signals.dtype)

    def scores(self, bank, gradient):
        """<gradient, atom> for every slot, 0 for an empty one: [B, d] -> [B, slots]."""
        return ops.einsum("bd,bkd->bk", gradient, bank)

    def best(self, matrix):
        """u [..., rows], v [..., columns] of norm 1, non-negative, with u'Mv as large as is found: M [..., r, c].

        Both are zero where no entry of M is positive.
        """
        most = ops.sum(ops.square(ops.relu(matrix)), axis=-1)
        first = ops.top_k(most, self.starts)[1]
        v = _unit(ops.relu(ops.take_along_axis(matrix, first[..., None], axis=-2)))  # [..., starts, c]
        across = ops.swapaxes(matrix, -1, -2)
        for _ in range(self.rounds):
            u = _unit(ops.relu(ops.matmul(v, across)))
            v = _unit(ops.relu(ops.matmul(u, matrix)))
        values = ops.sum(ops.matmul(u, matrix) * v, axis=-1)
        place = ops.argmax(values, axis=-1)[..., None, None]
        return (ops.squeeze(ops.take_along_axis(part, place, axis=-2), axis=-2) for part in (u, v))

    def oracle(self, bank, gradient, weights, open_slots) -> Found:
        """Writes the atom that it finds into a slot without weight, unless one that is there is as good.

        Slots that are not open, bool [B, slots], are neither told nor written.
        """
        u, v = self.best(ops.reshape(-gradient, (-1, self.rows, self.columns)))
        atom = ops.reshape(u[:, :, None] * v[:, None, :], (-1, self.rows * self.columns))
        known = ops.where(open_slots, self.scores(bank, gradient), np.inf)
        old = ops.argmin(known, axis=1)
        free = ops.logical_and(open_slots, weights <= 0)
        value = ops.sum(atom * gradient, axis=1)
        is_new = ops.logical_and(ops.any(free, axis=1), value < ops.min(known, axis=1) - _TINY)
        slot = ops.cast(ops.where(is_new, ops.argmax(ops.cast(free, "int32"), axis=1), old), "int32")
        here = ops.logical_and(is_new[:, None], ops.one_hot(slot, self.slots, dtype="bool"))
        return Found(ops.where(here[:, :, None], atom[:, None, :], bank), slot)

    def take(self, bank, slots):
        """The atoms of slots [B] -> [B, d]."""
        return ops.squeeze(ops.take_along_axis(bank, slots[:, None, None], axis=1), axis=1)

    def combine(self, bank, weights):
        """Sums of weighed atoms: [B, slots] -> [B, d]."""
        return ops.einsum("bk,bkd->bd", weights, bank)

    def grams(self, bank):
        """Inner products of the atoms, [B, slots, slots]."""
        return ops.matmul(bank, ops.swapaxes(bank, 1, 2))


def _unit(vectors):
    """Vectors [..., n] of norm 1; zero stays."""
    return vectors / ops.maximum(ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True)), 1e-30)
