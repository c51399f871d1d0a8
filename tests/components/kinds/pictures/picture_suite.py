"""Files alike those of a public conformance suite, made byte by byte: PNG and BMP of all kinds, and what they show."""

import io
import itertools
import struct
import zlib

import numpy as np
from PIL import Image

from tests.components.pictures_on_disk import chunk, encoded, noise

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # of each colour type of PNG
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def samples(height: int, width: int, colour_type: int, depth: int, seed: int = 0) -> np.ndarray:
    """Random samples of a PNG, uint16 [height, width, channels]."""
    shape = height, width, CHANNELS[colour_type]
    return np.random.default_rng(seed).integers(0, 1 << depth, shape).astype(np.uint16)


def palette(count: int) -> np.ndarray:
    """Colours, uint8 [count, 3]."""
    return np.random.default_rng(count).integers(0, 256, (count, 3), np.uint8)


def png(values: np.ndarray, colour_type: int, depth: int, *, interlaced=False, pieces=1, before=(), behind=()) -> bytes:
    """A PNG of samples [H, W, C] whose rows take turns with the five filters.

    Args:
      pieces: chunks that the image data is cut into; if there are several, an empty one stands in front.
      before, behind: chunks (kind, content) in front of the image data and behind it; a palette has its own here.
    """
    parts = [values[r::dr, c::dc] for r, c, dr, dc in _ADAM7] if interlaced else [values]
    data = zlib.compress(b"".join(_filtered(part, depth) for part in parts if part.size))
    places = np.linspace(0, len(data), pieces + 1).astype(int)
    cuts = [data[a:b] for a, b in zip(places[:-1], places[1:], strict=True)]
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, colour_type, 0, 0, interlaced)
    chunks = [(b"IHDR", header), *before, *([(b"IDAT", b"")] if pieces > 1 else []), *((b"IDAT", cut) for cut in cuts)]
    return SIGNATURE + b"".join(chunk(*c) for c in [*chunks, *behind, (b"IEND", b"")])


def _filtered(values: np.ndarray, depth: int) -> bytes:
    """Rows of samples as bytes, each behind the number of its filter."""
    rows = values.reshape(len(values), -1)
    if depth == 16:
        rows = rows.astype(">u2").view(np.uint8)
    else:
        bits = rows[:, :, None] >> np.arange(depth - 1, -1, -1) & 1
        rows = np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)
    step = max(1, depth * values.shape[2] // 8)
    left = np.pad(rows, ((0, 0), (step, 0)))[:, :-step].astype(int)
    up = np.pad(rows, ((1, 0), (0, 0)))[:-1].astype(int)
    corner = np.pad(rows, ((1, 0), (step, 0)))[:-1, :-step].astype(int)
    guess = left + up - corner
    away = np.abs(np.stack([guess - left, guess - up, guess - corner]))
    paeth = np.choose(away.argmin(0), [left, up, corner])
    predicted = [np.zeros_like(left), left, up, (left + up) // 2, paeth]
    kinds = np.arange(len(rows)) % 5
    coded = (rows - np.stack(predicted)[kinds, np.arange(len(rows))]).astype(np.uint8)
    return np.hstack([kinds[:, None].astype(np.uint8), coded]).tobytes()


def shown(values: np.ndarray, colour_type: int, depth: int, transparent: bytes | None = None) -> np.ndarray:
    """What a PNG shows by its specification, uint8 [H, W, C]; of 16 bits the high byte. A palette is `palette`'s.

    Args:
      transparent: content of the chunk tRNS.
    """
    if colour_type == 3:
        colours = palette(1 << depth)[values[:, :, 0]]
        if transparent is None:
            return colours
        alpha = np.full(1 << depth, 255, np.uint8)
        alpha[: len(transparent)] = np.frombuffer(transparent, np.uint8)
        return np.dstack([colours, alpha[values[:, :, 0]]])
    levels = values >> 8 if depth == 16 else values * (255 // ((1 << depth) - 1))
    levels = levels.astype(np.uint8)
    if transparent is None:
        return levels
    is_clear = (values == np.frombuffer(transparent, ">u2")).all(2)
    return np.dstack([levels, np.where(is_clear, 0, 255).astype(np.uint8)])


def bmp(values: np.ndarray, bits: int, *, top_down=False, colours=None, compression=0, data=None) -> bytes:
    """A BMP of samples uint8 [H, W, C] (BGR, or one index a pixel), or of `data` where that is compressed."""
    height, width = values.shape[:2]
    if data is None:
        if bits < 8:
            rows = values[:, :, 0, None] >> np.arange(bits - 1, -1, -1) & 1
            rows = np.packbits(rows.reshape(height, -1), axis=1)
        else:
            rows = values.reshape(height, -1)
        rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
        data = (rows if top_down else rows[::-1]).tobytes()
    table = b"" if colours is None else np.pad(colours[:, ::-1], ((0, 0), (0, 1))).tobytes()
    start = 54 + len(table)
    sides = width, -height if top_down else height
    count = 0 if colours is None else len(colours)
    info = struct.pack("<IiiHHIIiiII", 40, *sides, 1, bits, compression, len(data), 2835, 2835, count, 0)
    return struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start) + info + table + data


def rle8(values: np.ndarray) -> bytes:
    """Indices uint8 [H, W, 1] run-length coded as BMP does, from the bottom up: rows of literals and rows of runs."""
    coded = b""
    for number, row in enumerate(values[::-1, :, 0]):
        if number % 2 and len(row) > 2:
            coded += bytes([0, len(row), *row]) + b"\0" * (len(row) % 2)
        else:
            coded += b"".join(bytes([len(list(run)), value]) for value, run in itertools.groupby(row.tolist()))
        coded += b"\0\0"
    return coded + b"\0\1"


def with_orientation(orientation: int, format_name: str = "JPEG") -> tuple[bytes, np.ndarray]:
    """A picture file that EXIF turns, and the pixels of the file as they lie, uint8 [H, W, 3]."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(noise(13, 21), format_name, exif=exif)
    return data, np.asarray(Image.open(io.BytesIO(data)))


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels [H, W, C] as EXIF's orientation (1 to 8) wants them seen."""
    turns = (
        lambda p: p, lambda p: p[:, ::-1], lambda p: p[::-1, ::-1], lambda p: p[::-1], lambda p: p.swapaxes(0, 1),
        lambda p: p.swapaxes(0, 1)[:, ::-1], lambda p: p.swapaxes(0, 1)[::-1, ::-1], lambda p: p.swapaxes(0, 1)[::-1],
    )  # fmt: skip
    return turns[orientation - 1](pixels)
