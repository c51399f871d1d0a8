"""Distortion of decoded pictures: PSNR and MS-SSIM on 8-bit pixels."""

import tensorflow as tf

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first (Wang et al. 2003, table 1)
_WINDOW = 11


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
    original, decoded = (_at_least_window(tf.cast(p, tf.float32)) for p in (original, decoded))
    side = tf.reduce_min(tf.shape(original)[1:3])

    def at(scales):
        weights = _WEIGHTS[:scales]
        weights = [w * sum(_WEIGHTS) / sum(weights) for w in weights]
        return lambda: tf.image.ssim_multiscale(original, decoded, 255.0, weights, filter_size=_WINDOW)

    fits = [tf.cast(side >= _WINDOW * 2**s, tf.int32) for s in range(1, len(_WEIGHTS))]
    return tf.switch_case(tf.add_n(fits), [at(s) for s in range(1, len(_WEIGHTS) + 1)])


def _at_least_window(pictures: tf.Tensor) -> tf.Tensor:
    """Mirrors pictures [B, H, W, C] up to the window's size where they are smaller."""
    for axis in (1, 2):
        length = tf.shape(pictures)[axis]
        places = tf.range(tf.maximum(length, _WINDOW)) % (2 * length)
        pictures = tf.gather(pictures, tf.minimum(places, 2 * length - 1 - places), axis=axis)
    return pictures
