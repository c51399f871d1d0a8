"""The served form of a dictionary: pictures or vectors to sparse non-negative weights and back, in float64."""

import functools

import tensorflow as tf

from models.publishing import export
from models.pursuit.inputs import joined, patches, prepare
from models.pursuit.problems import OnGram
from models.pursuit.pursuit import pursue
from models.records import pictures as picture_records

_FORMAT = "central square, patches, 1"
_PATIENCE = {"fcmp": 4, "pwmp": 40, "amp": 80, "nnmp": 80}  # steps for each atom that may be used
_TINY = 1e-10  # of a mean squared error, of a signal's energy: 100 dB is as good as it gets


def signatures(model, config) -> "DictionaryServer":
    """The module to save: `signatures` of a recipe."""
    return DictionaryServer(model, config)


class DictionaryServer(tf.Module):
    """Holds a dictionary and the served functions in `functions`.

    Weights are of atoms of norm 1. A picture is its central square, in P patches of d numbers; N vectors of d numbers
    are coded alike. Numbers are float32 outside, float64 inside.
    """

    def __init__(self, model, config):
        super().__init__(name="dictionary")
        self.model, self.config = model, config
        self.fingerprint = export.fingerprint_of(_FORMAT, model, config)
        graph = functools.partial(tf.function, autograph=False)
        strings = functools.partial(tf.TensorSpec, [None], tf.string)
        vectors = tf.TensorSpec([None, None, config.length], tf.float32, "vectors")
        weights = tf.TensorSpec([None, None, config.atoms], tf.float32, "weights")
        self._coded = graph(self.coded, [tf.TensorSpec([None, None, config.length], tf.float64)])
        self.functions = {
            "encode": graph(self.encode, [strings("image_bytes")]),
            "encode_vectors": graph(self.encode_vectors, [vectors]),
            "decode": graph(self.decode, [weights]),
            "decode_vectors": graph(self.decode_vectors, [weights]),
            "serving_default": graph(self.evaluate, [strings("examples")]),
        }

    @property
    def atoms(self) -> tf.Tensor:
        """Atoms of norm 1, float64 [K, d]."""
        return tf.math.l2_normalize(tf.cast(self.model.atoms.value, tf.float64), axis=1)

    def coded(self, vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Vectors float64 [B, N, d] -> what `encode_vectors` says, float64."""
        config, shape = self.config, tf.shape(vectors)[:2]
        flat = tf.reshape(vectors, (-1, config.length))
        found = pursue(
            OnGram.of(self.atoms, flat), config.algorithm, most=config.nonzeros,
            steps=10 + _PATIENCE[config.algorithm] * config.nonzeros, tolerance=1e-8,
        )  # fmt: skip
        weights = tf.reshape(found.weights, (shape[0], shape[1], config.atoms))
        energy = tf.reduce_sum(tf.square(vectors), axis=(1, 2))
        left = 2 * tf.reduce_sum(tf.reshape(tf.maximum(found.value, 0), shape), axis=1)
        count = tf.cast(tf.maximum(shape[1], 1), tf.float64)
        return {
            "weights": weights,
            "error": left / tf.maximum(energy, _TINY),
            "nonzeros": tf.reduce_sum(tf.cast(weights > 0, tf.float64), axis=(1, 2)) / count,
            "lowest": tf.reshape(found.lowest, shape),
            "along": tf.reshape(found.along, shape),
        }

    def encode_vectors(self, vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        """vectors float32 [B, N, d] -> how atoms add up to them.

        Returns:
          float32: "weights" [B, N, K]; "error" [B], squared, over the squares of what was coded; "nonzeros" [B], atoms
          used for a vector in the mean; "lowest" [B, N], the least slope along an atom, and "along", that along the sum
          itself: 0 or above, and 0, where no other weights are better. With as many atoms as may be used, another atom
          may have a slope below 0.
        """
        return {name: tf.cast(v, tf.float32) for name, v in self._coded(tf.cast(vectors, tf.float64)).items()}

    def _pixels(self, encoded: tf.Tensor) -> tf.Tensor:
        """Encoded pictures, string [B] -> uint8 [B, P, d]."""
        config = self.config
        shape = tf.TensorSpec([(config.image_size // config.patch) ** 2, config.length], tf.uint8)
        return tf.map_fn(lambda e: patches(prepare(e, config), config), encoded, fn_output_signature=shape)

    def encode(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """image_bytes string [B] (PNG, JPEG, BMP, GIF) -> as `encode_vectors` of their patches, and "psnr_db" [B]."""
        pixels = tf.cast(self._pixels(image_bytes), tf.float64) / 255
        found = self._coded(pixels)
        psnr = self._psnr(pixels, found["weights"])
        return {name: tf.cast(v, tf.float32) for name, v in (found | {"psnr_db": psnr}).items()}

    def _psnr(self, pixels, weights):
        """Of what `decode` gives against the pixels [B, P, d] in [0, 1], decibels [B]."""
        decoded = tf.round(255 * tf.clip_by_value(weights @ self.atoms, 0, 1)) / 255
        error = tf.reduce_mean(tf.math.squared_difference(decoded, pixels), axis=(1, 2))
        return -10 * tf.math.log(tf.maximum(error, _TINY)) / tf.math.log(tf.constant(10.0, tf.float64))

    def decode_vectors(self, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        """weights float32 [B, N, K] -> "vectors", float32 [B, N, d]."""
        return {"vectors": tf.cast(tf.cast(weights, tf.float64) @ self.atoms, tf.float32)}

    def decode(self, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        """weights float32 [B, P, K] of pictures -> "picture_bytes", string [B], PNG files of S by S pixels.

        Raises:
          tf.errors.InvalidArgumentError: another number of patches than a picture has.
        """
        count = (self.config.image_size // self.config.patch) ** 2
        told = tf.debugging.Assert(
            tf.equal(tf.shape(weights)[1], count),
            [f"weights: a picture has {count} patches, not", tf.shape(weights)[1]],
        )
        with tf.control_dependencies([told]):
            vectors = tf.cast(weights, tf.float64) @ self.atoms
        pixels = tf.cast(tf.round(255 * tf.clip_by_value(joined(vectors, self.config), 0, 1)), tf.uint8)
        return {"picture_bytes": tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.string)}

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialised records, string [B] -> "psnr_db", "error" and "nonzeros" of each as `encode`, float32 [B, 1]."""
        found = self.encode(picture_records.parse(examples)[picture_records.ENCODED])
        return {name: found[name][:, None] for name in ("psnr_db", "error", "nonzeros")}
