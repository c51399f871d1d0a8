"""The served form of every image codec: `compress`, `decompress` and `serving_default`, of stock TensorFlow ops.

A stream is `models.entropy.coder.container`'s: the sections of the latents and, if the picture has one, the alpha plane
as a PNG (kept without loss). The transforms run in tiles, so that of a large picture only its pixels, its latents and
the decoded latents are held whole.
"""

import functools
import types

import tensorflow as tf

from models.codecs import codec, distortion
from models.codecs.serving import picture_files as pictures
from models.codecs.serving.latents import FactorizedLatents, GaussianLatents, MixtureLatents
from models.codecs.serving.refinement import refine
from models.entropy.coder import container
from models.entropy.coder.bit_fields import require
from models.layers.padding import pad_to_multiple
from models.publishing import export
from models.records import pictures as picture_records

__all__ = ["FactorizedLatents", "GaussianLatents", "MixtureLatents", "signatures"]

STEP_UNIT, LAST_STEP = 4, 63  # a variable-rate model's quality, in steps, fills the flags above `pictures_serving`'s
DEFAULT_STEP = 32  # quality 50
TILE, HALO = 48, 4  # latents: tiles of 768 pixels, 64 pixels around; the transforms reach 30 pixels and 4 latents
SLOPE_TILE = 32  # latents; a gradient keeps what all layers gave
MOST_PASSES = 100
MOST_REFINED = 2**24  # pixels; the search holds all parameters of all latents, and several copies of these
_FORMAT = "latents of 12 fraction bits, level tables 0.11 to 256, 3"


def signatures(latents_class: type[tf.Module], model, config) -> "CodecServer":
    """The module to save: `signatures` of a recipe, with the class that codes its latents."""
    return CodecServer(latents_class, model, config)


class CodecServer(tf.Module):
    """Holds a trained codec, its coder and the served functions in `functions`.

    `fingerprint` tells apart models whose streams do not fit together; streams of the fingerprints `reads` fit too.
    `tables` are the coder's, integers by name: those that the model carries, or else derived from it.
    """

    def __init__(self, latents_class: type[tf.Module], model, config):
        super().__init__(name="codec")
        self.model, self.variable = model, config.rates > 1
        self.tables = types.MappingProxyType(model.tables or latents_class.tables_of(model))
        self.latents = latents_class(model, self.tables)
        self.fingerprint, self.reads = export.fingerprint_of(_FORMAT, model, config, self.tables), model.reads
        # One trace of each, whichever signature calls it; nothing here needs AutoGraph, which is slow to trace.
        graph = functools.partial(tf.function, autograph=False)
        # Nothing large is an argument: who calls a function holds its arguments until it is done.
        scalar, number = tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)
        self._write = graph(self.write_stream, [scalar, number])
        self._read_latents = graph(self.read_latents, [scalar])
        tiles = tf.TensorSpec([1, None, None, 3], tf.uint8), tf.TensorSpec([1, None, None, config.latents], tf.float32)
        self._analyse_tile = graph(self.analyse_tile, tiles[:1])
        self._synthesise_tile = graph(self.synthesise_tile, tiles[1:])
        self.functions = {
            "compress": graph(self.compress, [tf.TensorSpec([None], tf.string, "image_bytes")]),
            "decompress": graph(self.decompress, [tf.TensorSpec([None], tf.string, "bitstream_bytes")]),
            "serving_default": graph(self.evaluate, [tf.TensorSpec([None], tf.string, "examples")]),
        }
        images, quality, passes = (
            tf.TensorSpec([None], dtype, name)
            for name, dtype in (("image_bytes", tf.string), ("quality", tf.int32), ("passes", tf.int32))
        )
        if self.variable:
            self.functions["compress_at"] = graph(self.compress_at, [images, quality])
        if self.latents.chooses:
            # A trace of its own: the search's gradients would take memory from who does not ask for them.
            self._write_refined = graph(self.write_stream, [scalar, number, number])
            beside = tf.TensorSpec([1, None, None, config.latents + 4 * codec.STRIDE**2], tf.float32)
            self._slope_tile = graph(self.slope_tile, [beside])
            wanted = [images, passes, *([quality] if self.variable else [])]
            self.functions["compress_refined"] = graph(self.compress_refined, wanted)

    def analyse_tile(self, pixels: tf.Tensor) -> tf.Tensor:
        """uint8 [1, 16h, 16w, 3] -> latents before rounding, [1, h, w, M] float32."""
        return tf.cast(self.model.analysis(tf.cast(pixels, tf.float32) / 255.0), tf.float32)

    def synthesise_tile(self, y_hat: tf.Tensor) -> tf.Tensor:
        """Decoded latents [1, h, w, M] float32 -> uint8 [1, 16h, 16w, 3]."""
        x = tf.cast(self.model.synthesis(y_hat), tf.float32)
        return tf.cast(tf.round(255.0 * tf.clip_by_value(x, 0.0, 1.0)), tf.uint8)

    def slope_tile(self, values: tf.Tensor) -> tf.Tensor:
        """Gradient of the weighted squared error, before pixels are clipped, by decoded latents.

        Args:
          values: [1, h, w, M + 1024] float32, decoded latents, and for the 256 pixels of each what `target` gives.

        Returns:
          [1, h, w, M] float32.
        """
        y_hat, target = tf.split(values, [self.model.config.latents, 4 * codec.STRIDE**2], axis=-1)
        pixels, weights = tf.split(tf.nn.depth_to_space(target, codec.STRIDE), [3, 1], axis=-1)
        with tf.GradientTape() as tape:
            tape.watch(y_hat)
            # Where the probe for the curvature is clipped, it would find none.
            x_hat = tf.cast(self.model.synthesis(y_hat), tf.float32)
            error = tf.reduce_sum(weights * tf.square(pixels - x_hat))
        return tape.gradient(error, y_hat)

    def analyse(self, pixels: tf.Tensor, gains: tf.Tensor | float = 1.0) -> tf.Tensor:
        """Latents before rounding, times gains, [1, h, w, M] float32, of uint8 pixels [H, W, 3]."""
        height, width = ((side + codec.STRIDE - 1) // codec.STRIDE for side in tf.unstack(tf.shape(pixels)[:2]))
        return pictures.in_tiles(
            lambda tile: gains * self._analyse_tile(pad_to_multiple(tile[0], codec.STRIDE)[None]), pixels,
            height, width, scale_in=codec.STRIDE, scale_out=1, tile=TILE, halo=HALO,
            channels=self.model.config.latents, dtype=tf.float32,
        )[None]  # fmt: skip

    def synthesise(
        self, y_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor, gains: tf.Tensor | float = 1.0
    ) -> tf.Tensor:
        """uint8 pixels [height, width, 3] of decoded latents [1, h, w, M] float32, times gains."""
        shape = tf.shape(y_hat)
        return pictures.in_tiles(
            lambda tile: self._synthesise_tile(gains * tile), y_hat[0], shape[1], shape[2], scale_in=1,
            scale_out=codec.STRIDE, tile=TILE, halo=HALO, channels=3, dtype=tf.uint8, sides=(height, width),
        )  # fmt: skip

    def target(self, pixels: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """What pixels are to be, on [0, 1], and what their squared errors are worth in bits: nothing beyond the edge.

        Args:
          pixels: uint8 [H, W, 3]; step: int32, the quality, as for `write_stream`.

        Returns:
          [1, h, w, 1024] float32, for each latent red, green, blue and worth of its 256 pixels.
        """
        lmbda = self.model.lmbda_at(self.rate(step))[0]
        weights = tf.fill(tf.shape(pixels[..., :1]), lmbda * 255.0**2 / 3.0)
        padded = pad_to_multiple(tf.cast(pixels, tf.float32) / 255.0, codec.STRIDE)
        beyond = tf.shape(padded)[:2] - tf.shape(pixels)[:2]
        weights = tf.pad(weights, [[0, beyond[0]], [0, beyond[1]], [0, 0]])
        return tf.nn.space_to_depth(tf.concat([padded, weights], -1)[None], codec.STRIDE)

    def slope(self, y_hat: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Gradient of the error's worth in bits by decoded latents [1, h, w, M] float32, of their shape."""
        shape, values = tf.shape(y_hat), tf.concat([y_hat, target], -1)
        return pictures.in_tiles(
            self._slope_tile, values[0], shape[1], shape[2], scale_in=1, scale_out=1, tile=SLOPE_TILE, halo=HALO,
            channels=self.model.config.latents, dtype=tf.float32,
        )[None]  # fmt: skip

    def gains(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Gains and inverse gains of a quality (int32 scalar, 0 to LAST_STEP): float32 [1, 1, 1, M] each."""
        return self.model.gain_units.gains(self.rate(step))

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        """The rate point [1] float32 of a quality (int32 scalar, 0 to LAST_STEP)."""
        return tf.cast(step, tf.float32)[None] * ((self.model.config.rates - 1) / LAST_STEP)

    def write_stream(self, encoded: tf.Tensor, step: tf.Tensor, passes: tf.Tensor | None = None) -> tf.Tensor:
        """Codes one picture.

        Args:
          encoded: string scalar (PNG, JPEG, BMP). step: int32, 0 to LAST_STEP, the quality, of no meaning for a model
            of one rate. passes: int32, of `refine`, for latents that choose.

        Returns:
          string scalar.

        Raises:
          tf.errors.InvalidArgumentError: the picture is damaged, or has more than `header.MAX_PIXELS`, or is to be
            refined and has more than MOST_REFINED.
        """
        pixels, flags, plane = pictures.read_picture(encoded)
        gains, inverse, shape = 1.0, 1.0, tf.shape(pixels)
        if passes is not None:
            message = f"refinement takes pictures of {MOST_REFINED} pixels (2^24) at most; compress without it: sides"
            with tf.control_dependencies([require(shape[0] * shape[1] <= MOST_REFINED, message, shape[:2])]):
                pixels = tf.identity(pixels)
        if self.variable:
            gains, inverse = self.gains(step)
            flags += STEP_UNIT * step
        y = self.analyse(pixels, gains)

        def search(values, bits):
            means, target = y - values, self.target(pixels, step)
            return refine(values, bits, lambda q: inverse * self.slope(inverse * (q + means), target), passes)

        sections, y_hat = self.latents.encode(y) if passes is None else self.latents.encode(y, search=search)
        latents = latents_fingerprint(y_hat, shape[0], shape[1], flags, plane)
        fingerprints = latents, tf.constant(self.fingerprint, tf.int64)
        return container.pack(shape[0], shape[1], flags, *fingerprints, [*sections, plane])

    def read_stream(self, stream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Decodes one stream to (pixels uint8 [H, W, 3], flags, alpha plane).

        Raises:
          tf.errors.InvalidArgumentError: see `read_latents`.
        """
        y_hat, sides, flags, plane = self._read_latents(stream)
        return self.draw(y_hat, sides, flags), flags % STEP_UNIT if self.variable else flags, plane

    def draw(self, y_hat: tf.Tensor, sides: tuple[tf.Tensor, tf.Tensor], flags: tf.Tensor) -> tf.Tensor:
        """uint8 pixels [H, W, 3] of what `read_latents` gives."""
        return self.synthesise(y_hat, *sides, self.gains(flags // STEP_UNIT)[1] if self.variable else 1.0)

    def read_latents(self, stream: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Decodes one stream to (latents [1, h, w, M] float32, (height, width) in pixels, flags, alpha plane).

        Raises:
          tf.errors.InvalidArgumentError: not a stream, another model's, damaged, or this machine's arithmetic gives
            other latents than the writer's.
        """
        known = tf.constant([self.fingerprint, *self.reads], tf.int64)
        header, sections = container.unpack(stream, known, self.latents.section_count + 1)
        sides = tf.cast(header.height, tf.int32), tf.cast(header.width, tf.int32)
        height, width = ((side + codec.STRIDE - 1) // codec.STRIDE for side in sides)
        y_hat = self.latents.decode(sections[:-1], height, width)
        flags = tf.cast(header.flags, tf.int32)
        same = tf.debugging.Assert(
            latents_fingerprint(y_hat, *sides, flags, sections[-1]) == header.latents_fingerprint,
            ["the decoded latents differ from those written: damage, or this machine computes differently; no picture"],
        )
        with tf.control_dependencies([same]):
            return tf.identity(y_hat), sides, flags, sections[-1]

    def compress(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [B] (PNG, JPEG, BMP) -> {"bitstream_bytes": string [B]}."""

        return {"bitstream_bytes": _map(lambda encoded: self._write(encoded, DEFAULT_STEP), image_bytes, tf.string)}

    def compress_at(self, image_bytes: tf.Tensor, quality: tf.Tensor) -> dict[str, tf.Tensor]:
        """`compress` at a quality of its own for each picture: int32 [B], 0 (small files) to 100.

        Raises:
          tf.errors.InvalidArgumentError: a quality lies outside.
        """
        pairs = image_bytes, self.steps_of(quality)
        return {"bitstream_bytes": _map(lambda pair: self._write(*pair), pairs, tf.string)}

    def compress_refined(
        self, image_bytes: tf.Tensor, passes: tf.Tensor, quality: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """`compress` or `compress_at` with a search for better latents: int32 [B] passes of `refine`, 0 to MOST_PASSES.

        Raises:
          tf.errors.InvalidArgumentError: a quality or a number of passes lies outside.
        """
        steps = tf.fill(tf.shape(passes), DEFAULT_STEP) if quality is None else self.steps_of(quality)
        inside = tf.reduce_all((passes >= 0) & (passes <= MOST_PASSES))
        with tf.control_dependencies([require(inside, f"passes must be 0 to {MOST_PASSES}, not", passes)]):
            passes = tf.identity(passes)

        wanted = image_bytes, steps, passes
        return {"bitstream_bytes": _map(lambda one: self._write_refined(*one), wanted, tf.string)}

    def decompress(self, bitstream_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """bitstream_bytes string [B] -> {"image_bytes": string [B]}, PNG."""

        def one(stream):
            return pictures.write_picture(*self.read_stream(stream))

        return {"image_bytes": _map(one, bitstream_bytes, tf.string)}

    def steps_of(self, quality: tf.Tensor) -> tf.Tensor:
        """Qualities int32 [B], 0 to 100, in steps up to LAST_STEP. Raises InvalidArgumentError: one lies outside."""
        inside = tf.reduce_all((quality >= 0) & (quality <= 100))
        with tf.control_dependencies([require(inside, "a quality must be 0 to 100, not", quality)]):
            return (quality * LAST_STEP + 50) // 100

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Really codes and decodes pictures: serialised records, string [B] -> numbers, each float32 [B, 1].

        bpp counts all bits of the stream; estimated_bpp is what the model's own likelihoods expect of the latents;
        rd_cost = bpp + lmbda * MSE on [0, 255] pixels. A variable-rate model is measured at `DEFAULT_STEP`.
        """
        encoded = picture_records.parse(examples)[picture_records.ENCODED]
        names = ("bpp", "estimated_bpp", "psnr_db", "ms_ssim", "rd_cost")
        numbers = _map(lambda e: tf.stack(self._measure(e)), encoded, tf.TensorSpec([len(names)], tf.float32))
        return {name: numbers[:, i : i + 1] for i, name in enumerate(names)}

    def _measure(self, encoded: tf.Tensor) -> tuple[tf.Tensor, ...]:
        stream, (pixels, _, _) = self._write(encoded, DEFAULT_STEP), pictures.read_picture(encoded)
        y_hat, sides, flags, _ = self._read_latents(stream)
        decoded = self.draw(y_hat, sides, flags)
        y = self.analyse(pixels, self.gains(DEFAULT_STEP)[0] if self.variable else 1.0)
        area = tf.cast(tf.shape(pixels)[0] * tf.shape(pixels)[1], tf.float32)
        bpp = 8.0 * tf.cast(tf.strings.length(stream), tf.float32) / area
        estimated = self.latents.estimated_bits(y, y_hat)[0] / area
        error = tf.cast(pixels, tf.float32) - tf.cast(decoded, tf.float32)
        psnr, similarity = (
            distortion.psnr_db(pixels[None], decoded[None])[0],
            distortion.ms_ssim(pixels[None], decoded[None]),
        )
        lmbda = self.model.lmbda_at(self.rate(tf.constant(DEFAULT_STEP)))[0]
        return bpp, estimated, psnr, similarity[0], bpp + lmbda * tf.reduce_mean(tf.square(error))


def latents_fingerprint(
    y_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor, flags: tf.Tensor, plane: tf.Tensor
) -> tf.Tensor:
    """A number below 2^32, int64 scalar, of all that a picture is drawn from.

    Args:
      y_hat: decoded latents, float32 of any shape.
      height, width, flags: int32 scalars. plane: string scalar, the alpha plane's bytes.
    """
    beside = tf.stack([height, width, flags, tf.bitcast(tf.cast(container.fingerprint(plane), tf.uint32), tf.int32)])
    numbers = tf.concat([tf.bitcast(tf.reshape(y_hat, [-1]), tf.int32), beside], 0)
    first = tf.fingerprint(numbers[None])[0, :4]
    return tf.cast(tf.bitcast(first, tf.uint32), tf.int64)


def _map(function, values: tf.Tensor, signature) -> tf.Tensor:
    """Applies a function to each element, one after the other, so that memory is that of one picture."""
    return tf.map_fn(function, values, fn_output_signature=signature, parallel_iterations=1)
