"""What is known of a pixel before it is decoded: a classic prediction, and features of its causal neighbourhood.

Everything here is made of integers below 2^24 held in floats, so that it is the same in training, in the encoder, which
sees the whole picture, and in the decoder, which sees a few positions at a time. Where something is divided, a half is
added to the dividend: no quotient then lies nearer to a whole number than a division could be off.

Planes are green, red less green, blue less green; predictions and errors are in 2^-3 levels.
"""

from typing import NamedTuple

import numpy as np
from keras import ops

PLANES = 3
# Row and column of the known pixels by distance; those that the prediction is made of come first, see `predict`.
NEAR = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-2, 1))
TAPS = (
    *NEAR, (-1, 2), (-1, -2), (-2, -1), (0, -3), (-2, 2), (-2, -2), (-3, 0), (-1, -3), (0, -4), (-3, 1), (-3, -1),
    (-2, 3), (-2, -3), (-1, -4), (-3, 2), (-3, -2), (-2, 4),
)  # fmt: skip
ERRORS = 6  # of the first taps, errors of the prediction are known too
REACH = 3  # columns that the next row must be behind: all taps are then decoded
PREDICTION_BITS = 3  # fraction bits of predictions, errors and scales
RATIO_BITS = 6  # fraction bits of what is given in scales
LOG_BITS = 6  # fraction bits of logarithms to base 2
_UNIT = 1 << PREDICTION_BITS
_MOST = 16.0  # scales
_LEAST_SCALE = 4
FEATURES = len(TAPS) * PLANES + ERRORS * PLANES + 3 * PLANES + 2 * PLANES + 2


class Prediction(NamedTuple):
    """Of some positions, whole numbers in floats, [..., 3]."""

    value: object  # in 2^-3 levels
    median: object  # the median edge detector's part of it, in 2^-3 levels
    gradient: object  # sum of six differences of neighbours, levels


class Known(NamedTuple):
    """What the network is told of some positions."""

    features: object  # [..., FEATURES], multiples of 2^-12
    prediction: object  # [..., 3], in 2^-3 levels
    scale: object  # [..., 3], in 2^-3 levels: about how far off the prediction is
    log_scale: object  # [..., 3], logarithm of `scale` to base 2, in 2^-6


def logarithms(count: int = 1 << 15) -> np.ndarray:
    """log2 of 1 to `count` less one in 2^-LOG_BITS, linear between powers of two; of 0 as of 1. int32 [count]."""
    numbers = np.maximum(np.arange(count), 1)
    exponents = np.array([int(n).bit_length() - 1 for n in numbers])
    return ((exponents << LOG_BITS) + ((numbers << LOG_BITS) >> exponents) - (1 << LOG_BITS)).astype(np.int32)


def planes_of(pixels):
    """Red, green, blue [..., 3], whole numbers in floats, as green, red less green, blue less green."""
    green = pixels[..., 1:2]
    return ops.concatenate([green, pixels[..., 0:1] - green, pixels[..., 2:3] - green], -1)


def _floor_ratio(values, by):
    return ops.floor((values + 0.5) / by)


def predict(near, valid) -> Prediction:
    """Half the median edge detector, half neighbours weighted by how little changes across them.

    Args:
      near: [..., 7, 3], the pixels of `NEAR`, anything where there is none.
      valid: [..., 7, 1], one where there is such a pixel, zero where not.
    """
    west, north, north_west, north_east, far_west, far_north, far_north_east = (near[..., n, :] for n in range(7))
    has = [valid[..., n, :] for n in range(7)]

    def chosen(n, value, otherwise):
        return otherwise + has[n] * (value - otherwise)

    middle = ops.convert_to_tensor(np.array([128.0, 0.0, 0.0]), near.dtype)
    north = chosen(1, north, chosen(0, west, middle))
    west = chosen(0, west, north)
    north_west, north_east = chosen(2, north_west, north), chosen(3, north_east, north)
    far_west, far_north = chosen(4, far_west, west), chosen(5, far_north, north)
    far_north_east = chosen(6, far_north_east, north_east)
    least, most = ops.minimum(west, north), ops.maximum(west, north)
    median = ops.maximum(least, ops.minimum(most, west + north - north_west))
    across = ops.abs(west - far_west) + ops.abs(north - north_west) + ops.abs(north - north_east)
    down = ops.abs(west - north_west) + ops.abs(north - far_north) + ops.abs(north_east - far_north_east)
    share = _floor_ratio(256.0 * (down + 1.0), down + across + 2.0)  # of the western one, in 2^-8
    blend = ops.floor((west * share + north * (256.0 - share)) / 32.0) + 2.0 * (north_east - north_west)
    value = ops.floor((_UNIT * median + blend) / 2.0)
    return Prediction(value, _UNIT * median, across + down)


def describe(taps, valid, errors, prediction: Prediction, table) -> Known:
    """Features of some positions.

    Args:
      taps: [..., 24, 3], the pixels of `TAPS`, anything where there is none; valid: [..., 24, 1].
      errors: [..., 6, 3], pixel less prediction of the first of them, in 2^-3 levels, zero where there is none.
      prediction: of `predict`. table: `logarithms()`, int32 tensor.
    """
    size = ops.sum(ops.abs(errors), -2)
    scale = ops.floor((size + 4.0 * prediction.gradient) / 8.0) + _LEAST_SCALE
    offsets = (_UNIT * taps - ops.expand_dims(prediction.value, -2)) * valid
    median = ops.expand_dims(prediction.median - prediction.value, -2)
    every = ratios(ops.concatenate([offsets, errors, median], -2), ops.expand_dims(scale, -2))
    lead = ops.shape(scale)[:-1]
    every = ops.reshape(every, (*lead, (len(TAPS) + ERRORS + 1) * PLANES))
    places = ops.concatenate([scale, size + 8.0, prediction.gradient + 1.0], -1)
    logs = ops.cast(ops.take(table, ops.cast(places, "int32"), axis=0), taps.dtype)
    value = prediction.value
    colours = ops.concatenate([value[..., :1] - 1024.0, value[..., 1:]], -1) * 2.0**-9
    log_features = (logs - 384.0) * 2.0**-7
    edges = valid[..., 0:2, 0]
    features = ops.concatenate([every * 2.0**-RATIO_BITS, log_features, colours, edges], -1)
    return Known(features, value, scale, logs[..., :PLANES])


def ratios(values, scale):
    """Values over scales, both in 2^-3 levels, in 2^-RATIO_BITS, rounded down and bounded; of their shape."""
    most = _MOST * (1 << RATIO_BITS)
    return ops.clip(_floor_ratio(values * (1 << RATIO_BITS), scale), -most, most)


def shifted(planes, taps):
    """The pixels around each of [B, H, W, C]: [B, H, W, len(taps), C], zeros beyond the edges."""
    up, left = -min(r for r, _ in taps), -min(c for _, c in taps)
    right = max(0, *(c for _, c in taps))
    padded = ops.pad(planes, ((0, 0), (up, 0), (left, right), (0, 0)))
    height, width = planes.shape[1], planes.shape[2]
    height, width = ops.shape(planes)[1] if height is None else height, ops.shape(planes)[2] if width is None else width
    return ops.stack([padded[:, up + r : up + r + height, left + c : left + c + width] for r, c in taps], 3)


def known_of(planes, table, valid=None) -> Known:
    """`Known` of all positions of pictures [B, H, W, 3], of each from those before it alone.

    Args:
      planes: as `planes_of` gives them. table: `logarithms()`, int32 tensor.
      valid: [B, H, W, 1], zero where there is no pixel; None: there is one everywhere.
    """
    valid = ops.ones_like(planes[..., :1]) if valid is None else valid
    around, taps = shifted(valid, TAPS), shifted(planes, TAPS)
    near = len(NEAR)
    prediction = predict(taps[..., :near, :], around[..., :near, :])
    errors = shifted((_UNIT * planes - prediction.value) * valid, TAPS[:ERRORS])
    return describe(taps, around, errors, prediction, table)


def beside(planes, known: Known) -> list:
    """What of the planes decoded before at its position a plane's distribution depends on, a list of [..., n].

    Args:
      planes: [..., 3]; of those not yet decoded anything. Plane 0 depends on none.
    """
    return [beside_plane(planes, known, plane) for plane in range(PLANES)]


BESIDE = (0, 3, 6)  # numbers of `beside_plane`


def beside_plane(planes, known: Known, plane: int):
    """`beside` of one plane."""
    found = [planes[..., :0]]
    for before in range(plane):
        error = _UNIT * planes[..., before : before + 1] - known.prediction[..., before : before + 1]
        own = ratios(error, known.scale[..., before : before + 1])
        found += [own, ops.abs(own), ratios(error, known.scale[..., plane : plane + 1])]
    return ops.concatenate(found, -1) * 2.0**-RATIO_BITS
