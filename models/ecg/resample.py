"""Resampling in the graph: the filter of `scipy.signal.resample_poly`, for any rate, of stock TensorFlow ops.

That filter is a sinc in a Kaiser window (beta 5) that reaches over ten zero crossings to each side and cuts off at the
lower of the two Nyquist frequencies. Here it is evaluated where a sample of the output needs it, so rates need no small
ratio.
"""

import numpy as np
import tensorflow as tf

_CROSSINGS = 10  # zero crossings of the sinc to each side
_BETA = 5.0
_GRID = np.linspace(-_CROSSINGS, _CROSSINGS, 2001)
_WINDOW = np.i0(_BETA * np.sqrt(1 - (_GRID / _CROSSINGS) ** 2))
_INTEGRAL = float(np.sum(np.sinc(_GRID) * _WINDOW) * (_GRID[1] - _GRID[0]))


def resample(samples: tf.Tensor, rate: tf.Tensor, wanted: float) -> tf.Tensor:
    """One signal at another rate; beyond its ends it is taken as zero.

    Args:
      samples: float32 [T], at `rate` samples a second.
      rate: scalar float32, above 0.
      wanted: samples a second of the answer.

    Returns:
      float32 [ceil(T * wanted / rate)]; the samples themselves, bit for bit, where the rates are equal.
    """
    return tf.cond(tf.equal(rate, wanted), lambda: samples, lambda: _filtered(samples, rate, wanted))


def _filtered(samples: tf.Tensor, rate: tf.Tensor, wanted: float) -> tf.Tensor:
    # Places are float64: half an hour at 1 kHz has more samples than float32 can number with a fraction.
    rate, count = tf.cast(rate, tf.float64), tf.size(samples)
    length = tf.cast(tf.math.ceil(tf.cast(count, tf.float64) * wanted / rate), tf.int32)
    places = tf.cast(tf.range(length), tf.float64) * rate / wanted
    whole = tf.floor(places)
    first, fraction = tf.cast(whole, tf.int32), tf.cast(places - whole, tf.float32)
    cutoff = tf.minimum(1.0, tf.cast(wanted / rate, tf.float32))
    reach = tf.cast(tf.math.ceil(_CROSSINGS / cutoff), tf.int32)

    def add(offset, total):
        u = cutoff * (fraction - tf.cast(offset, tf.float32))
        index = first + offset
        inside = tf.logical_and(index >= 0, index < count)
        values = tf.where(inside, tf.gather(samples, tf.clip_by_value(index, 0, count - 1)), 0.0)
        return offset + 1, total + values * _kernel(u)

    start = (1 - reach, tf.zeros([length]))
    _, total = tf.while_loop(lambda offset, _: offset <= reach, add, start)
    return cutoff * total / tf.cast(_sum(rate, wanted), tf.float32)


def _sum(rate: tf.Tensor, wanted: float) -> tf.Tensor:
    """The sum of the kernel over SciPy's grid, times its step, which makes the gain of a constant one; scalar float64.

    The grid has `larger rate / greatest common divisor` steps between zero crossings. By Euler and Maclaurin the sum is
    the integral and a term of the kernel's slope at its two ends, 1 / _CROSSINGS.
    """
    start = rate, tf.constant(wanted, tf.float64)
    divisor, _ = tf.while_loop(lambda _, b: b > 0.5, lambda a, b: (b, tf.math.floormod(a, b)), start)
    step = divisor / tf.maximum(rate, wanted)
    return _INTEGRAL + tf.square(step) / (6 * _CROSSINGS)


def _kernel(u: tf.Tensor) -> tf.Tensor:
    """The windowed sinc at u zero crossings from its middle, float32 as u."""
    inside = tf.maximum(1.0 - tf.square(u / _CROSSINGS), 0.0)
    x = np.pi * u
    sinc = tf.where(tf.abs(u) < 1e-4, 1.0, tf.sin(x) / tf.where(tf.abs(u) < 1e-4, 1.0, x))
    window = tf.where(tf.abs(u) > _CROSSINGS, 0.0, tf.math.bessel_i0(_BETA * tf.sqrt(inside)))
    return sinc * window
