"""How a generative codec of pictures of one size is served: larger ones in pieces, with codes and noise of their own.

    pixels --pieces of S x S, the last row and column repeated at the edge--> codes --> bits, packed
    bits, seed --> codes and noise of each piece --> pixels

Of a piece 16 values for each code channel are sent, of log2 `levels` bits, which fill whole bytes: no model says how
likely they are. The noise is drawn by Philox (stateless), so that a stream and a seed give one picture wherever floats
agree. Without a seed it is taken from what the stream says.
"""

import functools
import types

import tensorflow as tf

from models.codecs.serving import picture_files as pictures
from models.codecs.serving.server import each, fingerprint
from models.entropy.coder.bit_fields import bytes_to_string, require
from models.entropy.in_place import overwrite
from models.generative.latent_networks import GRID
from models.generative.perception.served import PerceptualServer
from models.layers.padding import pad_to_multiple
from models.publishing import export

TOGETHER = 64  # pieces that the networks are given at a time
DRAWS = 4  # of the noise, by which its variance is measured
_FORMAT = "packed codes of pieces, 1"


def _powers(count: int) -> tf.Tensor:
    return tf.constant([1 << n for n in range(count)])


def packed(symbols: tf.Tensor, bits: int) -> tf.Tensor:
    """Numbers below 2^bits of pieces, int32 [n, k], in as few bytes: uint8 [n, k bits / 8], low bits first.

    8 divides k bits.
    """
    single = symbols[..., None] // _powers(bits) % 2
    octets = tf.reshape(single, tf.stack([tf.shape(symbols)[0], -1, 8]))
    return tf.cast(tf.reduce_sum(octets * _powers(8), -1), tf.uint8)


def unpacked(data: tf.Tensor, bits: int) -> tf.Tensor:
    """The inverse of `packed`: uint8 [n, k bits / 8] -> int32 [n, k]."""
    single = tf.cast(data, tf.int32)[..., None] // _powers(8) % 2
    return tf.reduce_sum(tf.reshape(single, tf.stack([tf.shape(data)[0], -1, bits])) * _powers(bits), -1)


class PatchPayload(tf.Module):
    """A trained `DistributionPreserving`, as `models.codecs.serving.server.Payload`; it decodes packed codes."""

    section_count, variable, chooses = 1, False, False
    measures = ("estimated_bpp", "noise_variance")

    def __init__(self, model, config):
        super().__init__(name="payload")
        self.model, self.side, self.depth = model, config.crop_size, config.code_channels
        self.value_bits, self.reach = (config.levels - 1).bit_length(), config.reach
        self.latents, self.noise_channels = config.latents, config.noise_channels
        self.bytes = GRID**2 * self.depth * self.value_bits // 8  # of a piece
        self.tables, self.reads = types.MappingProxyType({}), ()
        self.fingerprint = export.fingerprint_of(_FORMAT, model, config)
        graph = functools.partial(tf.function, autograph=False)
        pieces = tf.TensorSpec([None, self.side, self.side, 3], tf.uint8)
        codes = tf.TensorSpec([None, max(self.bytes, 1)], tf.uint8)
        if self.depth:
            self._encode_pieces = graph(self.encode_pieces, [pieces])
        self._draw_pieces = graph(self.draw_pieces, [codes, tf.TensorSpec([2], tf.int64)])

    def encode_pieces(self, pixels: tf.Tensor) -> tf.Tensor:
        """uint8 [n, S, S, 3] -> packed codes uint8 [n, `bytes`]."""
        symbols = self.model.symbols(tf.cast(pixels, tf.float32) / 255.0)
        return packed(tf.reshape(symbols, [-1, GRID**2 * self.depth]), self.value_bits)

    def draw_pieces(self, codes: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Packed codes uint8 [n, `bytes`] of at most `TOGETHER` pieces -> pixels uint8 [n, S, S, 3].

        Args:
          seed: int64 [2]; what it draws for a piece follows from its place among these.
        """
        count = tf.shape(codes)[0]
        if not self.depth:
            return self.pixels(self.prior(count, seed))
        symbols = tf.reshape(unpacked(codes, self.value_bits), [-1, GRID, GRID, self.depth])
        shape = [TOGETHER, GRID, GRID, self.noise_channels]
        noise = tf.random.stateless_uniform(shape, seed, -self.reach, self.reach, alg="philox")[:count]
        return self.pixels(self.model.latent(self.model.quantizer.values(symbols), noise))

    def prior(self, count: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws of the prior for at most `TOGETHER` pieces, [count, latents] float32."""
        return tf.random.stateless_normal([TOGETHER, self.latents], seed, alg="philox")[:count]

    def pixels(self, latent: tf.Tensor) -> tf.Tensor:
        """Latent vectors [n, latents] -> uint8 [n, S, S, 3]."""
        return tf.cast(tf.round(255.0 * tf.clip_by_value(self.model.draw(latent), 0.0, 1.0)), tf.uint8)

    def encode(self, pixels: tf.Tensor, step: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """One section, and what it holds, uint8 [n, `bytes`]; see `Payload`."""
        rows, columns = self._grid(*tf.unstack(tf.shape(pixels)[:2]))
        if not self.depth:
            return [tf.constant(b"")], self._nothing(rows * columns)
        cut = tf.reshape(pad_to_multiple(pixels, self.side), tf.stack([rows, self.side, columns, self.side, 3]))
        cut = tf.reshape(tf.transpose(cut, [0, 2, 1, 3, 4]), [-1, self.side, self.side, 3])
        codes = self._in_turn(lambda at, _: self._encode_pieces(cut[at : at + TOGETHER]), rows * columns, [self.bytes])
        return [bytes_to_string([tf.reshape(codes, [-1])])], codes

    def decode(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The packed codes uint8 [n, `bytes`], twice; see `Payload`."""
        rows, columns = self._grid(height, width)
        wanted = tf.cast(rows * columns, tf.int64) * self.bytes
        whole = tf.equal(tf.cast(tf.strings.length(sections[0]), tf.int64), wanted)
        with tf.control_dependencies([require(whole, "damaged stream: it has not the bits of a picture of its size")]):
            section = tf.identity(sections[0])
        if not self.depth:
            codes = self._nothing(rows * columns)
        else:
            codes = tf.reshape(tf.io.decode_raw(section, tf.uint8), [-1, self.bytes])
        return codes, codes

    def draw(self, decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """uint8 pixels [height, width, 3] by the stream's own seed; see `Payload`."""
        return self.drawn(decoded, height, width, self.seed_of(decoded, height, width))

    @staticmethod
    def seed_of(decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """A seed below 2^32 that follows from what was sent, int64 scalar."""
        return fingerprint(decoded, tf.stack([height, width, 0, 0]))

    def drawn(self, decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """uint8 pixels [height, width, 3] by a seed, int64 scalar."""
        rows, columns = self._grid(height, width)
        shape = [self.side, self.side, 3]

        def some(at, number):
            return self._draw_pieces(decoded[at : at + TOGETHER], tf.stack([seed, tf.cast(number, tf.int64)]))

        drawn = self._in_turn(some, rows * columns, shape)
        whole = tf.transpose(tf.reshape(drawn, tf.stack([rows, columns, *shape])), [0, 2, 1, 3, 4])
        return tf.reshape(whole, tf.stack([rows * self.side, columns * self.side, 3]))[:height, :width]

    def sample(self, seed: tf.Tensor) -> tf.Tensor:
        """A picture of the model's size that was never there, uint8 [S, S, 3], of int64 scalar."""
        return self.pixels(self.prior(tf.constant(1), tf.stack([seed, tf.constant(0, tf.int64)])))[0]

    def measure(
        self, pixels: tf.Tensor, decoded: tf.Tensor, drawn: tf.Tensor, bpp: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`estimated_bpp`, the bits of the codes; `noise_variance` of pixels in [0, 1], over draws of the noise."""
        height, width = tf.unstack(tf.shape(pixels)[:2])
        seeds = self.seed_of(decoded, height, width) + tf.range(1, DRAWS, dtype=tf.int64)
        draws = tf.map_fn(
            lambda seed: self.drawn(decoded, height, width, seed), seeds, fn_output_signature=tf.uint8,
            parallel_iterations=1,
        )  # fmt: skip
        draws = tf.cast(tf.concat([drawn[None], draws], 0), tf.float32) / 255.0
        variance = tf.reduce_mean(tf.math.reduce_variance(draws, 0)) * DRAWS / (DRAWS - 1)
        pieces = tf.cast(tf.reduce_prod(tf.stack(self._grid(height, width))), tf.float32)
        return 8.0 * self.bytes * pieces / tf.cast(height * width, tf.float32), variance

    def _grid(self, height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows and columns of pieces of a picture of that size."""
        return -(-height // self.side), -(-width // self.side)

    @staticmethod
    def _nothing(count: tf.Tensor) -> tf.Tensor:
        """In place of what was sent of pieces of which nothing is: fingerprints want a number."""
        return tf.zeros(tf.stack([count, 1]), tf.uint8)

    @staticmethod
    def _in_turn(function, count: tf.Tensor, shape: list[int]) -> tf.Tensor:
        """uint8 [count, *shape] that a function of the first piece and its own number makes of `TOGETHER` at a time."""

        def body(number, whole):
            return number + 1, overwrite(whole, [number * TOGETHER], function(number * TOGETHER, number))

        loop = (0, tf.zeros(tf.stack([count, *shape]), tf.uint8))
        times = -(-count // TOGETHER)
        whole = tf.while_loop(lambda number, _: number < times, body, loop, parallel_iterations=1)[1]
        return tf.ensure_shape(whole, [None, *shape])


class GenerativeServer(PerceptualServer):
    """A picture server whose payload draws what is not sent: pictures by a seed, and some of nothing."""

    def __init__(self, payload: PatchPayload):
        super().__init__(payload)
        graph, seeds = functools.partial(tf.function, autograph=False), tf.TensorSpec([None], tf.int64, "seed")
        streams = tf.TensorSpec([None], tf.string, "bitstream_bytes")
        self.functions["decompress_seeded"] = graph(self.decompress_seeded, [streams, seeds])
        self.functions["sample"] = graph(self.sample, [seeds])

    def decompress_seeded(self, bitstream_bytes: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """`decompress` with the noise of a seed for each stream, int64 [B], in place of the stream's own."""

        def one(pair):
            decoded, sides, flags, plane = self._read(pair[0])
            return pictures.write_picture(self.payload.drawn(decoded, *sides, pair[1]), flags, plane)

        return {"image_bytes": each(one, (bitstream_bytes, seed))}

    def sample(self, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Seeds int64 [B] -> {"picture_bytes": string [B]}, PNGs of the model's size that no stream holds."""
        return {"picture_bytes": each(lambda one: tf.io.encode_png(self.payload.sample(one)), seed)}
