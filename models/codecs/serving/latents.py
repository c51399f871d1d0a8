"""Latents to strings and back, as they are served: integer symbols, integer tables, exact parameters.

A latent coder is made from a trained model and integer tables, which `tables_of` derives from the model: in floats, so
that another machine may come to others, and therefore once. `encode` takes latents [1, h, w, M] float32 and gives the
sections of the stream; `decode` gives the same latents, bit for bit, on every machine. Both go through the latents
chunk by chunk, so that of a large picture only the latents themselves are held whole, and once: `encode` writes the
decoded ones over those that it was given, unless its caller holds these. Where `chooses` is true, it also takes what
chooses the integers in place of `quantise`.
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from models.codecs.serving.hyper_bands import HyperBands
from models.codecs.serving.picture_files import in_tiles
from models.entropy.coder.bit_fields import require
from models.entropy.coder.mixture_coder import MixtureCoder
from models.entropy.coder.rans import RansCoder
from models.entropy.coder.rans_stream import join_chunks, numbers_of, split_chunks
from models.entropy.densities import gaussian, mixture
from models.entropy.densities.mixture_cdf import FEWEST_BITS, LOGIT_BITS, MEAN_BITS, SUBLEVELS, integer_tables
from models.entropy.densities.tables import CdfTables, gaussian_tables, tables_from_pmfs
from models.entropy.in_place import overwrite
from models.entropy.lanes import const, shift_right
from models.layers import fixed_point
from models.layers.hyper import STRIDE

# What a squared error of one quantisation step is worth in bits. By high-rate theory 6 / ln 2 = 8.7, where the step is
# optimal for rounding; whole curves are best at several times that (docs/decisions.md).
ERROR_BITS = 60.0
# What integers are coded for latents, any shape, less their means, given what integers of that shape would cost each.
Choice = Callable[[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]], tf.Tensor]
Tables = Mapping[str, np.ndarray]  # all integers that a latent coder looks up, by name
Room = tuple[tf.Tensor | int, tf.Tensor | int]  # bytes left free before and behind what is decoded, int32 scalars
HYPER_TILE, HYPER_HALO = 16, 2  # hyper-latents: tiles of 64 latents, 8 around; the hyper-analysis reaches 7
_ROUNDING = 0.8  # share of a symbol's ideal bits that the coder's rounding leaves for sure: each loses below 2^-16 bits


def factorized_tables(prior) -> CdfTables:
    """The tables of a trained FactorizedPrior; table c is channel c."""
    pmfs, offsets = prior.pmf()
    overflow = np.array([max(1.0 - p.sum(), 2.0**-20) for p in pmfs])
    return tables_from_pmfs(pmfs, offsets, overflow)


def fewest_bits_of(tables: CdfTables) -> np.ndarray:
    """Bits of the cheapest symbol of each table: float64 [T], above zero because every table has two slots or more."""
    return tables.precision - np.log2(np.diff(tables.cdfs.astype(np.int64), axis=1).max(axis=1))


def believed_sides(section: tf.Tensor, height: tf.Tensor, width: tf.Tensor, bits: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width again, unless latents of that size cannot fit into the section.

    A header that lies about the picture's size is found out before its size sets how much memory is reserved.

    Args:
      section: string scalar.
      height, width: int32 scalars, positions.
      bits: what the cheapest symbols of one position take.

    Raises:
      tf.errors.InvalidArgumentError: it is too short.
    """
    needed = tf.cast(height, tf.float64) * tf.cast(width, tf.float64) * (bits * _ROUNDING)
    enough = needed <= 8.0 * tf.cast(tf.strings.length(section), tf.float64)
    with tf.control_dependencies([require(enough, "damaged stream: it is too short for a picture of its size")]):
        return tf.identity(height), tf.identity(width)


def channel_indexes(height: tf.Tensor, width: tf.Tensor, channels: int) -> tf.Tensor:
    """Table of every symbol of [h, w, C] in order: int32 [h*w*C]."""
    return tf.tile(tf.range(channels), [height * width])


def to_symbols(values: tf.Tensor) -> tf.Tensor:
    """Rounded values, any shape, to int32 [N]; what no integer holds becomes too large a symbol for the coder."""
    limit = 2.0**30 + 2.0**8
    values = tf.where(tf.math.is_finite(values), values, limit)
    return tf.reshape(tf.cast(tf.clip_by_value(tf.round(values), -limit, limit), tf.int32), [-1])


def quantise(values: tf.Tensor, bits: Callable[[tf.Tensor], tf.Tensor], error_bits: float | None = None) -> tf.Tensor:
    """Rounds to the nearest integer or to the next one on the other side, whichever costs less in all.

    Rate-distortion optimised quantisation: the encoder's affair alone, decoders do not change. Symbols that are dear
    and hardly nearer are not worth their bits, which uniform noise in training does not teach.

    Args:
      values: [...] float32.
      bits: what integers of the same shape would cost each.
      error_bits: worth of a squared error of one, in bits; None: ERROR_BITS.
    """
    worth = ERROR_BITS if error_bits is None else error_bits
    nearest = tf.round(values)
    other = nearest + tf.where(values < nearest, -1.0, 1.0)

    def cost(integers):
        return bits(integers) + worth * tf.square(values - integers)

    return tf.where(cost(other) < cost(nearest), other, nearest)


def unflatten(symbols: tf.Tensor, height: tf.Tensor, width: tf.Tensor, channels: int) -> tf.Tensor:
    """int32 [height*width*channels] to float32 [1, height, width, channels].

    The number of channels stays a static one: Keras would have XLA compile a convolution of unknown depth.
    """
    return tf.cast(tf.reshape(symbols, [1, height, width, channels]), tf.float32)


class FactorizedLatents(tf.Module):
    """One section: every latent by its channel's table."""

    section_count, chooses = 1, False

    @staticmethod
    def tables_of(model) -> Tables:
        """What the constructor takes, derived from a trained codec with `prior`."""
        return factorized_tables(model.prior).arrays("prior")

    def __init__(self, model, tables: Tables):
        super().__init__(name="latents")
        self.model, self.channels = model, model.config.latents
        prior = CdfTables.of(tables, "prior", self.channels)
        self.coder, self.fewest_bits = RansCoder(prior), float(fewest_bits_of(prior).sum())

    def encode(self, y: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Returns (sections, decoded latents) of y [1, h, w, M] float32."""
        shape, size = tf.shape(y), tf.size(y)

        def one(begin, end, flat):
            symbols = to_symbols(flat[begin:end])
            string = self.coder.encode_chunk(symbols, tf.range(begin, end) % self.channels)
            return string, overwrite(flat, [begin], tf.cast(symbols, tf.float32))

        section, latents = join_chunks(one, size, self.coder.chunk, tf.reshape(y, [-1]))
        return [section], tf.reshape(latents, [1, shape[1], shape[2], self.channels])

    def decode(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Returns latents [1, height, width, M] float32."""
        flat = numbers_of(self.decode_flat(sections, height, width, (0, 0)), tf.float32)
        return tf.reshape(flat, [1, height, width, self.channels])

    def decode_flat(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor, room: Room) -> tf.Tensor:
        """Returns the bytes of latents [height * width * M] float32, and the room: uint8 [n]."""
        height, width = believed_sides(sections[0], height, width, self.fewest_bits)
        decode, size = self.coder.decoder(), height * width * self.channels

        def one(part, begin, end, state):
            return tf.cast(decode(part, tf.range(begin, end) % self.channels), tf.float32), state

        return split_chunks(one, sections[0], size, self.coder.chunk, tf.float32, room=room)

    def estimated_bits(self, y: tf.Tensor, y_hat: tf.Tensor) -> tf.Tensor:
        """What the model itself expects the latents to cost: [1] float32 bits."""
        return self.model.prior(y_hat)


class SideInformation(tf.Module):
    """What latent coders share whose first section are hyper-latents.

    Subclasses have a `coder` and say what it codes latents under, in two methods:

    `distributions` takes outputs of the hyper-synthesis, [..., D] float64, fixed-point. It gives means that are taken
    off before, float32 [..., M], or None; and what the coder needs beside the symbols: integers [..., N], N of all
    positions and channels, in raster order.

    `bits` takes integers float32 [..., M] and what the coder needs: bits of each, of that shape.
    """

    section_count, chooses = 2, True

    @staticmethod
    def tables_of(model) -> Tables:
        """What the constructor takes, derived from a trained codec."""
        return factorized_tables(model.prior).arrays("prior")

    def __init__(self, model, tables: Tables, fewest_bits: float):
        """Args:
        model: a trained codec with `prior`, `hyper_latents` and `hyper_synthesis`.
        tables: `tables_of` that codec.
        fewest_bits: what the cheapest symbol of the latents takes.
        """
        super().__init__(name="latents")
        self.model, self.channels, self.hyper_channels = model, model.config.latents, model.config.channels
        fixed_point.check(model.hyper_synthesis)
        prior = CdfTables.of(tables, "prior", self.hyper_channels)
        self.hyper_coder, self.fewest_hyper_bits = RansCoder(prior), float(fewest_bits_of(prior).sum())
        self.fewest_bits = self.channels * fewest_bits

    @functools.cached_property
    def bands(self) -> HyperBands:
        """The exact hyper-synthesis."""
        placed = None if self.model.hyper_offsets is None else lambda: self.model.hyper_offsets
        return HyperBands(self.model.hyper_synthesis, self.coder.chunk // self.channels + 2, placed)

    @functools.cached_property
    def _hyper_tile(self) -> Callable[[tf.Tensor], tf.Tensor]:
        spec = tf.TensorSpec([1, None, None, self.channels], tf.float32)
        return tf.function(self.model.hyper_latents, [spec], autograph=False)

    def hyper_latents(self, y: tf.Tensor) -> tf.Tensor:
        """Hyper-latents before rounding, [1, ceil(h/4), ceil(w/4), N] float32, of latents y [1, h, w, M]."""
        height, width = ((side + STRIDE - 1) // STRIDE for side in tf.unstack(tf.shape(y)[1:3]))
        return in_tiles(
            self._hyper_tile, y[0], height, width, scale_in=STRIDE, scale_out=1, tile=HYPER_TILE, halo=HYPER_HALO,
            channels=self.hyper_channels, dtype=tf.float32,
        )[None]  # fmt: skip

    def encode(
        self, y: tf.Tensor, choose: Choice | None = None, search: Choice | None = None
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Codes latents.

        Args:
          y: [1, h, w, M] float32.
          choose: gives the integers for some positions, [n, M]; None: `quantise`, by the model's `error_bits`.
          search: likewise, but sees all of them at once, [1, h, w, M], in place of `choose`; takes more memory.

        Returns:
          (sections, decoded latents).
        """
        choose = choose or functools.partial(quantise, error_bits=self.model.error_bits)
        shape, size = tf.shape(y), tf.size(y)
        height, width = shape[1], shape[2]
        hyper_section, z_hat = self.encode_hyper(y)
        if search is not None:
            mean, coded = self.distributions(self.bands.whole(z_hat, height, width))
            integers = search(y if mean is None else y - mean, lambda q: self.bits(q, coded))
            y, choose = integers, lambda values, bits: values

        def one(begin, end, state):
            window, flat = state
            first, last, cut = self._positions(begin, end)
            window, parameters = self.bands.window(window, z_hat, height, width, first, last)
            mean, coded = self.distributions(parameters)
            # Of the first position some may be decoded latents already; `cut` leaves them out.
            values = tf.reshape(flat[first * self.channels : last * self.channels], [-1, self.channels])
            if mean is not None and search is None:
                values -= mean
            symbols = to_symbols(choose(values, lambda q: self.bits(q, coded)))[cut]
            string = self.coder.encode_chunk(symbols, *(c[..., cut] for c in coded))
            return string, (window, overwrite(flat, [begin], self._latents(symbols, mean, cut)))

        start = self.bands.start(height), tf.reshape(y, [-1])
        section, (_, latents) = join_chunks(one, size, self.coder.chunk, start)
        return [hyper_section, section], tf.reshape(latents, [1, height, width, self.channels])

    def decode(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Returns latents [1, height, width, M] float32."""
        flat = numbers_of(self.decode_flat(sections, height, width, (0, 0)), tf.float32)
        return tf.reshape(flat, [1, height, width, self.channels])

    def decode_flat(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor, room: Room) -> tf.Tensor:
        """Returns the bytes of latents [height * width * M] float32, and the room: uint8 [n]."""
        z_hat = self.decode_hyper(sections, height, width)
        with tf.control_dependencies([z_hat]):  # only a size that was true so far may set how much is reserved
            height, width = tf.identity(height), tf.identity(width)
        decode = self.coder.decoder()

        def one(part, begin, end, window):
            first, last, cut = self._positions(begin, end)
            window, parameters = self.bands.window(window, z_hat, height, width, first, last)
            mean, coded = self.distributions(parameters)
            return self._latents(decode(part, *(c[..., cut] for c in coded)), mean, cut), window

        size, start = height * width * self.channels, self.bands.start(height)
        return split_chunks(one, sections[1], size, self.coder.chunk, tf.float32, start, room)

    def _positions(self, begin: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, slice]:
        """First and last position of the symbols of a chunk, and where among these positions' symbols they are."""
        first, last = begin // self.channels, (end + self.channels - 1) // self.channels
        return first, last, slice(begin - first * self.channels, end - first * self.channels)

    def _latents(self, symbols: tf.Tensor, mean: tf.Tensor | None, cut: slice) -> tf.Tensor:
        """Decoded latents float32 [n] of symbols, with the means of their positions."""
        latents = tf.cast(symbols, tf.float32)
        return latents if mean is None else latents + tf.reshape(mean, [-1])[cut]

    def parameters(self, z_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Outputs of the hyper-synthesis, exact: z_hat [1, h', w', N] -> float64 [1, height, width, D], fixed-point."""
        return self.bands.whole(z_hat, height, width)

    def encode_hyper(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (section, decoded hyper-latents [1, h', w', N] float32) of latents y."""
        z = self.hyper_latents(y)
        shape, symbols = tf.shape(z), to_symbols(z)
        section = self.hyper_coder.encode(symbols, channel_indexes(shape[1], shape[2], self.hyper_channels))
        return section, unflatten(symbols, shape[1], shape[2], self.hyper_channels)

    def decode_hyper(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Hyper-latents [1, ceil(height/4), ceil(width/4), N] float32 of latents of that height and width."""
        height, width = believed_sides(sections[1], height, width, self.fewest_bits)
        height, width = (height + STRIDE - 1) // STRIDE, (width + STRIDE - 1) // STRIDE
        height, width = believed_sides(sections[0], height, width, self.fewest_hyper_bits)
        symbols = self.hyper_coder.decode(sections[0], channel_indexes(height, width, self.hyper_channels))
        return unflatten(symbols, height, width, self.hyper_channels)

    def estimated_bits(self, y: tf.Tensor, y_hat: tf.Tensor) -> tf.Tensor:
        """What the model itself, in floating point and with analytic densities, expects: [1] float32 bits."""
        return self.model.estimated_bits(y_hat, tf.round(self.hyper_latents(y)))


class GaussianLatents(SideInformation):
    """Every latent by one of the level tables, which the hyper-latents choose, about a mean that they give."""

    @staticmethod
    def tables_of(model) -> Tables:
        """What the constructor takes, derived from a trained codec."""
        return SideInformation.tables_of(model) | gaussian_tables(gaussian.level_scales()).arrays("levels")

    def __init__(self, model, tables: Tables):
        levels = CdfTables.of(tables, "levels", gaussian.LEVELS)
        super().__init__(model, tables, float(fewest_bits_of(levels).min()))
        self.coder = RansCoder(levels)

    def means_and_levels(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Fixed-point parameters [..., C] -> (means float32 [..., M], table indexes int32 [..., M])."""
        mean, level = self.model.split(fixed_point.from_fixed(parameters))
        return mean, tf.cast(tf.clip_by_value(tf.round(level), 0, gaussian.LEVELS - 1), tf.int32)

    def distributions(self, parameters: tf.Tensor) -> tuple[tf.Tensor | None, list[tf.Tensor]]:
        """Means, and the table of each symbol."""
        mean, level = self.means_and_levels(parameters)
        return mean, [tf.reshape(level, [-1])]

    def bits(self, integers: tf.Tensor, coded: list[tf.Tensor]) -> tf.Tensor:
        """See `SideInformation`."""
        level = tf.reshape(tf.cast(coded[0], tf.float32), tf.shape(integers))
        return gaussian.bits_each(integers, gaussian.scale_of(level))


class ScaleMixtureLatents(GaussianLatents):
    """The same, whose level tables have the tails that the model has learned."""

    @staticmethod
    def tables_of(model) -> Tables:
        """What the constructor takes, derived from a trained codec."""
        levels = tables_from_pmfs(*model.tails.pmf(gaussian.level_scales()))
        return SideInformation.tables_of(model) | levels.arrays("levels")

    def bits(self, integers: tf.Tensor, coded: list[tf.Tensor]) -> tf.Tensor:
        """See `SideInformation`."""
        level = tf.reshape(tf.cast(coded[0], tf.float32), tf.shape(integers))
        return self.model.tails.bits_each(integers, gaussian.scale_of(level))


class MixtureLatents(SideInformation):
    """Every latent as an integer under a Gaussian mixture of its own (`models.entropy.coder.mixture_coder`)."""

    @staticmethod
    def tables_of(model) -> Tables:
        """What the constructor takes, derived from a trained codec."""
        return SideInformation.tables_of(model) | integer_tables()

    def __init__(self, model, tables: Tables):
        super().__init__(model, tables, FEWEST_BITS)
        self.coder = MixtureCoder(tables)

    def mixtures(self, parameters: tf.Tensor) -> list[tf.Tensor]:
        """Means, levels and logits as `MixtureCdf.mixtures` takes them.

        Args:
          parameters: [..., D] float64, of the hyper-synthesis, fixed-point.

        Returns:
          int64 [K, N] each, N of all positions and channels.
        """
        k = self.model.config.components
        values = tf.cast(parameters, tf.int64)
        parts = tf.unstack(tf.reshape(values, [-1, 2 + (k > 1), k, self.channels]), axis=1)
        means, levels, *logits = [tf.reshape(tf.transpose(p, [1, 0, 2]), [k, -1]) for p in parts]
        logits = logits[0] if logits else tf.zeros_like(means)
        # Fractions have 12 bits. Those of means, GAIN times as large, are the coder's 8; the others lose some.
        start = int(self.model.START_LEVEL) << fixed_point.VALUE_BITS
        return [means, shift_right(levels + start + (1 << 9), const(10)), shift_right(logits + (1 << 3), const(4))]

    def distributions(self, parameters: tf.Tensor) -> tuple[tf.Tensor | None, list[tf.Tensor]]:
        """No means, and the mixture of each symbol."""
        return None, self.mixtures(parameters)

    def bits(self, integers: tf.Tensor, coded: list[tf.Tensor]) -> tf.Tensor:
        """See `SideInformation`."""
        return tf.reshape(mixture_bits(tf.reshape(integers, [-1]), *coded), tf.shape(integers))


def mixture_bits(latents: tf.Tensor, means: tf.Tensor, levels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Bits of latents [N] float32 under mixtures as `MixtureLatents.mixtures` gives them."""
    means, levels, logits = (tf.cast(values, tf.float32) for values in (means, levels, logits))
    scales = gaussian.scale_of(levels / SUBLEVELS)
    return mixture.bits_each(latents, means * 2.0**-MEAN_BITS, scales, logits * 2.0**-LOGIT_BITS)
