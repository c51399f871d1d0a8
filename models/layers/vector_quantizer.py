"""Soft-to-hard assignment of vectors to learned centres, and the entropy of what is assigned (arXiv:1704.00648).

    d_j = ||z - c_j||^2,   phi_j = softmax_j(-sigma d_j),   soft value sum_j phi_j c_j,   hard value c_argmin d_j

The soft value becomes the hard one as sigma grows. One layer for activations and for weights: a bottleneck's vectors,
symbols of a context model, kernels of a network with few distinct weights.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

MODES = ("anneal", "ste", "hard")
LARGEST_SIGMA = 1e6
_LEAST = 1e-9  # probability below which no centre is taken to be
_CHUNK = 1 << 14  # vectors whose distances are held at a time outside of training


class Assigned(NamedTuple):
    """What becomes of values.

    Attributes:
      value: what is worked on with, in the shape of the values, float32. symbols: the centre of each vector, int32
        [..., n]. soft_bits: the soft entropy, bits a vector, whose gradient reaches centres and values; scalar.
      hard_bits: bits a vector that the symbols take under `usage`, scalar.
    """

    value: keras.KerasTensor
    symbols: keras.KerasTensor
    soft_bits: keras.KerasTensor
    hard_bits: keras.KerasTensor


@keras.saving.register_keras_serializable("kompakt")
class VectorQuantizer(keras.layers.Layer):
    """Assigns vectors to the nearest of L centres, softly where it is trained so.

    The last axis of what it is given, [..., n p], holds n vectors of p numbers. All arithmetic is float32, whatever the
    dtype policy: sigma times a squared distance leaves half precision.

    Variables besides the centres [L, p]: `sigma`, the hardness; `usage` [groups, L], the running histogram of the
    symbols in training; `annealed` [2], how far the schedule of sigma is (`models.training.annealing`).

    Args:
      centres: L. dimension: p.
      mode: what training gives: "anneal", the soft value; "ste", the hard value with the gradient of the soft one
        (arXiv:1801.04260); "hard", the hard value, whose gradient reaches the centres alone. Outside of training the
        value is always the hard one.
      sigma: hardness at first. learned: whether the centres are trained.
      reach: the first centres lie in [-reach, reach], uniformly spaced if p is 1 and drawn uniformly otherwise.
      groups: histograms that are kept apart: n or a divisor of it, vectors i, i + groups, ... of a position share one.
      momentum: of `usage`, 0 for the last batch alone.

    Raises:
      ValueError: unknown mode, or fewer than two centres.
    """

    def __init__(
        self,
        centres: int,
        dimension: int = 1,
        mode: str = "anneal",
        sigma: float = 1.0,
        learned: bool = True,
        reach: float = 2.0,
        groups: int = 1,
        momentum: float = 0.99,
        **kwargs,
    ):
        super().__init__(**kwargs | {"dtype": "float32"})
        if mode not in MODES:
            raise ValueError(f"mode={mode}: not one of {', '.join(MODES)}")
        if centres < 2:
            raise ValueError(f"centres={centres}: must be at least 2")
        self.count, self.dimension, self.mode, self.learned = centres, dimension, mode, learned
        self.first_sigma, self.reach, self.groups, self.momentum = sigma, reach, groups, momentum
        own = {"dtype": "float32", "autocast": False}
        self.centres = self.add_weight(
            name="centres", shape=(centres, dimension), initializer=self._first_centres, trainable=learned, **own
        )
        self.sigma = self.add_weight(
            name="sigma", shape=(), initializer=keras.initializers.Constant(sigma), trainable=False, **own
        )
        self.usage = self.add_weight(
            name="usage", shape=(groups, centres), initializer=keras.initializers.Constant(1.0 / centres),
            trainable=False, aggregation="mean", **own,
        )  # fmt: skip
        self.annealed = self.add_weight(name="annealed", shape=(2,), initializer="zeros", trainable=False, **own)
        self.built = True

    def _first_centres(self, shape, dtype="float32"):
        if self.dimension == 1:
            return ops.cast(ops.reshape(ops.linspace(-self.reach, self.reach, self.count), shape), dtype)
        return keras.initializers.RandomUniform(-self.reach, self.reach)(shape, dtype)

    def call(self, x, training=None):
        """[..., n p] -> values of the same shape, float32."""
        return self.assign(x, bool(training)).value

    def assign(self, x, training: bool, mode: str | None = None) -> Assigned:
        """Quantizes values [..., n p]; in training `usage` moves.

        Args:
          mode: what the value is (None: in training the layer's own, otherwise "hard").
        """
        mode = mode or (self.mode if training else "hard")
        vectors = self.vectors(x)
        distances = self._distances(vectors)
        soft = self._phi(distances) if training or mode != "hard" else None
        flat = ops.argmin(ops.stop_gradient(distances), axis=-1)
        hard = ops.take(self.centres, flat, axis=0)
        value = hard
        if mode != "hard":
            value = ops.matmul(soft, self.centres)
            if mode == "ste":
                value = value + ops.stop_gradient(hard - value)
        counts = self._histogram(flat)
        if training:
            self.usage.assign(ops.stop_gradient(self.momentum * self.usage + (1.0 - self.momentum) * counts))
        lengths = self.lengths()
        q = self._by_group(soft) if soft is not None else counts
        symbols = ops.reshape(ops.cast(flat, "int32"), (*ops.shape(x)[:-1], x.shape[-1] // self.dimension))
        return Assigned(
            ops.reshape(value, ops.shape(x)), symbols, ops.mean(ops.sum(q * lengths, -1)),
            ops.mean(ops.sum(counts * lengths, -1)),
        )  # fmt: skip

    def vectors(self, x):
        """[..., n p] -> [m, p] float32."""
        return ops.reshape(ops.cast(x, "float32"), (-1, self.dimension))

    def lengths(self):
        """Bits of each symbol under `usage`, a constant: [groups, L] float32.

        The sum over symbols of soft shares times these is an upper bound of what an adaptive coder takes, and its
        gradient goes through the shares alone.
        """
        p = ops.maximum(ops.convert_to_tensor(self.usage), _LEAST)
        return ops.stop_gradient(-ops.log2(p / ops.sum(p, -1, keepdims=True)))

    def symbols(self, x):
        """The nearest centre of each vector, [..., n p] -> int32 [..., n], a chunk of distances at a time."""
        vectors = ops.stop_gradient(self.vectors(x))
        shape = (*ops.shape(x)[:-1], x.shape[-1] // self.dimension)
        count = ops.shape(vectors)[0]
        if isinstance(count, int) and count <= _CHUNK:
            found = ops.argmin(self._distances(vectors), axis=-1)
        else:
            missing = (-count) % _CHUNK
            padded = ops.concatenate([vectors, ops.zeros((missing, self.dimension), "float32")], 0)
            chunks = ops.reshape(padded, (-1, _CHUNK, self.dimension))
            found = ops.map(lambda chunk: ops.cast(ops.argmin(self._distances(chunk), axis=-1), "int32"), chunks)
            found = ops.reshape(found, (-1,))[:count]
        return ops.reshape(ops.cast(found, "int32"), shape)

    def values(self, symbols):
        """The centres of symbols, integers [..., n] -> [..., n p] float32: the inverse of `symbols`."""
        found = ops.take(self.centres, symbols, axis=0)
        return ops.reshape(found, (*ops.shape(symbols)[:-1], symbols.shape[-1] * self.dimension))

    def _distances(self, vectors):
        """[m, p] -> squared distances less that of the nearest centre, [m, L] float32.

        Differences are squared, not expanded: what is lost to cancellation otherwise, a large sigma brings back. The
        least one is taken off first, so that no exponential overflows and not all vanish.
        """
        distances = 0.0
        for axis in range(self.dimension):
            distances = distances + ops.square(vectors[:, axis : axis + 1] - self.centres[:, axis])
        return distances - ops.stop_gradient(ops.min(distances, axis=-1, keepdims=True))

    def _phi(self, distances):
        """Soft shares [m, L] of distances."""
        return ops.softmax(-self.sigma * distances, axis=-1)

    def _by_group(self, shares):
        """Means over the vectors of each group, [m, L] -> [groups, L]."""
        return ops.mean(ops.reshape(shares, (-1, self.groups, self.count)), axis=0)

    def _histogram(self, flat):
        """Shares of the symbols [m] in each group, [groups, L] float32."""
        rows = ops.reshape(ops.cast(flat, "int32"), (-1, self.groups))
        ids = ops.reshape(rows + self.count * ops.arange(self.groups, dtype="int32"), (-1,))
        ones = ops.ones_like(ids, dtype="float32")
        counts = ops.reshape(ops.segment_sum(ones, ids, self.groups * self.count), (self.groups, self.count))
        return counts / ops.maximum(ops.sum(counts, -1, keepdims=True), 1.0)

    def start(self, samples: np.ndarray, softness: float = 1.0, seed: int = 0) -> None:
        """Takes centres by k-means from samples [..., n p], sigma from their spread and `usage` from their symbols.

        Args:
          softness: sigma becomes its inverse over the mean squared distance to the nearest centre.
        """
        samples = np.asarray(samples, np.float32)
        flat = samples.reshape(-1, self.dimension)
        centres = kmeans(flat, self.count, seed)
        nearest = assigned(flat, centres)
        spread = float(np.mean(np.sum(np.square(flat - centres[nearest]), -1)))
        self.centres.assign(centres)
        self.first_sigma = float(min(1.0 / max(softness * spread, 1.0 / LARGEST_SIGMA), LARGEST_SIGMA))
        self.sigma.assign(self.first_sigma)
        self.usage.assign(np.stack([
            np.bincount(nearest.reshape(-1, self.groups)[:, g], minlength=self.count) for g in range(self.groups)
        ]) * (self.groups / len(flat)))  # fmt: skip

    def reseed(self, samples: np.ndarray, seed: int = 0) -> int:
        """Puts centres that are hardly ever chosen (below 1e-4 / L of the vectors) at samples [..., n p], drawn anew.

        A centre that is chosen by none has no gradient once sigma is large. Returns how many there were.
        """
        usage = np.array(self.usage)
        dead = np.flatnonzero(usage.mean(0) < 1e-4 / self.count)
        if not len(dead):
            return 0
        flat = np.asarray(samples, np.float32).reshape(-1, self.dimension)
        drawn = np.random.default_rng(seed).choice(len(flat), len(dead), replace=len(flat) < len(dead))
        centres = np.array(self.centres)
        centres[dead] = flat[drawn]
        usage[:, dead] = 1.0 / len(flat)
        self.centres.assign(centres)
        self.usage.assign(usage / usage.sum(-1, keepdims=True))
        return len(dead)

    def get_config(self):
        return super().get_config() | {
            "centres": self.count, "dimension": self.dimension, "mode": self.mode, "sigma": self.first_sigma,
            "learned": self.learned, "reach": self.reach, "groups": self.groups, "momentum": self.momentum,
        }  # fmt: skip


def assigned(samples: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest centre [L, p] of each sample [m, p]: int64 [m], the first one of equally near ones."""
    if centres.shape[1] == 1:
        order = np.argsort(centres[:, 0], kind="stable")
        middles = (centres[order][1:, 0] + centres[order][:-1, 0]) / 2
        return order[np.searchsorted(middles, samples[:, 0])]
    found = np.empty(len(samples), np.int64)
    for begin in range(0, len(samples), _CHUNK):
        part = samples[begin : begin + _CHUNK]
        found[begin : begin + _CHUNK] = np.argmin((centres**2).sum(1) - 2 * part @ centres.T, axis=1)
    return found


def kmeans(samples: np.ndarray, count: int, seed: int = 0, rounds: int = 50) -> np.ndarray:
    """Lloyd's algorithm: samples [m, p] float32 -> centres [count, p] float32, sorted if p is 1.

    It starts from evenly spaced quantiles of scalars, and from k-means++ of vectors. A centre without samples goes to
    the sample that is farthest from its own.

    Raises:
      ValueError: no samples, or one that is not finite.
    """
    samples = np.asarray(samples, np.float32)
    if not len(samples) or not np.isfinite(samples).all():
        raise ValueError(f"k-means takes finite samples, not {len(samples)} that are not all")
    rng = np.random.default_rng(seed)
    centres = _first(samples, count, rng)
    before = None
    for _ in range(rounds):
        nearest = assigned(samples, centres)
        if before is not None and (nearest == before).all():
            break
        before = nearest
        counts = np.bincount(nearest, minlength=count)
        sums = np.stack([np.bincount(nearest, samples[:, axis], count) for axis in range(samples.shape[1])], 1)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres).astype(np.float32)
        if (empty := np.flatnonzero(counts == 0)).size:
            far = np.square(samples - centres[nearest]).sum(1)
            some = min(len(empty), len(samples))
            centres[empty[:some]] = samples[np.argpartition(far, -some)[-some:]]
    return np.sort(centres, axis=0) if samples.shape[1] == 1 else centres


def _first(samples: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    if samples.shape[1] == 1:
        # Half by quantiles, half evenly spaced: rare large values count as much in the error as many small ones.
        half = count // 2
        spread = np.linspace(samples.min(), samples.max(), half + 2)[1:-1] if half else np.empty(0)
        return np.sort(np.r_[np.quantile(samples, (np.arange(count - half) + 0.5) / (count - half)), spread])[
            :, None
        ].astype(np.float32)
    some = samples[rng.permutation(len(samples))[: max(20 * count, 1000)]]
    centres = some[:1]
    distances = np.square(some - centres).sum(1)
    for _ in range(count - 1):
        total = distances.sum(dtype=np.float64)
        weights = distances / total if total > 0 else np.full(len(some), 1.0 / len(some))
        chosen = some[np.searchsorted(np.cumsum(weights), rng.random(), side="right").clip(max=len(some) - 1)]
        centres = np.concatenate([centres, chosen[None]])
        distances = np.minimum(distances, np.square(some - chosen).sum(1))
    return centres.astype(np.float32)
