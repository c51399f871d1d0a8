"""Pictures for tests: real Pillow files of every kind that ingest meets, and damaged ones."""

import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

# Files on which people failed, where they lie beside the repository; else None.
FIELD = next((p for p in (r / "shared/field/pictures" for r in pathlib.Path(__file__).parents) if p.is_dir()), None)


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    """A smooth random RGB picture."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format_name: str, **options) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def grey16(height: int, width: int) -> tuple[np.ndarray, bytes]:
    """A 16-bit grey ramp, [height, width] uint16, and its PNG."""
    levels = np.linspace(0, 65535, height * width).astype(np.uint16).reshape(height, width)
    return levels, encoded(Image.fromarray(levels), "PNG")


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG: length, name, content, checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that claims side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def fill(folder: pathlib.Path, count: int, first: int = 0) -> None:
    """Writes `count` different small PNG files, named by their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        (folder / f"{seed:03d}.png").write_bytes(encoded(noise(12, 14, seed), "PNG"))
