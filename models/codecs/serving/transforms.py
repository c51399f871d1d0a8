"""The payload of a codec of transforms: pixels to latents, latents to sections (`latents`), and back.

The transforms run in tiles, so that of a large picture only its pixels and its latents are held whole, one written over
the other (`canvas`). How large the tiles are, and how far the transforms reach, the codec says.
"""

import functools
import types

import tensorflow as tf

from models.codecs.serving import canvas
from models.codecs.serving import picture_files as pictures
from models.codecs.serving.refinement import refine
from models.codecs.serving.server import LAST_STEP, PictureServer
from models.entropy.coder.bit_fields import require
from models.entropy.coder.rans_stream import numbers_of
from models.layers.padding import pad_to_multiple
from models.publishing import export

MOST_REFINED = 2**24  # pixels; the search holds all parameters of all latents, and several copies of these
_FORMAT = "latents of 12 fraction bits, level tables 0.11 to 256, 3"


def signatures(latents_class: type[tf.Module], model, config) -> PictureServer:
    """The module to save: `signatures` of a recipe, with the class that codes its latents."""
    return PictureServer(TransformPayload(latents_class, model, config), config.store, most=model.most_stored)


class TransformPayload(tf.Module):
    """A trained codec and its coder, as `models.codecs.serving.server.Payload`.

    `tables` are the coder's, integers by name: those that the model carries, or else derived from it. `stride`, `tile`,
    `halo` and `gradient_tile` are the model's.
    """

    measures = ("estimated_bpp", "rd_cost")

    def __init__(self, latents_class: type[tf.Module], model, config):
        super().__init__(name="payload")
        self.model, self.variable = model, config.rates > 1
        self.stride, self.tile, self.halo = model.stride, model.tile, model.halo
        self.unit = model.stride * model.multiple  # pixels, of which padded sides are whole numbers
        self.gradient_tile = model.gradient_tile
        self.tables = types.MappingProxyType(model.tables or latents_class.tables_of(model))
        self.latents = latents_class(model, self.tables)
        self.section_count, self.chooses = self.latents.section_count, self.latents.chooses
        self.fingerprint, self.reads = export.fingerprint_of(_FORMAT, model, config, self.tables), model.reads
        graph = functools.partial(tf.function, autograph=False)
        tiles = tf.TensorSpec([1, None, None, 3], tf.uint8), tf.TensorSpec([1, None, None, config.latents], tf.float32)
        self._analyse_tile = graph(self.analyse_tile, tiles[:1])
        self._synthesise_tile = graph(self.synthesise_tile, tiles[1:])
        if self.chooses:
            beside = tf.TensorSpec([1, None, None, config.latents + 4 * self.stride**2], tf.float32)
            self._slope_tile = graph(self.slope_tile, [beside])

    def encode(
        self, pixels: tf.Tensor, step: tf.Tensor, passes: tf.Tensor | None = None
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Sections of pixels uint8 [H, W, 3], and the decoded latents [1, h, w, M] float32; see `Payload`.

        Raises:
          tf.errors.InvalidArgumentError: the picture is to be refined and has more than MOST_REFINED pixels.
        """
        shape = tf.shape(pixels)
        if passes is not None:
            message = f"refinement takes pictures of {MOST_REFINED} pixels (2^24) at most; compress without it: sides"
            with tf.control_dependencies([require(shape[0] * shape[1] <= MOST_REFINED, message, shape[:2])]):
                pixels = tf.identity(pixels)
        gains, inverse = self.gains(step) if self.variable else (1.0, 1.0)
        y = self.analyse(pixels, gains)
        if passes is None:
            return self.latents.encode(y)

        def search(values, bits):
            means, target = y - values, self.target(pixels, step)

            def slope(integers):
                return inverse * self.slope(inverse * (integers + means), target)

            return refine(values, bits, slope, passes, self.model.error_bits)

        return self.latents.encode(y, search=search)

    def decode(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The latents' bytes with what `plan` leaves free before and behind them, and the latents; see `Payload`."""
        plan = self.plan(height, width)
        free = plan.before, plan.behind
        canvas = self.latents.decode_flat(sections, plan.source.rows, plan.source.columns, free)
        return canvas, self.latents_of(canvas, height, width)

    def draw(self, decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """uint8 pixels [height, width, 3] over the latents of `decode`, see `Payload`."""
        return self._draw(decoded, self.plan(height, width), self.gains(step)[1] if self.variable else 1.0)

    def latents_of(self, decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """The latents [1, h, w, M] float32 in what `decode` gives."""
        plan = self.plan(height, width)
        shape = tf.stack([1, plan.source.rows, plan.source.columns, plan.source.depth])
        return tf.reshape(numbers_of(decoded[plan.before : plan.end], tf.float32), shape)

    def measure(
        self, pixels: tf.Tensor, decoded: tf.Tensor, drawn: tf.Tensor, bpp: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`estimated_bpp`, what the model's likelihoods expect of the latents; `rd_cost` = bpp + lmbda * MSE.

        The latter is of pixels on [0, 255].
        """
        y = self.analyse(pixels, self.gains(step)[0] if self.variable else 1.0)
        y_hat = self.latents_of(decoded, *tf.unstack(tf.shape(pixels)[:2]))
        area = tf.cast(tf.shape(pixels)[0] * tf.shape(pixels)[1], tf.float32)
        error = tf.cast(pixels, tf.float32) - tf.cast(drawn, tf.float32)
        lmbda = self.model.lmbda_at(self.rate(step))[0]
        return self.latents.estimated_bits(y, y_hat)[0] / area, bpp + lmbda * tf.reduce_mean(tf.square(error))

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
        y_hat, target = tf.split(values, [self.model.config.latents, 4 * self.stride**2], axis=-1)
        pixels, weights = tf.split(tf.nn.depth_to_space(target, self.stride), [3, 1], axis=-1)
        with tf.GradientTape() as tape:
            tape.watch(y_hat)
            # Where the probe for the curvature is clipped, it would find none.
            x_hat = tf.cast(self.model.synthesis(y_hat), tf.float32)
            error = tf.reduce_sum(weights * tf.square(pixels - x_hat))
        return tape.gradient(error, y_hat)

    def analyse(self, pixels: tf.Tensor, gains: tf.Tensor | float = 1.0) -> tf.Tensor:
        """Latents before rounding, times gains, [1, h, w, M] float32, of uint8 pixels [H, W, 3]."""
        grids = self._grids(*tf.unstack(tf.shape(pixels)[:2]))
        plan = canvas.plan(*grids, grids[1].rows, self.tile, self.halo)
        buffer = tf.pad(tf.reshape(pixels, [-1]), [[plan.before, plan.behind]])
        return canvas.fill(
            lambda tile: gains * self._analyse_tile(pad_to_multiple(tile[0], self.unit)[None]),
            buffer, plan, grids[1].rows, grids[1].columns, self.tile, self.halo,
        )[None]  # fmt: skip

    def synthesise(
        self, y_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor, gains: tf.Tensor | float = 1.0
    ) -> tf.Tensor:
        """uint8 pixels [height, width, 3] of decoded latents [1, h, w, M] float32, times gains."""
        plan = self.plan(height, width)
        buffer = tf.pad(tf.reshape(tf.bitcast(y_hat, tf.uint8), [-1]), [[plan.before, plan.behind]])
        return self._draw(buffer, plan, gains)

    def plan(self, height: tf.Tensor, width: tf.Tensor) -> canvas.Canvas:
        """Where decoded latents lie, over which a picture of that size is drawn; int32 scalars, pixels."""
        pixels, latents = self._grids(height, width)
        return canvas.plan(latents, pixels, latents.rows, self.tile, self.halo)

    def _grids(self, height: tf.Tensor, width: tf.Tensor) -> tuple[canvas.Grid, canvas.Grid]:
        """The pixels and the latents of a picture of that size, int32 scalars."""
        sides = ((side + self.unit - 1) // self.unit * self.model.multiple for side in (height, width))
        latents = canvas.Grid(*sides, self.model.config.latents, tf.float32, 1)
        return canvas.Grid(height, width, 3, tf.uint8, self.stride), latents

    def _draw(self, buffer: tf.Tensor, plan: canvas.Canvas, gains: tf.Tensor | float) -> tf.Tensor:
        return canvas.fill(
            lambda tile: self._synthesise_tile(gains * tile), buffer, plan, plan.source.rows, plan.source.columns,
            self.tile, self.halo,
        )  # fmt: skip

    def target(self, pixels: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """What pixels are to be, on [0, 1], and what their squared errors are worth in bits: nothing beyond the edge.

        Args:
          pixels: uint8 [H, W, 3]; step: int32, the quality.

        Returns:
          [1, h, w, 1024] float32, for each latent red, green, blue and worth of its 256 pixels.
        """
        lmbda = self.model.lmbda_at(self.rate(step))[0]
        weights = tf.fill(tf.shape(pixels[..., :1]), lmbda * 255.0**2 / 3.0)
        padded = pad_to_multiple(tf.cast(pixels, tf.float32) / 255.0, self.unit)
        beyond = tf.shape(padded)[:2] - tf.shape(pixels)[:2]
        weights = tf.pad(weights, [[0, beyond[0]], [0, beyond[1]], [0, 0]])
        return tf.nn.space_to_depth(tf.concat([padded, weights], -1)[None], self.stride)

    def slope(self, y_hat: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Gradient of the error's worth in bits by decoded latents [1, h, w, M] float32, of their shape."""
        shape, values = tf.shape(y_hat), tf.concat([y_hat, target], -1)
        return pictures.in_tiles(
            self._slope_tile, values[0], shape[1], shape[2], scale_in=1, scale_out=1, tile=self.gradient_tile,
            halo=self.halo, channels=self.model.config.latents, dtype=tf.float32,
        )[None]  # fmt: skip

    def gains(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Gains and inverse gains of a quality (int32 scalar, 0 to LAST_STEP): float32 [1, 1, 1, M] each."""
        return self.model.gain_units.gains(self.rate(step))

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        """The rate point [1] float32 of a quality (int32 scalar, 0 to LAST_STEP)."""
        return tf.cast(step, tf.float32)[None] * ((self.model.config.rates - 1) / LAST_STEP)
