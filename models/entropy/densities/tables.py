"""Integer probability tables: what the coder sees of a distribution.

A distribution over integer symbols enters the bitstream only as a row of integers that sums to ``2**precision``, so
that encoder and decoder never compare floating-point numbers. Tables are built once, after training, and stored in the
model; where weights are handed on, the tables go with them, by name (`CdfTables.arrays`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import tensorflow as tf

DEFAULT_PRECISION = 14  # bits; a slot table then holds 2**14 entries a distribution, which stays in the cache
MAX_PRECISION = 15  # bits; two symbols must fit into the 31 bits that a coder state gives between two refills
MAX_SLOTS = 1 << 15
_BISECTIONS = 40
# Symbols on both sides of zero even where the Gaussian is narrow: an unused slot is cheaper than an escape, except
# where all but one in some ten thousand symbols are zero.
_LEAST_REACH, _CERTAIN_REACH, _CERTAIN_SCALE = 3, 1, 0.13
_WIDE, _WIDE_TAIL_MASS = 40, 2.0**-12  # farther out, the many slots of an alphabet would cost more than the escapes


@dataclass(frozen=True)
class CdfTables:
    """Quantised cumulative distributions of T alphabets.

    Attributes:
        cdfs: int32 [T, S + 1]; row t holds 0 = c[0] < c[1] < ... < c[sizes[t]] = 2**precision, then that number again
            as padding. Slot k has probability (c[k + 1] - c[k]) / 2**precision.
        sizes: int32 [T], slots of each table; the last one is the escape slot, for symbols outside the alphabet.
        offsets: int32 [T], the symbol that slot 0 stands for.
        precision: bits, 1 to 15.
    """

    cdfs: np.ndarray
    sizes: np.ndarray
    offsets: np.ndarray
    precision: int = DEFAULT_PRECISION

    def __post_init__(self) -> None:
        """Raises ValueError if the tables break what the attributes promise."""
        cdfs, sizes, total = self.cdfs, self.sizes, 1 << self.precision
        if not 1 <= self.precision <= MAX_PRECISION:
            raise ValueError(f"precision is {self.precision} bits; the coder takes 1 to {MAX_PRECISION}")
        if cdfs.ndim != 2 or sizes.shape != (len(cdfs),) or self.offsets.shape != (len(cdfs),) or not len(cdfs):
            shapes = f"{cdfs.shape}, {sizes.shape} and {self.offsets.shape}"
            raise ValueError(f"tables of shapes {shapes} do not belong together")
        if sizes.min() < 1 or sizes.max() >= min(cdfs.shape[1], MAX_SLOTS):
            raise ValueError(f"table sizes {sizes.min()} to {sizes.max()} do not fit rows of {cdfs.shape[1]} entries")
        inside = np.arange(cdfs.shape[1] - 1) < sizes[:, None]
        steps = np.diff(cdfs.astype(np.int64), axis=1)
        if cdfs[:, 0].any() or (steps[inside] < 1).any() or steps[~inside].any() or (cdfs[:, -1] != total).any():
            raise ValueError(f"every table must rise strictly from 0 to {total} within its size")

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The attributes as arrays of int32, each by `name`, a dot and its own name; `of` makes tables of them."""
        return {f"{name}.{f.name}": np.asarray(getattr(self, f.name), np.int32) for f in fields(self)}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], name: str, count: int) -> "CdfTables":
        """The inverse of `arrays`, of tables whose number is known.

        Raises:
            ValueError: they are not there, or not what the attributes promise.
        """
        cdfs, sizes, offsets, precision = (named(arrays, f"{name}.{f.name}") for f in fields(cls))
        if len(sizes) != count:
            raise ValueError(f"the coder's tables '{name}' are {len(sizes)}, not {count}")
        return cls(cdfs, sizes, offsets, int(precision))

    def bits(self, symbols: np.ndarray, indexes: np.ndarray) -> float:
        """Ideal code length, in bits, of symbols under these tables; an escape counts its slot only.

        Args:
            symbols: int [N].
            indexes: int [N], table of each symbol.
        """
        slots = np.asarray(symbols, np.int64) - self.offsets[indexes]
        escape = self.sizes[indexes] - 1
        slots = np.where((slots < 0) | (slots > escape), escape, slots)
        frequencies = self.cdfs[indexes, slots + 1] - self.cdfs[indexes, slots]
        return float((self.precision - np.log2(frequencies)).sum())


def named(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """One of a coder's arrays of integers. Raises ValueError: there is none of that name."""
    if name not in arrays or not np.issubdtype(arrays[name].dtype, np.integer):
        raise ValueError(f"the coder's tables hold no integers '{name}': they are of another version")
    return arrays[name]


def gaussian_tables(scales: np.ndarray, precision: int = DEFAULT_PRECISION, tail_mass: float = 2.0**-22) -> CdfTables:
    """Tables of zero-mean Gaussians integrated over unit intervals around each integer.

    Args:
        scales: float [T], standard deviations in quantisation steps, positive.
        precision: bits.
        tail_mass: probability left to the escape slot; it sets how far each alphabet reaches on both sides. Beyond 40
            symbols no alphabet reaches farther than 2**-12 asks for.

    Raises:
        ValueError: on scales or a tail mass outside their range, or alphabets that 2**precision cannot hold.

    Reference: the discretised Gaussian of Balle et al. 2018 (arXiv 1802.01436, eq. 6).
    """
    scales = np.asarray(scales, np.float64)
    if scales.ndim != 1 or not scales.size or not np.isfinite(scales).all() or scales.min() <= 0:
        raise ValueError("scales must be a non-empty list of positive numbers")
    if not 0 < tail_mass < 1:
        raise ValueError(f"tail_mass is {tail_mass}; it must lie between 0 and 1")
    masses = tf.constant([tail_mass, max(tail_mass, _WIDE_TAIL_MASS)], tf.float64)
    reach, wide_reach = -tf.math.ndtri(masses / 2).numpy()
    near, wide = np.ceil(scales * reach - 0.5), np.ceil(scales * wide_reach - 0.5)
    least = np.where(scales < _CERTAIN_SCALE, _CERTAIN_REACH, _LEAST_REACH)
    half = np.maximum(np.minimum(near, np.maximum(wide, _WIDE)), least).astype(np.int64)
    width = int(half.max())
    edges = (np.arange(width + 1) + 0.5) / scales[:, None]
    upper = 0.5 * tf.math.erfc(edges * np.sqrt(0.5)).numpy()  # mass above each edge; exact in the tails
    centre = 1 - 2 * upper[:, :1]
    side = np.where(np.arange(1, width + 1) <= half[:, None], upper[:, :-1] - upper[:, 1:], 0)
    pmfs = [np.concatenate([side[t, : half[t]][::-1], centre[t], side[t, : half[t]]]) for t in range(len(scales))]
    overflow = 2 * upper[np.arange(len(scales)), half]
    return tables_from_pmfs(pmfs, -half, overflow, precision)


def tables_from_pmfs(
    pmfs: Sequence[np.ndarray], offsets: np.ndarray, overflow: np.ndarray, precision: int = DEFAULT_PRECISION
) -> CdfTables:
    """Tables of given distributions.

    Args:
        pmfs: T arrays, float [S_t], probability of each symbol of alphabet t, from its smallest symbol on.
        offsets: int [T], the smallest symbol of each alphabet.
        overflow: float [T], probability of a symbol outside the alphabet.
        precision: bits.

    Raises:
        ValueError: if an alphabet has more slots than 2**precision, or a probability is negative or not finite.
    """
    sizes = np.array([len(pmf) + 1 for pmf in pmfs], np.int32)
    if not len(sizes) or not len(sizes) == len(offsets) == len(overflow):
        raise ValueError("one offset and one overflow mass belong to each distribution, and one at least is needed")
    if sizes.max() > 1 << precision:
        raise ValueError(f"an alphabet of {sizes.max()} slots does not fit a precision of {precision} bits")
    rows = np.zeros((len(sizes), sizes.max()))
    for row, pmf, mass in zip(rows, pmfs, overflow, strict=True):
        row[: len(pmf) + 1] = [*pmf, mass]
    if not np.isfinite(rows).all() or rows.min() < 0 or (rows.sum(1) <= 0).any():
        raise ValueError("probabilities must be finite, not negative, and not all zero")
    frequencies = quantise(rows, sizes, precision)
    cdfs = np.zeros((len(sizes), sizes.max() + 1), np.int32)
    np.cumsum(frequencies, axis=1, out=cdfs[:, 1:])
    return CdfTables(cdfs, sizes, np.asarray(offsets, np.int32), precision)


def quantise(rows: np.ndarray, sizes: np.ndarray, precision: int) -> np.ndarray:
    """Integer frequencies that sum to 2**precision and cost the fewest bits.

    Raising a frequency f to f + 1 saves p * log((f + 1) / f); the best table takes every raise that saves more than
    some price. It is found by bisection for all tables at once, and the last few raises go to the dearest slots.

    Args:
        rows: float64 [T, S], probabilities, zero behind each table's size.
        sizes: int [T].
        precision: bits.

    Returns:
        int64 [T, S], at least one in each slot of a table, zero behind it.
    """
    total = 1 << precision
    inside = np.arange(rows.shape[1]) < sizes[:, None]
    share = np.maximum(rows / rows.sum(1, keepdims=True), 1e-30)

    def at(price: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            raised = np.ceil(1 / np.expm1(price[:, None] / share))
        return np.where(inside, np.maximum(raised, 1), 0)

    low, high = np.full(len(rows), -40.0), np.full(len(rows), 5.0)  # natural log of the price
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        dear = at(np.exp(middle)).sum(1) <= total
        low, high = np.where(dear, low, middle), np.where(dear, middle, high)
    frequencies = at(np.exp(high)).astype(np.int64)
    missing = total - frequencies.sum(1)
    saving = np.where(inside, share * np.log1p(1 / np.maximum(frequencies, 1)), -1)
    order = np.argsort(-saving, axis=1, kind="stable")
    for row, count, first in zip(frequencies, missing, order, strict=True):
        while count > 0:
            row[first[:count]] += 1
            count -= min(count, int((row > 0).sum()))
    return frequencies
