"""The served form of segmenters: class maps of streams, and of pictures by way of their streams."""

import functools
import json

import tensorflow as tf

from models.entropy.coder import container
from models.publishing import export
from models.records import pictures as picture_records
from models.records import scenes as scene_records
from models.understanding import codecs
from models.understanding.reader import Reader

_FORMAT = "class maps of codes, 1"
_LEAST = 1e-7  # probability that a class the model does not know is charged with


def signatures(model, config) -> "SceneServer":
    """The module to save: `signatures` of a recipe."""
    return SceneServer(model, config)


class SceneServer(tf.Module):
    """Holds a trained segmenter with its codec, and the served functions in `functions`.

    One picture is worked on after the other, each at its own size.
    """

    def __init__(self, model, config):
        super().__init__(name="segmenter")
        recipe, of_codec = codecs.of_about(config.codec_about)
        self.model, self.classes = model, config.classes
        self.reader = Reader(recipe, model.codec, of_codec, config.quality, config.rgb)
        self.coder = self.reader.payload.latents  # its tables are variables; the rest of the codec is the model's
        self.tables, self.reads = self.reader.tables, self.reader.reads
        self.fingerprint = export.fingerprint_of(_FORMAT, model, config)
        names = json.loads(config.class_names) if config.class_names else [str(c) for c in range(config.classes)]
        self.names = tf.constant([name or str(c) for c, name in enumerate(names)])
        graph = functools.partial(tf.function, autograph=False)
        sides = tf.TensorSpec([], tf.int32)
        codes = tf.TensorSpec([None, None, self.reader.depth], self.reader.dtype)
        self._segment = graph(self.segment_codes, [codes, sides, sides])
        texts = {
            name: tf.TensorSpec([None], tf.string, name) for name in ("image_bytes", "bitstream_bytes", "examples")
        }
        self.functions = {
            "segment": graph(self.segment, [texts["image_bytes"]]),
            "segment_streams": graph(self.segment_streams, [texts["bitstream_bytes"]]),
            "encode_streams": graph(self.encode_streams, [texts["image_bytes"]]),
            "class_names": graph(self.class_names, [tf.TensorSpec([None], tf.int64, "index")]),
            "serving_default": graph(self.evaluate, [texts["examples"]]),
        }

    def segment_codes(self, codes: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """What a receiver has of one picture, float32 [h, w, M] or uint8 [H, W, 3], -> logits [H, W, K] float32."""
        seen = tf.cast(codes, tf.float32)[None]
        logits = self.model(seen / 255.0 if self.reader.rgb else seen, training=False)[0]
        return tf.ensure_shape(logits[:height, :width], [None, None, self.classes])

    def segment(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [B] -> "class_map_bytes": string [B], what `segment_streams` gives for their streams."""

        def one(encoded):
            pixels = picture_records.decode(encoded)
            return _png(self._segment(self.reader.write(pixels)[1], *tf.unstack(tf.shape(pixels)[:2])))

        return {"class_map_bytes": _each(one, image_bytes)}

    def segment_streams(self, bitstream_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """bitstream_bytes string [B], streams of the codec, of any sizes -> "class_map_bytes": string [B], PNGs of
        8-bit grey of the pictures' sizes, the class of each pixel.

        Raises:
          tf.errors.InvalidArgumentError: one is no stream, another codec's, or damaged.
        """

        def one(stream):
            return _png(self._segment(self.reader.read(stream), *container.sides_of(stream)))

        return {"class_map_bytes": _each(one, bitstream_bytes)}

    def encode_streams(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [B] -> "bitstream_bytes": string [B], the codec's streams of the pictures as they are."""
        return {"bitstream_bytes": _each(self.reader.stream_of, image_bytes)}

    def class_names(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """index int64 [B], levels of a class map -> "class_name": string [B]."""
        return {"class_name": tf.gather(self.names, index)}

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Really codes the scenes of serialised records, string [B].

        Returns:
          "confusion": float32 [B, K + 1, K], pixels by what they are and what they are taken for; the last row are
          those of a class that the model does not know. "accuracy", "cross_entropy" (nats), means over the pixels with
          a class, and "bpp": float32 [B, 1].
        """
        features = scene_records.parse(examples)
        given = features[picture_records.ENCODED], features[scene_records.LABEL_MAP]
        specs = tf.TensorSpec([self.classes + 1, self.classes], tf.float32), tf.TensorSpec([3], tf.float32)
        confusion, numbers = tf.map_fn(
            lambda one: self._measure(*one), given, fn_output_signature=specs, parallel_iterations=1
        )
        found = {name: numbers[:, n : n + 1] for n, name in enumerate(("accuracy", "cross_entropy", "bpp"))}
        return {"confusion": confusion} | found

    def _measure(self, encoded: tf.Tensor, label_map: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, labels = picture_records.decode(encoded), tf.cast(scene_records.decode_map(label_map), tf.int32)
        stream, codes = self.reader.write(pixels)
        sides = tf.shape(pixels)[:2]
        logits = self._segment(codes, *tf.unstack(sides))
        known = tf.not_equal(labels, scene_records.VOID)
        labels, logits = tf.boolean_mask(labels, known), tf.boolean_mask(logits, known)
        places = tf.minimum(labels, self.classes)
        taken = tf.argmax(logits, axis=-1, output_type=tf.int32)
        cells = tf.math.bincount(places * self.classes + taken, minlength=(self.classes + 1) * self.classes)
        confusion = tf.reshape(tf.cast(cells, tf.float32), [self.classes + 1, self.classes])
        log_p = tf.pad(tf.nn.log_softmax(logits), [[0, 0], [0, 1]], constant_values=tf.math.log(_LEAST))
        losses = -tf.gather(log_p, places, batch_dims=1)
        count = tf.maximum(tf.cast(tf.size(places), tf.float32), 1.0)
        right = tf.reduce_sum(tf.cast(tf.equal(taken, places), tf.float32))
        bits = 8.0 * tf.cast(tf.strings.length(stream), tf.float32)
        bpp = bits / tf.cast(tf.reduce_prod(sides), tf.float32)
        return confusion, tf.stack([right / count, tf.reduce_sum(losses) / count, bpp])


def _png(logits: tf.Tensor) -> tf.Tensor:
    """The class map of logits [H, W, K], PNG bytes."""
    return tf.io.encode_png(tf.cast(tf.argmax(logits, axis=-1), tf.uint8)[..., None])


def _each(function, texts: tf.Tensor) -> tf.Tensor:
    spec = tf.TensorSpec([], tf.string)
    return tf.map_fn(function, texts, fn_output_signature=spec, parallel_iterations=1)
