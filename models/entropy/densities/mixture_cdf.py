"""Mixtures in integers: what the coder sees of `mixture` and `logistic`, evaluated only where a symbol is looked for.

The cumulative of a mixture at a symbol is a weighted sum of look-ups in one table of its components' distribution, the
normal or the logistic one:

    F(x) = sum_k weight_k * table[((256 x - 128 - mean_k) * inverse_k) >> 16]

with every quantity an integer, so F is monotone and the same on every machine, and nothing is stored for symbols that
nobody asks for. A latent is coded in two steps: whether it is the symbol `centre`, a comparison with one number, and if
not, which other one, under F without the centre's mass. Most latents end with the first, cheap step; only the rest is
searched for, in about log2(alphabet) evaluations. `bounded_cdf` has the single step for alphabets with ends.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import expit, ndtr

from models.entropy.densities import gaussian, logistic
from models.entropy.densities.tables import named
from models.entropy.lanes import LookUps, bit_and, const, shift_left, shift_right

PRECISION = 15  # bits of both steps' probabilities
FEWEST_BITS = -math.log2(1 - 2.0**-PRECISION)  # that a symbol takes
MEAN_BITS = 8  # fraction bits of means
LOGIT_BITS = 8  # fraction bits of the weights' natural logarithms
SUBLEVELS = 4  # scales between two of `gaussian.level_scales`
MOST_BITS = 11  # alphabets have at most 2^11 slots; what lies beyond is escaped
_TURNS = (3, 4, 5, 6, 8, MOST_BITS)  # lengths of the searches; large alphabets are rare, and each length is a loop
Z_HALF = 1 << 13  # entries of the cumulative's table each way
CDF_BITS, WEIGHT_BITS, INVERSE_BITS = 24, 14, 16
_EXP_BITS, _EXP_SIZE = 20, 1 << 12  # weights: 256 entries a factor e, down to e^-16
SHARE_BITS = 62 - PRECISION  # fraction bits of the scales from mixtures to what the second step codes
_LIGHT = 10  # components lighter than 2^-10 do not widen the alphabet
_LEVELS = (gaussian.LEVELS - 1) * SUBLEVELS + 1
_TABLES = {  # entries, smallest, largest
    "cumulative": (2 * Z_HALF, 0, 1 << CDF_BITS),  # of the distribution of scale one, rising
    "inverse": (_LEVELS, 1, 1 << 22),  # of each level's scale
    "reach": (_LEVELS, 1, 1 << MOST_BITS),  # of each level's alphabet, symbols
    "exp": (_EXP_SIZE, 0, 1 << _EXP_BITS),
    "bits": ((1 << MOST_BITS) + 1, 0, MOST_BITS),  # that so many slots take
}


class Distribution(NamedTuple):
    """What a mixture's components are.

    Attributes:
      cumulative: of scale one, float64 array -> float64.
      scales: of the first and the last level.
      z_bits: log2 of the table's entries a unit of scale; it ends Z_HALF entries from zero.
      reach: units of scale that an alphabet without ends covers on both sides.
      prefix, table: how the names of the integer tables begin, and the name of the cumulative's.
    """

    cumulative: Callable[[np.ndarray], np.ndarray]
    scales: tuple[float, float]
    z_bits: int
    reach: float
    prefix: str
    table: str

    def name(self, table: str) -> str:
        """Under which a model keeps a table of `_TABLES`."""
        return f"{self.prefix}.{self.table if table == 'cumulative' else table}"

    @property
    def unit(self) -> int:
        """The inverse of scale one as the table `inverse` has it."""
        return 1 << self.z_bits - MEAN_BITS + INVERSE_BITS


NORMAL = Distribution(ndtr, (gaussian.MIN_SCALE, gaussian.MAX_SCALE), 10, 4.2, "mixture", "normal")
LOGISTIC = Distribution(expit, (logistic.MIN_SCALE, logistic.MAX_SCALE), 9, 7.0, "logistic", "cumulative")


class Mixtures(NamedTuple):
    """N distributions in integers, int64; the first four are [K, N], the others [N]."""

    means: tf.Tensor  # in 2^-MEAN_BITS
    inverses: tf.Tensor  # of standard deviations, in 2^-18
    weights: tf.Tensor  # sum to about 2^14
    reaches: tf.Tensor  # symbols
    centres: tf.Tensor  # the symbol of the first step
    shares: tf.Tensor  # its probability in 2^-PRECISION, neither 0 nor the whole
    masses: tf.Tensor  # F's rise over the centre
    totals: tf.Tensor  # F's rise over all other symbols


def integer_tables(distribution: Distribution = NORMAL) -> dict[str, np.ndarray]:
    """The tables that `MixtureCdf` looks up in, int64, by name: the same for all models, and derived in floats."""
    levels, (least, most) = np.arange(_LEVELS) / SUBLEVELS, distribution.scales
    scales = least * (most / least) ** (levels / (gaussian.LEVELS - 1))
    z = (np.arange(-Z_HALF, Z_HALF) + 0.5) / (1 << distribution.z_bits)
    sizes = np.arange(1, (1 << MOST_BITS) + 1)
    tables = {
        "cumulative": np.round(distribution.cumulative(z) * (1 << CDF_BITS)),
        "inverse": np.round(distribution.unit / scales),
        "reach": np.ceil(distribution.reach * scales + 0.5),
        "exp": np.round(np.exp(-np.arange(_EXP_SIZE) / 256) * (1 << _EXP_BITS)),
        "bits": np.ceil(np.log2(np.append(1, sizes))),
    }
    return {distribution.name(name): values.astype(np.int64) for name, values in tables.items()}


class MixtureCdf(tf.Module):
    """Makes `Mixtures` of a network's outputs and evaluates them."""

    def __init__(
        self,
        tables: Mapping[str, np.ndarray] | None = None,
        distribution: Distribution = NORMAL,
        name: str = "mixture_cdf",
    ):
        """Args:
        tables: what `integer_tables` gave for the distribution, here or elsewhere; None: gives now.
        distribution: of the components.
        name: of the module.

        Raises ValueError: they are not such tables.
        """
        super().__init__(name=name)
        self.distribution = distribution
        tables = integer_tables(distribution) if tables is None else tables
        with tf.init_scope():
            self._cumulative, self._inverse, self._reach, self._exp, self._bits = (
                self._stored(named(tables, distribution.name(table)), table) for table in _TABLES
            )

    def _stored(self, values: np.ndarray, table: str) -> tf.Variable:
        (size, least, most), name = _TABLES[table], self.distribution.name(table).partition(".")[2]
        good = values.shape == (size,) and values.min() >= least and values.max() <= most
        if not good or (table == "cumulative" and (np.diff(values) < 0).any()):
            raise ValueError(f"the coder's table '{name}' is not {size} integers from {least} to {most}")
        return tf.Variable(values.astype(np.int64), trainable=False, name=name)

    def mixtures(self, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> Mixtures:
        """The distributions of a network's outputs.

        Args:
          means: int64 [K, N], in 2^-MEAN_BITS. levels: int64 [K, N], in 1/SUBLEVELS, clipped to what there is.
          logits: int64 [K, N], natural log of the weights, in 2^-LOGIT_BITS.
        """
        levels = self._clipped(levels)
        inverses, reaches = (self._look_up(table, levels) for table in (self._inverse, self._reach))
        weights = self.weights(logits)
        centres = self._centres(means, inverses, weights)
        found = Mixtures(means, inverses, weights, reaches, centres, centres, centres, centres)
        masses = self.cumulative(found, centres + 1) - self.cumulative(found, centres)
        whole = shift_left(tf.reduce_sum(weights, 0), const(CDF_BITS))
        shares = divide(shift_left(masses, const(PRECISION)), whole)
        shares = tf.clip_by_value(shares, const(1), const((1 << PRECISION) - 1))
        return found._replace(shares=shares, masses=masses, totals=tf.maximum(whole - masses, 1))

    def _clipped(self, levels: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(levels, 0, self._inverse.shape[0] - 1)

    def inverses(self, levels: tf.Tensor) -> tf.Tensor:
        """Of the levels' scales as `Mixtures` has them, int64, any shape."""
        return self._look_up(self._inverse, self._clipped(levels))

    def weights(self, logits: tf.Tensor) -> tf.Tensor:
        """What int64 [K, N] logits stand for: at least zero, for each of N about 2^WEIGHT_BITS in all."""
        below = tf.minimum(tf.reduce_max(logits, 0) - logits, _EXP_SIZE - 1)
        powers = self._look_up(self._exp, below)
        return divide(shift_left(powers, const(WEIGHT_BITS)), tf.reduce_sum(powers, 0))

    def _centres(self, means: tf.Tensor, inverses: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The symbol nearest to the mean of the component with the highest peak, int64 [N]; any would decode."""
        peaks = tf.unstack(weights * tf.minimum(inverses, int(self.distribution.unit / 0.4)))
        nearest = tf.unstack(shift_right(means + (1 << MEAN_BITS - 1), const(MEAN_BITS)))
        highest, centres = peaks[0], nearest[0]
        for peak, symbol in zip(peaks[1:], nearest[1:], strict=True):
            centres = tf.where(peak > highest, symbol, centres)
            highest = tf.maximum(peak, highest)
        return centres

    def _look_up(self, table: tf.Variable, places: tf.Tensor) -> tf.Tensor:
        return tf.gather(table.read_value(), places)

    def cumulative(self, mixtures: Mixtures, symbols: tf.Tensor) -> tf.Tensor:
        """F at the lower edge of symbols, int64 [N]; monotone in each."""
        places = shift_left(symbols, const(MEAN_BITS)) - (1 << MEAN_BITS - 1) - mixtures.means
        z = shift_right(places * mixtures.inverses, const(INVERSE_BITS)) + Z_HALF
        return self.rise(z, mixtures.weights)

    def rise(self, z: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """F at entries z of the cumulative's table, which may lie outside, int64 [K, N] -> [N]."""
        z = tf.raw_ops.ClipByValue(t=z, clip_value_min=const(0), clip_value_max=const(2 * Z_HALF - 1))
        return tf.reduce_sum(tf.gather(self._cumulative, z) * weights, 0)

    def alphabets(self, mixtures: Mixtures) -> tuple[tf.Tensor, tf.Tensor]:
        """The second step's alphabets: smallest symbol, and log2 of the number of slots, int64 [N] each.

        The last slot is the escape.
        """
        whole = shift_right(mixtures.means, const(MEAN_BITS))
        light = mixtures.weights < 1 << WEIGHT_BITS - _LIGHT
        centres = mixtures.centres
        low = tf.reduce_min(tf.where(light, centres, whole - mixtures.reaches), 0)
        high = tf.reduce_max(tf.where(light, centres, whole + 1 + mixtures.reaches), 0)
        low, high = tf.minimum(low, centres - 1), tf.maximum(high, centres + 1)
        needed = high - low + 2
        fits = needed <= 1 << MOST_BITS
        bits = self._look_up(self._bits, tf.minimum(needed, 1 << MOST_BITS))
        return tf.where(fits, low, centres - (1 << MOST_BITS - 1)), bits

    @staticmethod
    def first_step(states: tf.Tensor, shares: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A `look_up` of `lanes.decode_rows`: keeps 0 where states [A] hold the centre, 1 where another symbol."""
        numbers, begun = bit_and(states, (1 << PRECISION) - 1), shift_right(states, const(PRECISION)) * shares
        other = numbers >= shares
        states = tf.raw_ops.Select(condition=other, x=states - begun - shares, y=begun + numbers)
        return states, tf.cast(other, tf.int64)

    def search_fields(self, mixtures: Mixtures, low: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
        """What `second_cdf` must know: int64 [3 K + 5, N], for the look-up of a row of symbols."""
        places = shift_left(low, const(MEAN_BITS)) - (1 << MEAN_BITS - 1) - mixtures.means
        origins = places * mixtures.inverses + (Z_HALF << INVERSE_BITS)
        pitches = shift_left(mixtures.inverses, const(MEAN_BITS))
        base = self.cumulative(mixtures, low)
        shares = (1 << PRECISION) - shift_left(tf.ones_like(bits), bits)
        scales = divide(shift_left(shares, const(SHARE_BITS)), mixtures.totals)
        single = tf.stack([base, base + mixtures.masses, mixtures.centres - low, scales, bits])
        return tf.concat([origins, pitches, mixtures.weights, single], 0)

    def second_cdf(self, fields: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
        """The cumulative of the second step as a function of slots, int64 [A] -> [A], in 2^-PRECISION.

        It rises by one at least from slot to slot up to the whole at 2^bits and beyond. The centre's slot has no mass
        of its own.
        """
        sizes = shift_left(tf.ones_like(fields[-1]), fields[-1])
        inside = self._cdf_inside(fields)
        return lambda slots: tf.where(slots < sizes, inside(slots), const(1 << PRECISION))

    def _cdf_inside(self, fields: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
        """`second_cdf` of slots below 2^bits alone: the search runs through it for every symbol several times."""
        k = (fields.shape[0] - 5) // 3
        origins, pitches, weights = fields[:k], fields[k : 2 * k], fields[2 * k : 3 * k]
        below, above, centre, scale, _ = tf.unstack(fields[3 * k :], num=5)

        def cdf(slots):
            rise = self.rise(shift_right(origins + pitches * slots, const(INVERSE_BITS)), weights)
            rise -= tf.raw_ops.Select(condition=slots > centre, x=above, y=below)
            return shift_right(rise * scale, const(SHARE_BITS)) + slots

        return cdf

    def searches(self) -> LookUps:
        """How `lanes.decode_rows` finds the slots of fields sorted by the size of their alphabets."""
        each = tuple(functools.partial(self.second_slots, turns=turns) for turns in _TURNS)

        def chosen(rows):
            bits = tf.reduce_max(rows[:, :, -1], [1, 2])
            return tf.reduce_sum(tf.cast(bits[:, None] > _TURNS[:-1], tf.int64), 1)

        return LookUps(each, chosen)

    def second_slots(self, states: tf.Tensor, fields: tf.Tensor, turns: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Binary search of the slots that states [A] hold, in alphabets of at most 2^turns; keeps the slots."""
        numbers, select = bit_and(states, (1 << PRECISION) - 1), tf.raw_ops.Select
        cdf, slots, starts = self._cdf_inside(fields), tf.zeros_like(states), tf.zeros_like(states)
        ends, steps = starts + (1 << PRECISION), shift_left(tf.ones_like(states), fields[-1])
        for _ in range(turns):
            # Where an alphabet is smaller than its row's largest the last steps are zero, and nothing changes.
            steps = shift_right(steps, const(1))
            candidates = slots + steps
            edges = cdf(candidates)
            reached = edges <= numbers
            slots = select(condition=reached, x=candidates, y=slots)
            starts = select(condition=reached, x=edges, y=starts)
            ends = select(condition=reached, x=ends, y=edges)
        return (ends - starts) * shift_right(states, const(PRECISION)) + numbers - starts, slots


def divide(values: tf.Tensor, by: tf.Tensor) -> tf.Tensor:
    """Quotient, rounded down, of numbers that are not negative; `//` would look for signs as well."""
    return tf.raw_ops.TruncateDiv(x=values, y=by)
