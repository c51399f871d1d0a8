"""Measures codecs on pictures: real bits, PSNR and MS-SSIM, the curves they draw and the distance between curves."""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from components.evaluation import classic
from models.contract.errors import KompaktError


@dataclasses.dataclass(frozen=True)
class Point:
    """What a codec reached at one setting: on one picture, or the mean over several of each picture's value.

    Attributes:
      bpp: all bits of the file or stream over the pixels.
      psnr_db: dB, over RGB, peak 255.
      ms_ssim: dimensionless, at most 1.
    """

    bpp: float
    psnr_db: float
    ms_ssim: float


class CurveError(KompaktError, ValueError):
    """Two curves that cannot be compared, or points that draw no curve."""


def compare(original: np.ndarray, decoded: np.ndarray, size_bytes: int, structural: bool = True) -> Point:
    """The point of one decoded picture.

    Args:
      original, decoded: uint8 [H, W, 3].
      size_bytes: all bytes of the file or stream.
      structural: whether to measure MS-SSIM, which takes longer than all else; NaN if not.

    Raises:
      ValueError: the shapes differ.
    """
    from models.codecs import distortion

    if original.shape != decoded.shape:
        raise ValueError(f"a picture of {original.shape} was decoded to {decoded.shape}")
    bpp = 8 * size_bytes / (original.shape[0] * original.shape[1])
    similarity = float(distortion.ms_ssim(original[np.newaxis], decoded[np.newaxis])[0]) if structural else math.nan
    return Point(bpp, psnr_db(original, decoded), similarity)


def psnr_db(original: np.ndarray, decoded: np.ndarray) -> float:
    """PSNR of uint8 pictures [H, W, 3] over all values, dB; equal ones give 100 (as `models.codecs.distortion`)."""
    bands = (slice(top, top + 256) for top in range(0, len(original), 256))
    error = sum(int(np.square(original[band].astype(np.int32) - decoded[band]).sum(dtype=np.int64)) for band in bands)
    return min(100.0, -10 * math.log10(max(error / original.size, 1e-12) / 255**2))


def mean(points: Iterable[Point]) -> Point:
    """The mean of each figure; of PSNR it is the mean of the pictures' values in dB."""
    rows = np.array([dataclasses.astuple(p) for p in points])
    return Point(*rows.mean(axis=0).tolist())


def classic_curve(
    codec: classic.ClassicCodec,
    pictures: Sequence[np.ndarray],
    tick: Callable[[], None] = lambda: None,
    structural: bool = True,
) -> list[Point]:
    """The points of a classic codec, mean over the pictures at each of its settings.

    Args:
      codec: what to measure. pictures: uint8 [H, W, 3] each.
      tick: called after each coded picture. structural: as of `compare`.
    """
    curve = []
    for setting in codec.settings:
        points = []
        for picture in pictures:
            encoded = codec.encode(picture, setting)
            points.append(compare(picture, classic.decode(encoded), len(encoded), structural))
            tick()
        curve.append(mean(points))
    return curve


def decibels(ms_ssim: float) -> float:
    """MS-SSIM on a scale of dB, -10 log10(1 - x), on which curves are straight enough to be interpolated."""
    return -10 * math.log10(max(1 - ms_ssim, 1e-10))


def psnr_pairs(points: Iterable[Point]) -> list[tuple[float, float]]:
    """(bpp, dB) of each point by PSNR, for `bd_rate`."""
    return [(p.bpp, p.psnr_db) for p in points]


def ms_ssim_pairs(points: Iterable[Point]) -> list[tuple[float, float]]:
    """(bpp, dB) of each point by MS-SSIM, for `bd_rate`."""
    return [(p.bpp, decibels(p.ms_ssim)) for p in points]


def _log_rate(name: str, points: Sequence[tuple[float, float]]) -> tuple[Callable, float, float]:
    """ln(bpp) as a function of quality, and the interval of quality it covers."""
    points = sorted(set(points))  # two settings can give the very same file
    if len(points) < 2:
        raise CurveError(f"{name}: a curve takes at least two points, this has {len(points)}")
    rates, qualities = (np.array(column, float) for column in zip(*points, strict=True))
    if not (np.isfinite(qualities).all() and (rates > 0).all()):
        raise CurveError(f"{name}: rates must be positive and qualities finite")
    if not (np.diff(qualities) > 0).all():
        raise CurveError(f"{name}: quality does not rise with the rate")
    from scipy import interpolate  # takes longer to import than a picture to compress

    return interpolate.PchipInterpolator(qualities, np.log(rates)), qualities[0], qualities[-1]


def bd_rate(anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Bjontegaard's rate difference: how much more the test codec spends at equal quality.

    The mean difference of log rates over the common range of quality; log rate as a function of quality is interpolated
    by monotone piecewise cubics (PCHIP), which never overshoot between points as one cubic through all of them can.

    Args:
      anchor, test: (bpp, quality in dB), in any order, at least two each.

    Returns:
      Percent (negative: the test codec needs less), and the lowest and highest quality (dB) of the common range.

    Raises:
      CurveError: too few points, quality that does not rise with the rate, or no common range of quality.

    Reference: Bjontegaard, VCEG-M33, 2001; with PCHIP in place of the cubic as in JVET's common test conditions.
    """
    anchor_rate, anchor_low, anchor_high = _log_rate("anchor", anchor)
    test_rate, test_low, test_high = _log_rate("test", test)
    low, high = max(anchor_low, test_low), min(anchor_high, test_high)
    if not low < high:
        ranges = f"{anchor_low:.2f} to {anchor_high:.2f} dB and {test_low:.2f} to {test_high:.2f} dB"
        raise CurveError(f"no common range of quality: {ranges}")
    difference = (test_rate.integrate(low, high) - anchor_rate.integrate(low, high)) / (high - low)
    return 100 * math.expm1(float(difference)), float(low), float(high)


def rate_at(points: Sequence[tuple[float, float]], quality: float) -> float | None:
    """The rate (bpp) at which a curve of (bpp, dB) reaches a quality in dB; None outside the curve or without one."""
    try:
        log_rate, low, high = _log_rate("curve", points)
    except CurveError:
        return None
    return math.exp(float(log_rate(quality))) if low <= quality <= high else None


def read_rgb(path: pathlib.Path) -> np.ndarray:
    """Reads a picture file to uint8 [H, W, 3].

    Raises:
      OSError: the file cannot be read as a picture; the message names it.
    """
    try:
        return classic.decode(pathlib.Path(path).read_bytes())
    except Exception as error:
        raise OSError(f"{path}: not a picture that can be read ({error})") from error
