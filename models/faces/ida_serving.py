"""The served form of an aligned network for faces: `embed` gives the discrepancy too, `verify` both scores."""

import tensorflow as tf
from keras import ops

from models.faces import alignment, original
from models.faces.serving import FaceServer
from models.publishing import export
from models.records import faces as face_records
from models.records import pictures as picture_records

_FORMAT = "aligned, 1"


def signatures(model, config) -> "AlignedServer":
    """The module to save: `signatures` of the recipe."""
    return AlignedServer(model, config)


class AlignedServer(FaceServer):
    """Holds an `models.faces.ida.Aligned` and the served functions in `functions`."""

    def __init__(self, model, config):
        _, known = original.again(model.config.network)
        self.place = alignment.ESTIMATORS.index(config.estimator)
        self.mode, self.form, self.aligned_decision = config.mode, model.form.value, model.aligned_decision.value
        super().__init__(model, known)
        self.fingerprint = export.fingerprint_of(_FORMAT, model, config)

    def told(self, encoded: tf.Tensor) -> tf.Tensor:
        """Encoded pictures, string [B] -> unit vectors and what is said of their support sets, float32 [B, D + 4]."""
        found = self.model.of_vectors(self.vectors(encoded))
        return tf.concat([found["embedding"], found["support"]], axis=1)

    def embed(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [B] (PNG, JPEG, BMP, GIF) -> "embedding": unit vectors float32 [B, D]; "discrepancy":
          float32 [B], the mean cosine to the nearest candidates of the bank, high where faces are crowded; "support"
        and "alignment", float32 [B, 4], as of `evaluate`: with them whoever compares embeddings aligns the cosines.
        """
        unit, support = self._parts(self._told(image_bytes))
        return {"embedding": unit, "discrepancy": support[:, 2 * self.place]} | self._alignment(support)

    def verify(self, first_bytes: tf.Tensor, second_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Whether two pictures, string [B] each, show one person.

        Returns:
          As of `FaceServer.verify`, of the raw score; "same" is decided by the aligned one: "aligned", float32 [B], is
          at least "aligned_threshold", float32 [B]; "aligned_false_accept_rate": float32 [B], as of the raw one.
        """
        count = tf.shape(first_bytes)[0]
        unit, support = self._parts(self._told(tf.concat([first_bytes, second_bytes], axis=0)))
        cosine = tf.reduce_sum(unit[:count] * unit[count:], axis=-1)
        mean, spread = support[:, 2 * self.place], support[:, 2 * self.place + 1]
        form = alignment.Form(self.mode, self.form[2], self.form[self.place])
        sides = [(mean[part], spread[part]) for part in (slice(None, count), slice(count, None))]
        score = alignment.aligned(cosine, *sides, form, ops)
        threshold, rate, pairs = (tf.fill([count], self.decision[n]) for n in range(3))
        own, own_rate = (tf.fill([count], self.aligned_decision[n]) for n in range(2))
        return {"cosine": cosine, "threshold": threshold, "false_accept_rate": rate,
                "impostor_pairs": tf.cast(pairs, tf.int64), "aligned": score, "aligned_threshold": own,
                "aligned_false_accept_rate": own_rate, "same": score >= own}  # fmt: skip

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialised records, string [B] -> what the aggregates of a set take.

        Returns:
          As of `FaceServer.evaluate`; "support": float32 [B, 4] as of `models.faces.ida.Aligned`; "alignment": float32
          [B, 4], the same in each row: the place of the mode in `alignment.MODES`, strength, mean discrepancy, and the
          estimator's place.
        """
        features = picture_records.parse(examples)
        unit, support = self._parts(self._told(features[picture_records.ENCODED]))
        return {
            "embedding": unit,
            "label": features[picture_records.LABEL][:, None],
            **face_records.parse(examples),
            **self._alignment(support),
        }

    def _alignment(self, support: tf.Tensor) -> dict[str, tf.Tensor]:
        row = [float(alignment.MODES.index(self.mode)), self.form[2], self.form[self.place], float(self.place)]
        return {"support": support, "alignment": tf.tile(tf.stack(row)[None], [tf.shape(support)[0], 1])}

    def _graphs(self, graph, pictures) -> None:
        self._told = graph(self.told, [pictures()])

    @staticmethod
    def _parts(told: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return told[:, :-4], told[:, -4:]
