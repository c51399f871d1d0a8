"""The served form of every classifier: `predict` for pictures, `serving_default` for the evaluation of records."""

import functools
import json

import tensorflow as tf

from models.classifiers.inputs import prepare
from models.publishing import export
from models.records import pictures as picture_records

_FORMAT = "central square, antialiased, 1"
_LEAST = 1e-7  # probability that a label the model does not know is charged with


def signatures(model, config) -> "ClassifierServer":
    """The module to save: `signatures` of a recipe."""
    return ClassifierServer(model, config)


class ClassifierServer(tf.Module):
    """Holds a trained classifier and the served functions in `functions`."""

    def __init__(self, model, config):
        super().__init__(name="classifier")
        self.model, self.size, self.classes = model, config.image_size, config.classes
        names = json.loads(config.class_names) if config.class_names else [str(c) for c in range(config.classes)]
        self.names = tf.constant([name or str(c) for c, name in enumerate(names)])
        self.fingerprint = export.fingerprint_of(_FORMAT, model, config)
        graph = functools.partial(tf.function, autograph=False)
        self._logits = graph(self.logits, [tf.TensorSpec([None], tf.string)])
        self.functions = {
            "predict": graph(self.predict, [tf.TensorSpec([None], tf.string, "image_bytes")]),
            "predict_names": graph(self.predict_names, [tf.TensorSpec([None], tf.int64, "index")]),
            "serving_default": graph(self.evaluate, [tf.TensorSpec([None], tf.string, "examples")]),
        }

    def logits(self, encoded: tf.Tensor) -> tf.Tensor:
        """Encoded pictures, string [B] -> [B, K] float32."""
        shape = tf.TensorSpec([self.size, self.size, 3], tf.uint8)
        pixels = tf.map_fn(lambda e: prepare(e, self.size), encoded, fn_output_signature=shape)
        return self.model(tf.cast(pixels, tf.float32) / 255.0, training=False)

    def predict(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [B] (PNG, JPEG, BMP, GIF) -> what they show.

        Returns:
          "probabilities": float32 [B, K]; "class": int64 [B], the likeliest; "class_name": string [B].
        """
        return self.answers(self._logits(image_bytes))

    def answers(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `predict` gives for logits [B, K]."""
        probabilities = tf.nn.softmax(logits)
        best = tf.argmax(probabilities, axis=-1)
        return {"probabilities": probabilities, "class": best, "class_name": tf.gather(self.names, best)}

    def predict_names(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """index int64 [B], places in "probabilities" -> "class_name": string [B]."""
        return {"class_name": tf.gather(self.names, index)}

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialised records, string [B] -> numbers of each, float32 [B, 1].

        accuracy and top5_accuracy are 0 or 1, cross_entropy is in nats, confidence is the largest probability, `label`
        is the record's, -1 if it has none. A label that the model does not know counts as wrong, at a probability of
        1e-7.
        """
        features = picture_records.parse(examples)
        return self.numbers(features[picture_records.LABEL], self._logits(features[picture_records.ENCODED]))

    def numbers(self, labels: tf.Tensor, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `evaluate` gives for labels int64 [B] and logits [B, K]."""
        log_probabilities = tf.nn.log_softmax(logits)
        known = tf.logical_and(labels >= 0, labels < self.classes)
        places = tf.where(known, labels, 0)
        top5 = tf.math.top_k(logits, min(5, self.classes)).indices
        wanted = tf.gather(log_probabilities, places, batch_dims=1)
        hit = tf.equal(tf.argmax(logits, axis=-1), places)
        near = tf.reduce_any(tf.equal(tf.cast(top5, tf.int64), places[:, None]), axis=1)
        numbers = {
            "accuracy": tf.logical_and(known, hit),
            "top5_accuracy": tf.logical_and(known, near),
            "cross_entropy": -tf.where(known, wanted, tf.math.log(_LEAST)),
            "confidence": tf.exp(tf.reduce_max(log_probabilities, axis=-1)),
            "label": labels,
        }
        return {name: tf.cast(value, tf.float32)[:, None] for name, value in numbers.items()}
