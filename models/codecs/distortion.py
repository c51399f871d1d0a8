"""Distortion of decoded pictures: PSNR and MS-SSIM on 8-bit pixels."""

import tensorflow as tf

from models.codecs.similarity import WEIGHTS, WINDOW, factors


def psnr_db(original: tf.Tensor, decoded: tf.Tensor) -> tf.Tensor:
    """PSNR of each picture over all its RGB values.

    Args:
      original, decoded: [B, H, W, C], any numeric dtype, 0 to 255.

    Returns:
      [B] float32, dB; equal pictures give 100.
    """
    difference = tf.cast(original, tf.float32) - tf.cast(decoded, tf.float32)
    mse = tf.reduce_mean(tf.square(difference), axis=[1, 2, 3])
    return tf.minimum(100.0, -10.0 * tf.math.log(tf.maximum(mse, 1e-12) / 255.0**2) / tf.math.log(10.0))


def ms_ssim(original: tf.Tensor, decoded: tf.Tensor) -> tf.Tensor:
    """Multi-scale structural similarity of each picture, mean over the channels.

    Pictures whose smaller side is below 176 pixels take as many of the five scales as the 11-pixel window fits, with
    the weights brought to the same sum; sides below 11 pixels are mirrored up to 11.

    Args:
      original, decoded: [B, H, W, C], any numeric dtype, 0 to 255.

    Returns:
      [B] float32, at most 1 (Wang, Simoncelli, Bovik 2003).
    """
    pair = [at_least(tf.cast(p, tf.float32), WINDOW) / 255.0 for p in (original, decoded)]
    side = tf.reduce_min(tf.shape(pair[0])[1:3])
    scales = 1 + tf.add_n([tf.cast(side >= WINDOW * 2**s, tf.int32) for s in range(1, len(WEIGHTS))])
    weights = tf.constant(WEIGHTS)[:scales]
    weights *= sum(WEIGHTS) / tf.reduce_sum(weights)

    def one(scale, x, y, product):
        luminance, contrast = factors(x, y)
        terms = tf.where(scale == scales - 1, luminance * contrast, contrast)
        product *= tf.pow(tf.nn.relu(tf.reduce_mean(terms, axis=(1, 2))), weights[scale])
        return scale + 1, _halved(x), _halved(y), product

    # One trace for all scales: five for each number of them are a sixth of the time of an export.
    batch, channels = tf.shape(pair[0])[0], pair[0].shape[-1]
    of_pictures, of_product = tf.TensorShape([None, None, None, channels]), tf.TensorShape([None, channels])
    _, _, _, product = tf.while_loop(
        lambda scale, *_: scale < scales, one, (0, *pair, tf.ones([batch, channels])),
        shape_invariants=(tf.TensorShape([]), of_pictures, of_pictures, of_product), parallel_iterations=1,
    )  # fmt: skip
    return tf.reduce_mean(product, axis=-1)


def _halved(pictures: tf.Tensor) -> tf.Tensor:
    """Means of 2x2 pixels of [B, H, W, C]; an odd side is mirrored by one."""
    odd = tf.shape(pictures)[1:3] % 2
    pictures = tf.pad(pictures, [[0, 0], [0, odd[0]], [0, odd[1]], [0, 0]], "SYMMETRIC")
    return tf.nn.avg_pool2d(pictures, 2, 2, "VALID")


def at_least(pictures: tf.Tensor, side: int) -> tf.Tensor:
    """Mirrors pictures [B, H, W, C] up to a side where they are smaller."""
    for axis in (1, 2):
        length = tf.shape(pictures)[axis]
        places = tf.range(tf.maximum(length, side)) % (2 * length)
        pictures = tf.gather(pictures, tf.minimum(places, 2 * length - 1 - places), axis=axis)
    return pictures
