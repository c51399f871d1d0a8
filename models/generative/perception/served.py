"""How pictures that a codec drew anew are judged: features for FD, and sharpness; and a server that gives them."""

import numpy as np
import tensorflow as tf

from models.codecs.serving.server import PictureServer
from models.generative.perception import features
from models.records import pictures as picture_records

# Of two roundings to 8 bits, in either direction: what is added to both energies, so that flat pictures have a ratio.
_ROUNDING = 1.0 / 3.0
SPECS = {
    "features": tf.TensorSpec([features.POSITIONS**2, features.DIMENSIONS], tf.float32),
    "features_of_original": tf.TensorSpec([features.POSITIONS**2, features.DIMENSIONS], tf.float32),
    "sharpness": tf.TensorSpec([1], tf.float32),
}


def gradient_energy(pixels: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of neighbours, down and to the right, of each picture [B, H, W, C]: float32 [B].

    On the scale of 0 to 255, squared; a side of one pixel has no difference, which counts as zero.
    """
    x = tf.cast(pixels, tf.float32)
    energies = []
    for difference in (x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]):
        number = tf.cast(tf.reduce_prod(tf.shape(difference)[1:]), tf.float32)
        energies.append(tf.reduce_sum(tf.square(difference), [1, 2, 3]) / tf.maximum(number, 1.0))
    return tf.add_n(energies)


def sharpness(original: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
    """Gradient energy of what is drawn over that of the original, each [B, H, W, C] on 0 to 255: float32 [B].

    Below 1 is blurred, above 1 has more detail, or noise, than there was.
    """
    return (gradient_energy(drawn) + _ROUNDING) / (gradient_energy(original) + _ROUNDING)


def outputs(original: tf.Tensor, drawn: tf.Tensor) -> dict[str, tf.Tensor]:
    """What `SPECS` names of one picture and what was drawn for it, each uint8 or float32 [H, W, 3] on 0 to 255."""
    return {
        "features": features.features(drawn),
        "features_of_original": features.features(original),
        "sharpness": sharpness(original[None], drawn[None]),
    }


class PerceptualServer(PictureServer):
    """A picture server whose `serving_default` gives `features`, `features_of_original` [B, 64, 64] and `sharpness`
    [B, 1] beside the numbers: what `models.generative.perception.metrics` are of.
    """

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """As of `PictureServer`, and `outputs` of every picture."""
        encoded = picture_records.parse(examples)[picture_records.ENCODED]

        def one(picture):
            pixels, decoded, drawn, bpp = self.compared(picture)
            return {"numbers": tf.stack(self.measure(pixels, decoded, drawn, bpp)), **outputs(pixels, drawn)}

        specs = SPECS | {"numbers": tf.TensorSpec([len(self.measures)], tf.float32)}
        found = tf.map_fn(one, encoded, fn_output_signature=specs, parallel_iterations=1)
        numbers = found.pop("numbers")
        return {name: numbers[:, i : i + 1] for i, name in enumerate(self.measures)} | found


def of_pictures(pictures: np.ndarray, batch: int = 64) -> np.ndarray:
    """Features of pictures uint8 or float32 [N, H, W, 3] on 0 to 255, of sides that 8 divides: [N, H/8 * W/8, 64]."""
    parts = (features.feature_map(tf.constant(pictures[n : n + batch])).numpy() for n in range(0, len(pictures), batch))
    return np.concatenate([part.reshape(len(part), -1, features.DIMENSIONS) for part in parts])
