"""The served form of what reads codes: classes of streams, and of pictures by way of their streams."""

import functools

import tensorflow as tf

from models.classifiers.inputs import prepare
from models.classifiers.serving import ClassifierServer
from models.records import pictures as picture_records
from models.understanding import codecs
from models.understanding.reader import Reader


def signatures(model, config) -> "CodeServer":
    """The module to save: `signatures` of a recipe."""
    return CodeServer(model, config)


class CodeServer(ClassifierServer):
    """A classifier of codes with its codec: beside what all classifiers serve, streams are written and read.

    One picture is worked on after the other, so those of a batch may be of any sizes.
    """

    def __init__(self, model, config):
        super().__init__(model, config)
        recipe, of_codec = codecs.of_about(config.codec_about)
        self.reader = Reader(recipe, model.codec, of_codec, config.quality, config.rgb)
        self.coder = self.reader.payload.latents  # its tables are variables; the rest of the codec is the model's
        self.tables, self.reads = self.reader.tables, self.reader.reads
        graph = functools.partial(tf.function, autograph=False)
        shape = tf.TensorSpec([None, None, self.reader.depth], self.reader.dtype)
        self._classify = graph(self.classify, [shape])
        streams = tf.TensorSpec([None], tf.string, "bitstream_bytes")
        self.functions = dict(self.functions) | {
            "predict_streams": graph(self.predict_streams, [streams]),
            "encode_streams": graph(self.encode_streams, [tf.TensorSpec([None], tf.string, "image_bytes")]),
        }

    def classify(self, codes: tf.Tensor) -> tf.Tensor:
        """What a receiver has of one picture, float32 [h, w, M] or uint8 [H, W, 3], -> logits [K] float32."""
        seen = tf.cast(codes, tf.float32)[None]
        return self.model(seen / 255.0 if self.reader.rgb else seen, training=False)[0]

    def logits_and_bpp(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Encoded pictures, string [B] -> logits [B, K] and bits a pixel [B] of their streams, float32."""

        def one(picture):
            stream, codes = self.reader.write(prepare(picture, self.size))
            bits = 8.0 * tf.cast(tf.strings.length(stream), tf.float32)
            return self._classify(codes), bits / float(self.size**2)

        specs = tf.TensorSpec([self.classes], tf.float32), tf.TensorSpec([], tf.float32)
        return tf.map_fn(one, encoded, fn_output_signature=specs, parallel_iterations=1)

    def logits(self, encoded: tf.Tensor) -> tf.Tensor:
        return self.logits_and_bpp(encoded)[0]

    def predict_streams(self, bitstream_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """bitstream_bytes string [B], streams of the codec, of any sizes -> what `predict` gives.

        Raises:
          tf.errors.InvalidArgumentError: one is no stream, another codec's, or damaged.
        """
        spec = tf.TensorSpec([self.classes], tf.float32)
        logits = tf.map_fn(
            lambda stream: self._classify(self.reader.read(stream)), bitstream_bytes, fn_output_signature=spec,
            parallel_iterations=1,
        )  # fmt: skip
        return self.answers(logits)

    def encode_streams(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [B] -> "bitstream_bytes": string [B], the codec's streams of the pictures as they are."""
        spec = tf.TensorSpec([], tf.string)
        found = tf.map_fn(self.reader.stream_of, image_bytes, fn_output_signature=spec, parallel_iterations=1)
        return {"bitstream_bytes": found}

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Really codes the pictures of serialised records, string [B]: the numbers of all classifiers, and bpp."""
        features = picture_records.parse(examples)
        logits, bpp = self.logits_and_bpp(features[picture_records.ENCODED])
        return self.numbers(features[picture_records.LABEL], logits) | {"bpp": bpp[:, None]}
