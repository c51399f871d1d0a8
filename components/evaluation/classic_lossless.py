"""The classic lossless codecs that lossless codecs here are compared with: PNG, WebP and JPEG 2000, by Pillow."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from components.evaluation import classic

CODECS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("optimised, level 9", {"format": "PNG", "optimize": True}),
    "WebP": ("lossless, method 6", {"format": "WEBP", "lossless": True, "quality": 100, "method": 6}),
    # The bare codestream: the boxes of a .jp2 file would only cost it some eighty bytes.
    "JPEG 2000": ("5/3 wavelet", {"format": "JPEG2000", "irreversible": False, "mct": 1, "no_jp2": True}),
}


def encode(name: str, picture: np.ndarray) -> bytes:
    """The bytes of uint8 [H, W, 3] by a codec of `CODECS`; metadata is never written."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, **CODECS[name][1])
    return file.getvalue()


def bits_per_sub_pixel(size_bytes: int, picture: np.ndarray) -> float:
    """Of a file of that size, of a picture [H, W, C]."""
    return 8.0 * size_bytes / picture.size


def rates(pictures: Sequence[np.ndarray]) -> dict[str, float]:
    """Mean bits per sub-pixel of pictures uint8 [H, W, 3], of each codec; every file is read back and compared.

    Raises:
      ValueError: a picture came back as another.
    """
    found = {}
    for name in CODECS:
        files = [encode(name, picture) for picture in pictures]
        if not all(np.array_equal(classic.decode(f), picture) for f, picture in zip(files, pictures, strict=True)):
            raise ValueError(f"{name} gave back another picture")
        found[name] = float(np.mean([bits_per_sub_pixel(len(f), p) for f, p in zip(files, pictures, strict=True)]))
    return found
