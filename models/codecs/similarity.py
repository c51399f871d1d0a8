"""MS-SSIM as an objective: differentiable, on every backend of Keras (Wang, Simoncelli, Bovik 2003)."""

import numpy as np
from keras import ops

from models.layers.padding import pad_to_multiple

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first (table 1)
WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_LEAST = 1e-4  # of a factor: its power's gradient has no bound at zero


def scales_of(side: int) -> int:
    """How many scales the window fits into, for pictures whose smaller side is that; at most five."""
    return next((n for n in range(1, len(WEIGHTS)) if side < WINDOW << n), len(WEIGHTS))


def ms_ssim(x, y):
    """Structural similarity over as many scales as fit, whose weights are brought to the sum of all five.

    Args:
      x, y: [B, H, W, 3] float32, on [0, 1]; H and W are known and at least 11.

    Returns:
      [B] float32, at most 1, the mean over the channels.

    Raises:
      ValueError: a side is smaller than the window.
    """
    side = min(x.shape[1:3])
    if side < WINDOW:
        raise ValueError(f"pictures of side {side} are smaller than the window, {WINDOW} pixels")
    weights = np.array(WEIGHTS[: scales_of(side)])
    weights *= sum(WEIGHTS) / weights.sum()
    terms = []
    for scale in range(len(weights)):
        luminance, contrast = factors(x, y)
        last = scale == len(weights) - 1
        terms.append(ops.mean(luminance * contrast if last else contrast, axis=(1, 2)))
        if not last:
            x, y = (_halved(pad_to_multiple(p, 2)) for p in (x, y))
    powers = [ops.power(ops.maximum(f, _LEAST), float(w)) for f, w in zip(terms, weights, strict=True)]
    product = powers[0]
    for power in powers[1:]:
        product = product * power
    return ops.mean(product, axis=-1)


def factors(x, y):
    """Luminance, and contrast times structure, of every window and channel of [B, H, W, C], on [0, 1]."""
    mean_x, mean_y = _blurred(x), _blurred(y)
    product = mean_x * mean_y
    squares = ops.square(mean_x) + ops.square(mean_y)
    covariance = _blurred(x * y) - product
    variances = _blurred(ops.square(x) + ops.square(y)) - squares
    return (2 * product + _C1) / (squares + _C1), (2 * covariance + _C2) / (variances + _C2)


def _halved(x):
    """Means of squares of 2x2 pixels: Keras' own pooling fails on JAX where channels come last."""
    return 0.25 * (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2])


def _blurred(x):
    """Means of windows, Gaussian in both directions: [B, H, W, 3] -> [B, H - 10, W - 10, 3]."""
    places = np.arange(WINDOW) - WINDOW // 2
    kernel = np.exp(-0.5 * np.square(places / _SIGMA))
    kernel = np.tile((kernel / kernel.sum())[:, None], (1, x.shape[-1])).astype("float32")
    x = ops.depthwise_conv(x, kernel[:, None, :, None], data_format="channels_last")
    return ops.depthwise_conv(x, kernel[None, :, :, None], data_format="channels_last")
