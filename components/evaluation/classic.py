"""The classic codecs that every picture here is compared with: JPEG, WebP and JPEG 2000, by Pillow."""

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
    """

    name: str
    about: str
    settings: tuple[float, ...]
    options: Callable[[float], dict]

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


JPEG = ClassicCodec("JPEG", "4:2:0, optimised Huffman tables", (3, 5, 10, 20, 35, 50, 70, 85, 95), _jpeg_options)
WEBP = ClassicCodec("WebP", "lossy, method 6", (0, 1, 5, 15, 30, 50, 70, 85, 95), _webp_options)
JPEG2000 = ClassicCodec(
    "JPEG 2000",
    "9/7 wavelet, one layer at a fixed rate",
    (0.06, 0.12, 0.2, 0.3, 0.48, 0.8, 1.2, 2.0, 3.0),
    _jpeg2000_options,
)
CODECS = (JPEG, WEBP, JPEG2000)


def of_size(codec: ClassicCodec, picture: np.ndarray, size_bytes: int, lowest: int = 1, highest: int = 95) -> bytes:
    """The best file of uint8 [H, W, 3] in at most `size_bytes`; where even the lowest quality needs more, that one.

    Args:
      codec: whose setting is a whole quality. lowest, highest: of the qualities that are tried.
    """
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


def jpeg_of_size(picture: np.ndarray, size_bytes: int) -> bytes:
    """The best JPEG of uint8 [H, W, 3] in at most `size_bytes`; where even quality 1 needs more, that one."""
    return of_size(JPEG, picture, size_bytes)
