"""The payload of the codec for extreme rates: pixels to symbols, symbols to one section, and pictures drawn of them."""

import functools
import math
import types

import numpy as np
import tensorflow as tf

from models.codecs.serving.picture_files import in_tiles
from models.entropy.coder.symbol_coder import CENTRES, SymbolCoder, counts_of
from models.layers.padding import pad_to_multiple
from models.publishing import export

_FORMAT = "symbols of five centres, packed or counted row by row"
_NOISE = (1804, 2958)  # seed of what the generator makes up: a stream has one picture


class ExtremePayload(tf.Module):
    """A trained codec and its coder, as `models.codecs.serving.server.Payload`.

    Measures "estimated_bpp", by the histograms of the training, and "bound_bpp", what no stream's symbols exceed.
    """

    section_count, variable, chooses = 1, False, False
    measures = ("estimated_bpp", "bound_bpp")

    def __init__(self, model, config):
        super().__init__(name="payload")
        self.model, self.config, self.stride = model, config, model.stride
        self.tables = types.MappingProxyType(model.tables or counts_of(np.array(model.quantizer.usage)))
        self.coder = SymbolCoder(self.tables, config.latents)
        self.fingerprint, self.reads = export.fingerprint_of(_FORMAT, model, config, self.tables), model.reads
        graph = functools.partial(tf.function, autograph=False)
        depth = config.latents + config.noise
        self._analyse_tile = graph(self.analyse_tile, [tf.TensorSpec([1, None, None, 3], tf.uint8)])
        self._draw_tile = graph(self.draw_tile, [tf.TensorSpec([1, None, None, depth], tf.float32)])

    def encode(self, pixels: tf.Tensor, step: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """One section, and the symbols, int32 [h, w, C]; see `Payload`."""
        height, width = self._sides(*tf.unstack(tf.shape(pixels)[:2]))
        symbols = self.analyse(pixels, height, width)
        section = self.coder.encode(tf.reshape(symbols, [-1, self.config.latents]), width)
        return [section], symbols

    def decode(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The symbols, twice; see `Payload`."""
        height, width = self._sides(height, width)
        symbols = self.coder.decode(sections[0], height * width, width)
        symbols = tf.reshape(symbols, [height, width, self.config.latents])
        return symbols, symbols

    def draw(self, decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """uint8 pixels [height, width, 3] of symbols [h, w, C], see `Payload`."""
        values = tf.cast(decoded, tf.float32)
        if self.config.noise:
            shape = tf.concat([tf.shape(decoded)[:2], [self.config.noise]], 0)
            values = tf.concat([values, tf.random.stateless_normal(shape, _NOISE, alg="philox")], -1)
        sides = self._sides(height, width)
        drawn = in_tiles(self._draw_tile, values, *sides, scale_in=1, scale_out=self.stride, tile=self.model.tile,
                         halo=self.model.halo, channels=3, dtype=tf.uint8)  # fmt: skip
        return drawn[:height, :width]

    def measure(
        self, pixels: tf.Tensor, decoded: tf.Tensor, drawn: tf.Tensor, bpp: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See the class."""
        area = tf.cast(tf.shape(pixels)[0] * tf.shape(pixels)[1], tf.float32)
        bound = tf.cast(tf.size(decoded), tf.float32) * math.log2(CENTRES)
        return self.model.symbol_bits(decoded[None])[0] / area, bound / area

    def analyse(self, pixels: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Symbols int32 [height, width, C] of uint8 pixels [H, W, 3]; sides in positions."""
        found = in_tiles(self._analyse_tile, pixels, height, width, scale_in=self.stride, scale_out=1,
                         tile=self.model.tile, halo=self.model.halo, channels=self.config.latents,
                         dtype=tf.float32)  # fmt: skip
        return tf.cast(found, tf.int32)

    def analyse_tile(self, pixels: tf.Tensor) -> tf.Tensor:
        """uint8 [1, H, W, 3] -> symbols [1, h, w, C] float32."""
        x = tf.cast(pad_to_multiple(pixels[0], self.stride)[None], tf.float32) / 255.0
        return tf.cast(self.model.symbols(x), tf.float32)

    def draw_tile(self, values: tf.Tensor) -> tf.Tensor:
        """Symbols and noise [1, h, w, C + noise] float32 -> uint8 [1, 16h, 16w, 3]."""
        symbols, noise = tf.split(values, [self.config.latents, self.config.noise], -1)
        x = self.model.draw_symbols(tf.cast(symbols, tf.int32), noise)
        return tf.cast(tf.round(255.0 * tf.clip_by_value(x, 0.0, 1.0)), tf.uint8)

    def _sides(self, height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pixels to positions."""
        return tuple((side + self.stride - 1) // self.stride for side in (height, width))
