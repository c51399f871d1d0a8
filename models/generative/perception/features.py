"""The fixed small network whose features a Frechet distance is taken between, here called FD.

    pixels --four 3x3 convolutions with ReLU, three of stride 2--> 1x1 --> 64 features at every 8th pixel

It was trained here, by `models.generative.perception.training`, and never changes: `features.npz` beside this file has
a fingerprint that is checked. Distances under it compare with each other alone, at equal counts and sizes of pictures;
the FID of the literature (arXiv:1706.08500) takes another network.
"""

import functools
import hashlib
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from models.codecs.distortion import at_least
from models.contract.errors import KompaktError

FINGERPRINT = "8c8dc9aceb884454"
DIMENSIONS = 64
STRIDE = 8  # pixels between two positions, each way
POSITIONS = 8  # of a picture, each way, that its features are taken at; a smaller one is mirrored
LARGEST = 1024  # pixels a side that are looked at, the middle ones
LAYERS = ((3, 32, 2), (32, 64, 2), (64, 96, 2), (96, 96, 1))  # channels in and out, stride
_FILE = pathlib.Path(__file__).with_name("features.npz")


class FeaturesError(KompaktError, ValueError):
    """The weights of the feature network are missing, damaged, or others than this version's."""


def fingerprint(weights: Mapping[str, np.ndarray]) -> str:
    """16 hexadecimal digits of all arrays, their names, types and shapes."""
    made = hashlib.sha256()
    for name in sorted(weights):
        values = np.ascontiguousarray(weights[name])
        made.update(f"{name} {values.dtype.str} {values.shape}".encode() + values.tobytes())
    return made.hexdigest()[:16]


@functools.cache
def weights() -> dict[str, np.ndarray]:
    """The kernels "kernel0" [3, 3, in, out] ..., the last [1, 1, 96, 64], and the biases "bias0" [out] ..., float16.

    Raises:
      FeaturesError: see there.
    """
    try:
        with np.load(_FILE, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, EOFError, zipfile.BadZipFile, ValueError) as error:
        raise FeaturesError(f"{_FILE}: no feature network: {' '.join(str(error).split())}") from error
    if (has := fingerprint(found)) != FINGERPRINT:
        raise FeaturesError(f"{_FILE}: the feature network is {has}, this version's is {FINGERPRINT}")
    return found


def feature_map(pixels: tf.Tensor) -> tf.Tensor:
    """Features at every 8th pixel, in stock operations.

    Args:
      pixels: uint8 or float32 [B, H, W, 3] on 0 to 255, H and W multiples of 8.

    Returns:
      float32 [B, H/8, W/8, 64]; over training photographs each has about mean 0 and variance 1.
    """
    held = weights()
    x = tf.cast(pixels, tf.float32) / 127.5 - 1.0
    for n, (_, _, stride) in enumerate(LAYERS):
        x = tf.nn.conv2d(x, held[f"kernel{n}"].astype(np.float32), stride, "SAME") + held[f"bias{n}"].astype(np.float32)
        x = tf.nn.relu(x)
    last = len(LAYERS)
    return tf.nn.conv2d(x, held[f"kernel{last}"].astype(np.float32), 1, "SAME") + held[f"bias{last}"].astype(np.float32)


def features(pixels: tf.Tensor) -> tf.Tensor:
    """Features of a picture of any size at 8x8 positions that are evenly spread over its middle (see LARGEST).

    Args:
      pixels: uint8 or float32 [H, W, 3] on 0 to 255.

    Returns:
      float32 [64, 64], a row a position. A picture under 64 pixels a side is mirrored up to that.
    """
    pixels = at_least(pixels[None], POSITIONS * STRIDE)[0]
    sides = tf.unstack(tf.shape(pixels)[:2])
    kept = [tf.minimum(side - side % STRIDE, LARGEST) for side in sides]
    top, left = ((side - less) // 2 for side, less in zip(sides, kept, strict=True))
    return _at_positions(tf.cast(pixels[top : top + kept[0], left : left + kept[1]], tf.float32))


@tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.float32)], autograph=False)
def _at_positions(pixels: tf.Tensor) -> tf.Tensor:
    """`features` of pixels whose sides are multiples of 8, as one function: its weights stand in a saved model once."""
    rows, columns = (_spread(side // STRIDE) for side in tf.unstack(tf.shape(pixels)[:2]))
    found = tf.gather(tf.gather(feature_map(pixels[None])[0], rows), columns, axis=1)
    return tf.ensure_shape(tf.reshape(found, [-1, DIMENSIONS]), [POSITIONS**2, DIMENSIONS])


def _spread(count: tf.Tensor) -> tf.Tensor:
    """8 of so many places, evenly spread: int32 [8]."""
    return (2 * tf.range(POSITIONS) + 1) * count // (2 * POSITIONS)
