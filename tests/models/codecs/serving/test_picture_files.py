"""Files of a conformance suite through `compress` and `decompress` of a saved model: shapes, alpha and refusals."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.components.kinds.pictures import picture_suite as suite
from tests.components.pictures_on_disk import encoded, noise
from tests.models.kinds import photograph

PIXELS = photograph(24, 37)


def served_png(colour_type: int, depth: int, transparent: bytes | None = None, **options) -> tuple[bytes, np.ndarray]:
    """A PNG of the photograph in a colour type, and what it shows."""
    values = np.dstack([PIXELS, PIXELS[:, :, :1]]) if colour_type in (4, 6) else PIXELS
    values = {0: values[..., :1], 4: values[..., 2:]}.get(colour_type, values).astype(np.uint16) * 257 >> 16 - depth
    if colour_type == 3:
        values = PIXELS[..., :1].astype(np.uint16) >> 8 - depth
        options["before"] = [(b"PLTE", suite.palette(1 << depth).tobytes())]
    if transparent is not None:
        options["before"] = options.get("before", []) + [(b"tRNS", transparent)]
    shown = suite.shown(values, colour_type, depth, transparent)
    return suite.png(values, colour_type, depth, **options), shown


def level(colour_type: int, depth: int) -> bytes:
    """The samples of one pixel of the photograph, as tRNS holds them."""
    sample = PIXELS[10, 10, : suite.CHANNELS[colour_type]].astype(np.uint16) * 257 >> 16 - depth
    return sample.astype(">u2").tobytes()


def by_pillow(format_name: str, mode: str, **options) -> tuple[bytes, np.ndarray]:
    file = encoded(Image.fromarray(PIXELS).convert(mode), format_name, **options)
    shown = np.asarray(Image.open(io.BytesIO(file)).convert("L" if mode == "L" else "RGB"))
    return file, shown.reshape(*PIXELS.shape[:2], -1)


FILES = {
    "grey of 1 bit": served_png(0, 1), "grey of 4 bits with a transparent level": served_png(0, 4, level(0, 4)),
    "grey of 16 bits with a transparent level": served_png(0, 16, level(0, 16)),
    "RGB, interlaced, in pieces": served_png(2, 8, interlaced=True, pieces=5),
    "RGB with a transparent colour": served_png(2, 8, level(2, 8)),
    "RGB of 16 bits with a transparent colour": served_png(2, 16, level(2, 16)), "palette": served_png(3, 4),
    "palette with transparency": served_png(3, 8, bytes(range(200))), "grey with alpha": served_png(4, 8),
    "grey of 16 bits with alpha": served_png(4, 16), "RGBA of 16 bits, interlaced": served_png(6, 16, interlaced=True),
    "grey JPEG": by_pillow("JPEG", "L"), "JPEG 4:2:0": by_pillow("JPEG", "RGB", subsampling=2),
    "progressive JPEG": by_pillow("JPEG", "RGB", progressive=True), "CMYK": by_pillow("JPEG", "CMYK"),
    "JPEG with restart markers": by_pillow("JPEG", "RGB", restart_marker_blocks=1), "BMP": by_pillow("BMP", "RGB"),
}  # fmt: skip


@pytest.fixture(scope="module")
def coded(trained):
    """Calls of the saved model: (pictures -> streams, streams -> PNGs), lists of bytes."""
    functions = trained("factorized").functions
    return (
        lambda files: functions["compress"](image_bytes=tf.constant(files))["bitstream_bytes"].numpy().tolist(),
        lambda streams: functions["decompress"](bitstream_bytes=tf.constant(streams))["image_bytes"].numpy().tolist(),
    )


@pytest.fixture(scope="module")
def answers(coded):
    """Name of a file -> the picture that comes back."""
    compress, decompress = coded
    pictures = decompress(compress([file for file, _ in FILES.values()]))
    return {name: np.asarray(Image.open(io.BytesIO(p))) for name, p in zip(FILES, pictures, strict=True)}


@pytest.mark.parametrize("name", FILES)
def test_pictures_come_back_of_their_kind(name, answers):
    found, shown = answers[name], FILES[name][1]
    found = found.reshape(*found.shape[:2], -1)
    assert found.shape == shown.shape
    colours = slice(0, 1 if shown.shape[2] < 3 else 3)
    if shown.shape[2] % 2 == 0:
        assert np.array_equal(found[..., -1], shown[..., -1]) and len(np.unique(shown[..., -1])) > 1
    if "palette" not in name and "1 bit" not in name:  # whose random colours and bare edges a tiny model cannot code
        assert np.abs(found[..., colours].astype(int) - shown[..., colours]).mean() < 25


@pytest.mark.parametrize(
    "kind", ["content of IDAT", "checksum of IDAT", "tRNS", "PNG cut", "JPEG cut", "BMP of 8 bits", "WebP", "pixels"]
)
def test_what_is_damaged_or_foreign_is_refused(kind, coded):
    png, jpeg = FILES["RGB with a transparent colour"][0], FILES["JPEG 4:2:0"][0]

    def flipped(place: int) -> bytes:
        return png[:place] + bytes([png[place] ^ 1]) + png[place + 1 :]

    file = {
        "content of IDAT": flipped(png.index(b"IDAT") + 90), "checksum of IDAT": flipped(png.index(b"IEND") - 5),
        "tRNS": flipped(png.index(b"tRNS") + 5), "PNG cut": png[:-30], "JPEG cut": jpeg[:-60],
        "BMP of 8 bits": encoded(noise(9, 9).quantize(9), "BMP"), "WebP": encoded(noise(9, 9), "WEBP"),
        "pixels": png[:16] + b"\0\0\xea\x60\0\0\xea\x60" + png[24:],
    }[kind]  # fmt: skip
    with pytest.raises(tf.errors.InvalidArgumentError):
        coded[0]([file])
