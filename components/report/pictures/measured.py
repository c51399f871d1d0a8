"""What the page of a user's pictures says of each: its own figures, and what classic codecs give at its bytes."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from components.evaluation import classic, rate_distortion
from components.evaluation.rate_distortion import Point
from components.report.sections.rate_distortion import busiest
from components.serving.served_codec import png
from models.entropy.coder import header

PART = 1024  # pixels: of a picture with a longer side, so much of its middle is compared
LEAST = 64  # pixels: of a smaller picture, headers are most of any file
MOST = 12  # pictures that are compared: the classic codecs take some twenty seconds for a megapixel
STRUCTURAL_PIXELS = 2**22  # of which MS-SSIM is measured: it takes 200 bytes of memory for each
_SETTINGS = slice(None, None, 2)  # of the classic codecs

Code = Callable[[bytes], bytes]


@dataclasses.dataclass(frozen=True)
class File:
    """What a codec made of a picture: bytes, the point reached, and the crop that is shown, uint8 [h, w, 3]."""

    size_bytes: int
    point: Point
    crop: np.ndarray


@dataclasses.dataclass(frozen=True)
class Compared:
    """A picture, or its middle, coded by all.

    Attributes:
      height, width: pixels of what was coded. crop: uint8 [h, w, 3] of the original.
      own: what the command's codec made of it. others: by the classic codecs' names, in at most as many bytes, or with
        the lowest quality.
      curves: name -> a point for each setting, without MS-SSIM. own_curve: a point for each quality of `Codec.curve`;
        empty if one was kept without loss.
    """

    height: int
    width: int
    crop: np.ndarray
    own: File
    others: dict[str, File]
    curves: dict[str, list[Point]]
    own_curve: list[Point]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
      key: its name. height, width: pixels. size_bytes: of the stream. encode_s, decode_s: seconds.
      point: reached; MS-SSIM is nan where the picture is too large for it.
      kept: how it was kept without loss, "" if it was not.
      about: why it is not compared, or what of it is; "" if all of it is.
    """

    key: str
    height: int
    width: int
    size_bytes: int
    encode_s: float
    decode_s: float
    point: Point
    kept: str = ""
    about: str = ""
    compared: Compared | None = None


@dataclasses.dataclass(frozen=True)
class Codec:
    """The codec of a command.

    Attributes:
      compress: a picture file's bytes to a stream, as the command is asked to. decompress: to a PNG's bytes.
      curve: the same as `compress` at some of the codec's rates, the lowest first; empty for a codec of one rate.
    """

    compress: Code
    decompress: Code
    curve: Sequence[Code] = ()

    def warm_up(self) -> None:
        """Codes and decodes a small picture, so that no picture's seconds are those of loading the codec."""
        noise = np.random.default_rng(0).integers(0, 256, (LEAST, LEAST, 3), np.uint8)
        self.decompress(self.compress(png(noise)))


def measure(
    codec: Codec, classics: Sequence[classic.ClassicCodec], key: str, channels: int, encoded: bytes, stream: bytes,
    encode_s: float, compared: int,
) -> Picture:  # fmt: skip
    """Decodes a stream and compares.

    Args:
      classics: to compare with. key: the picture's name. channels: of the picture, 2 and 4 with alpha.
      encoded: the picture file that was coded. stream: what `codec.compress` made of it in `encode_s` seconds.
      compared: pictures that were compared before.

    Raises:
      ValueError: the codec refused its stream.
    """
    begin = time.perf_counter()
    png_bytes = codec.decompress(stream)
    decode_s = time.perf_counter() - begin
    original, decoded = classic.decode(encoded), classic.decode(png_bytes)
    height, width, _ = original.shape
    point = rate_distortion.compare(original, decoded, len(stream), height * width <= STRUCTURAL_PIXELS)
    kept = _kept(stream, original, decoded)
    picture = Picture(key, height, width, len(stream), encode_s, decode_s, point, kept)
    if why := _not_compared(picture, channels, compared):
        return dataclasses.replace(picture, about=why)
    part = middle(original)
    whole = part.shape == original.shape
    about = "" if whole else f"of its middle {part.shape[1]} × {part.shape[0]} pixels, coded alone"
    try:
        found = _compare(codec, classics, part, decoded if whole else None, stream)
    except (OSError, ValueError) as error:  # the stream is there, and nothing is wrong with it
        return dataclasses.replace(picture, about=f"not compared: {' '.join(str(error).split())}")
    if found is None:
        about = "not compared: its middle was kept without loss"
    return dataclasses.replace(picture, about=about, compared=found)


def middle(picture: np.ndarray, side: int = PART) -> np.ndarray:
    """The middle of [H, W, 3], no side longer than `side` pixels."""
    places = [slice((n - min(n, side)) // 2, (n - min(n, side)) // 2 + min(n, side)) for n in picture.shape[:2]]
    return picture[tuple(places)]


def _kept(stream: bytes, original: np.ndarray, decoded: np.ndarray) -> str:
    if header.is_stored(stream):
        return "without loss, as a PNG"
    return "without loss" if np.array_equal(original, decoded) else ""


def _not_compared(picture: Picture, channels: int, compared: int) -> str:
    if picture.kept:
        return "not compared: nothing of it is lost"
    if channels in (2, 4):
        return "not compared: its stream holds its alpha as well, without loss; the figures are of its colours"
    if min(picture.height, picture.width) < LEAST:
        return f"not compared: a side below {LEAST} pixels"
    return f"not compared: {MOST} others are" if compared >= MOST else ""


def _compare(codec: Codec, classics, part: np.ndarray, decoded: np.ndarray | None, stream: bytes) -> Compared | None:
    """All codecs on uint8 [H, W, 3]; None if it is kept without loss.

    Args:
      decoded, stream: of the part; `decoded` is None where they are yet to be made.
    """
    encoded = png(part)
    if decoded is None:
        stream = codec.compress(encoded)
        decoded = classic.decode(codec.decompress(stream))
        if _kept(stream, part, decoded):
            return None
    window = busiest(part)

    def file(size_bytes: int, pixels: np.ndarray) -> File:
        return File(size_bytes, rate_distortion.compare(part, pixels, size_bytes), pixels[window].copy())

    own, own_curve, others, curves = file(len(stream), decoded), [], {}, {}
    streams = [code(encoded) for code in codec.curve]
    if not any(map(header.is_stored, streams)):
        own_curve = [_point(part, one, codec.decompress(one)) for one in streams]
    for other in classics:
        files = {setting: other.encode(part, setting) for setting in other.settings[_SETTINGS]}
        curves[other.name] = [_point(part, one, one) for one in files.values()]
        best = _of_size(other, part, len(stream), {setting: len(one) for setting, one in files.items()})
        others[other.name] = file(len(best), classic.decode(best))
    return Compared(*part.shape[:2], part[window].copy(), own, others, curves, own_curve)


def _point(original: np.ndarray, coded: bytes, decoded: bytes) -> Point:
    return rate_distortion.compare(original, classic.decode(decoded), len(coded), structural=False)


def _of_size(codec: classic.ClassicCodec, picture: np.ndarray, size_bytes: int, sizes: dict[float, int]) -> bytes:
    """As `classic.of_size`, between the settings whose sizes are known."""
    if codec.by_rate:
        return classic.of_size(codec, picture, size_bytes)
    low = int(max((s for s, size in sizes.items() if size <= size_bytes), default=min(1, *sizes)))
    high = int(min((s for s, size in sizes.items() if size > size_bytes), default=96)) - 1
    return classic.of_size(codec, picture, size_bytes, low, max(low, high))


def mean_curves(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """The mean over pictures of each setting's points."""
    return [rate_distortion.mean(points) for points in zip(*curves, strict=True)]


def bd_rate_percent(anchor: Sequence[Point], test: Sequence[Point]) -> float:
    """`rate_distortion.bd_rate` by PSNR; nan where the curves cannot be compared."""
    try:
        return rate_distortion.bd_rate(*map(rate_distortion.psnr_pairs, (anchor, test)))[0]
    except rate_distortion.CurveError:
        return math.nan
