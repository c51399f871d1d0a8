"""The classic codecs that pictures are compared with, by Pillow: JPEG, WebP and JPEG 2000, and AVIF where it has it."""

import dataclasses
import io
from collections.abc import Callable

import numpy as np
from PIL import Image


@dataclasses.dataclass(frozen=True)
class ClassicCodec:
    """A codec of Pillow with one setting that trades rate for quality.

    Attributes:
      name: as it is printed. about: encoder settings, as they are printed.
      settings: the values that draw its curve, from the lowest rate to the highest.
      options: setting -> keyword arguments of `Image.save`.
      by_rate: whether the setting is a rate in bits per pixel; else it is a quality, whole numbers.
    """

    name: str
    about: str
    settings: tuple[float, ...]
    options: Callable[[float], dict]
    by_rate: bool = False

    def encode(self, picture: np.ndarray, setting: float) -> bytes:
        """Codes uint8 [H, W, 3] to the bytes of a whole file; metadata is never written."""
        file = io.BytesIO()
        Image.fromarray(picture).save(file, **self.options(setting))
        return file.getvalue()


def decode(encoded: bytes) -> np.ndarray:
    """Decodes a picture file of any of the codecs to uint8 [H, W, 3]."""
    with Image.open(io.BytesIO(encoded)) as file:
        return np.asarray(file.convert("RGB"))


def _jpeg_options(quality: float) -> dict:
    return {"format": "JPEG", "quality": int(quality), "subsampling": "4:2:0", "optimize": True}


def _webp_options(quality: float) -> dict:
    return {"format": "WEBP", "quality": int(quality), "method": 6}


def _jpeg2000_options(bpp: float) -> dict:
    # The bare codestream: the boxes of a .jp2 file would only cost this codec some eighty bytes.
    rates = {"quality_mode": "rates", "quality_layers": [24 / bpp]}
    return {"format": "JPEG2000", "irreversible": True, "mct": 1, "no_jp2": True, **rates}


def _avif_options(quality: float) -> dict:
    return {"format": "AVIF", "quality": int(quality), "subsampling": "4:2:0", "speed": 6}


JPEG = ClassicCodec("JPEG", "4:2:0, optimised Huffman tables", (3, 5, 10, 20, 35, 50, 70, 85, 95), _jpeg_options)
WEBP = ClassicCodec("WebP", "lossy, method 6", (0, 1, 5, 15, 30, 50, 70, 85, 95), _webp_options)
JPEG2000 = ClassicCodec(
    "JPEG 2000",
    "9/7 wavelet, one layer at a fixed rate",
    (0.06, 0.12, 0.2, 0.3, 0.48, 0.8, 1.2, 2.0, 3.0),
    _jpeg2000_options,
    by_rate=True,
)
AVIF = ClassicCodec("AVIF", "4:2:0, speed 6", (2, 10, 20, 30, 40, 50, 60, 75, 90), _avif_options)
CODECS = (JPEG, WEBP, JPEG2000)


def is_available(codec: ClassicCodec) -> bool:
    """Whether this Pillow has the encoder and the decoder; both are tried."""
    try:
        decode(codec.encode(np.zeros((16, 16, 3), np.uint8), codec.settings[-1]))
    except (KeyError, OSError, ValueError):  # an unknown format, or one whose library is not there
        return False
    return True


def of_size(codec: ClassicCodec, picture: np.ndarray, size_bytes: int, lowest: int = 1, highest: int = 95) -> bytes:
    """The best file of uint8 [H, W, 3] in at most `size_bytes`; where even the lowest quality needs more, that one.

    Args:
      codec: one whose setting is a rate is asked for less where its file became too large, some times.
      lowest, highest: of the qualities that are tried.
    """
    if codec.by_rate:
        return _of_rate(codec, picture, size_bytes)
    low, high = lowest, highest + 1
    best = codec.encode(picture, low)
    while high - low > 1:
        middle = (low + high) // 2
        encoded = codec.encode(picture, middle)
        if len(encoded) <= size_bytes:
            low, best = middle, encoded
        else:
            high = middle
    return best


def _of_rate(codec: ClassicCodec, picture: np.ndarray, size_bytes: int, tries: int = 6) -> bytes:
    bpp = 8 * size_bytes / (picture.shape[0] * picture.shape[1])
    for _ in range(tries):
        encoded = codec.encode(picture, bpp)
        if len(encoded) <= size_bytes:
            break
        bpp *= 0.995 * size_bytes / len(encoded)
    return encoded


def jpeg_of_size(picture: np.ndarray, size_bytes: int) -> bytes:
    """The best JPEG of uint8 [H, W, 3] in at most `size_bytes`; where even quality 1 needs more, that one."""
    return of_size(JPEG, picture, size_bytes)
