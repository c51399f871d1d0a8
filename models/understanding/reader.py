"""What a receiver of a codec's streams has, before or after anything is drawn: quantised latents, or pixels.

    stream --entropy decoder--> symbols --inverse gains--> latents [--synthesis--> pixels]

Latents follow from integers alone, and gains are numbers of a table that goes with the graph: a receiver has the very
bits that the writer of a stream had. Pixels may round as they like.
"""

import functools

import tensorflow as tf

from models.codecs.serving import picture_files, server, stored
from models.contract.recipe import ConfigError
from models.entropy.coder import container
from models.records import pictures as picture_records
from models.understanding.codecs import depth_of


class Reader:
    """Writes and reads the streams of a codec of ours.

    No tf.Module: a model that holds it is saved with what it calls of the codec, not with all that the codec can do.

    Attributes:
      depth: channels of what is read, which is float32 [h, w, depth] of latents or uint8 [H, W, 3] of pixels.
      step: the quality of what it writes, as `models.codecs.serving.server` counts.
      fingerprint, reads, tables: of the codec.
    """

    def __init__(self, recipe, model, config, quality: int = 50, rgb: bool = False):
        """Args:
        recipe, model, config: of a codec with latents.
        quality: of what is coded, 0 to 100; one of a single rate takes 50 alone.
        rgb: whether pictures are drawn.

        Raises ConfigError: the codec has no such quality.
        """
        served = recipe.signatures(model, config)
        self.payload, self.rgb = served.payload, rgb
        self.fingerprint, self.reads, self.tables = served.fingerprint, served.reads, served.tables
        if quality != 50 and not self.payload.variable:
            raise ConfigError(f"quality={quality}: {recipe.name} was trained for one rate (rates=1); leave it out")
        self.step = (quality * server.LAST_STEP + 50) // 100
        self.depth, self.dtype = (3, tf.uint8) if rgb else (depth_of(config), tf.float32)
        self._quantizer = getattr(model, "quantizer", None) if hasattr(config, "dimension") else None
        self._read_payload = served.read_payload
        self._inverse_gains = None  # of all steps, [64, M] float32
        if self.payload.variable:
            rates = self.payload.rate(tf.range(server.LAST_STEP + 1))[0]
            self._inverse_gains = model.gain_units.gains(rates)[1].numpy()[:, 0, 0]
        graph = functools.partial(tf.function, autograph=False)
        self.write = graph(self.write_stream, [tf.TensorSpec([None, None, 3], tf.uint8)])
        self.read = graph(self.read_stream, [tf.TensorSpec([], tf.string)])

    def write_stream(self, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Codes pixels uint8 [H, W, 3]: the stream, string scalar, and what its receiver has of it.

        It is the codec's own stream of such a PNG, never a stored one.
        """
        shape = tf.shape(pixels)
        flags = server.STEP_UNIT * self.step if self.payload.variable else 0
        sections, values = self.payload.encode(pixels, tf.constant(self.step))
        empty = tf.constant(b"")
        of_picture = server.fingerprint(values, server.numbers_beside(shape[0], shape[1], tf.constant(flags), empty))
        of_model = tf.constant(self.fingerprint, tf.int64)
        stream = container.pack(shape[0], shape[1], flags, of_picture, of_model, [*sections, empty])
        return stream, self._received(values, shape[0], shape[1], tf.constant(self.step))

    def stream_of(self, encoded: tf.Tensor) -> tf.Tensor:
        """The codec's stream of a picture file (string scalar), grey repeated and alpha left out."""
        return self.write(picture_records.decode(encoded))[0]

    def read_stream(self, stream: tf.Tensor) -> tf.Tensor:
        """What the receiver of a stream (string scalar) has of it; a stored picture is coded first.

        Raises:
          tf.errors.InvalidArgumentError: not a stream, another codec's, or damaged.
        """

        def coded():
            decoded, sides, flags, _ = self._read_payload(stream)
            step = flags // server.STEP_UNIT if self.payload.variable else tf.constant(0)
            return self._received(self.payload.latents_of(decoded, *sides), *sides, step)

        def whole():
            return self.write(picture_files.read_picture(stored.read(stream))[0])[1]

        found = tf.cond(stored.is_stored(stream), whole, coded)
        return tf.ensure_shape(found, [None, None, self.depth])

    def _received(self, values: tf.Tensor, height: tf.Tensor, width: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Decoded latents [1, h, w, M] as the synthesis takes them, [h, w, M], or what it draws."""
        if self._inverse_gains is not None:
            values *= tf.gather(tf.constant(self._inverse_gains), step)
        if self.rgb:
            return self.payload.synthesise(values, height, width)
        # What streams of vectors hold are indices; the synthesis is given the vectors.
        return (self._quantizer.values(tf.cast(values, tf.int32)) if self._quantizer else values)[0]
