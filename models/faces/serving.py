"""The served form of a network for faces: `embed`, `verify`, and `serving_default` for the evaluation of records."""

import functools

import tensorflow as tf

from models.classifiers.inputs import prepare
from models.publishing import export
from models.records import faces as face_records
from models.records import pictures as picture_records

_FORMAT = "central share, antialiased, 1"


def signatures(model, config) -> "FaceServer":
    """The module to save: `signatures` of a recipe."""
    return FaceServer(model, config)


class FaceServer(tf.Module):
    """Holds a trained network and the served functions in `functions`."""

    def __init__(self, model, config):
        super().__init__(name="face")
        self.model, self.size, self.central = model, config.image_size, config.central
        self.decision = model.decision.value
        self.fingerprint = export.fingerprint_of(_FORMAT, model, config)
        graph = functools.partial(tf.function, autograph=False)
        pictures = functools.partial(tf.TensorSpec, [None], tf.string)
        self._graphs(graph, pictures)
        self.functions = {
            "embed": graph(self.embed, [pictures("image_bytes")]),
            "verify": graph(self.verify, [pictures("first_bytes"), pictures("second_bytes")]),
            "serving_default": graph(self.evaluate, [pictures("examples")]),
        }

    def _graphs(self, graph, pictures) -> None:
        """Makes the functions that the served ones share."""
        self._embedding = graph(self.embedding, [pictures()])

    def embedding(self, encoded: tf.Tensor) -> tf.Tensor:
        """Encoded pictures, string [B] -> unit vectors [B, D] float32."""
        return tf.math.l2_normalize(self.vectors(encoded), axis=-1)

    def vectors(self, encoded: tf.Tensor) -> tf.Tensor:
        """The same before they are divided by their lengths."""
        shape = tf.TensorSpec([self.size, self.size, 3], tf.uint8)
        pixels = tf.map_fn(lambda e: prepare(e, self.size, self.central), encoded, fn_output_signature=shape)
        return tf.cast(self.model.network(tf.cast(pixels, tf.float32) / 255.0, training=False), tf.float32)

    def embed(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [B] (PNG, JPEG, BMP, GIF) -> "embedding": unit vectors float32 [B, D].

        What counts is the central square of a picture, of the side that the configuration's `central` says.
        """
        return {"embedding": self._embedding(image_bytes)}

    def verify(self, first_bytes: tf.Tensor, second_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Whether two pictures, string [B] each, show one person.

        Returns:
          "cosine": float32 [B], of their embeddings; "same": bool [B], whether that is at least "threshold", float32
          [B]; "false_accept_rate": float32 [B], the share of pairs of two persons at or above it among the
          "impostor_pairs", int64 [B], of the validation, whose persons were not trained on.
        """
        count = tf.shape(first_bytes)[0]
        both = self._embedding(tf.concat([first_bytes, second_bytes], axis=0))
        cosine = tf.reduce_sum(both[:count] * both[count:], axis=-1)
        threshold, rate, pairs = (tf.fill([count], self.decision[n]) for n in range(3))
        return {"cosine": cosine, "same": cosine >= threshold, "threshold": threshold, "false_accept_rate": rate,
                "impostor_pairs": tf.cast(pairs, tf.int64)}  # fmt: skip

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialised records, string [B] -> what the aggregates of a set take.

        Returns:
          "embedding": float32 [B, D]; "label": int64 [B, 1], the person's number, -1 without one; "number": int64
          [B, 1], of the picture in its set; "pairs": int64 [B, P, 3], for each listed pair whose first picture it is
          the second's number, whether they are one person (1) or two (0), and the fold; rows of -1 fill up.
        """
        features = picture_records.parse(examples)
        return {
            "embedding": self._embedding(features[picture_records.ENCODED]),
            "label": features[picture_records.LABEL][:, None],
            **face_records.parse(examples),
        }
