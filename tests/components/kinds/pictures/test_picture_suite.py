"""`normalize` over files alike those of a conformance suite: shapes, pixels, alpha and refusals as the formats say."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.kinds.pictures.pictures import PictureError, normalize
from models.records import pictures as data
from tests.components.kinds.pictures import picture_suite as suite
from tests.components.pictures_on_disk import chunk, encoded, noise

SIZES = ((1, 1), (1, 33), (33, 1), (7, 5), (8, 32), (33, 31))
KINDS = [(colour_type, depth) for colour_type, depths in suite.DEPTHS.items() for depth in depths]


def pixels_of(file: bytes) -> np.ndarray:
    """What comes out, uint8 [H, W, C], and the `Picture` says the same of it."""
    picture = normalize(file)
    pixels = data.decode(tf.constant(picture.encoded), channels=0).numpy()
    assert pixels.shape == picture[2:]
    return pixels


def colours(colour_type: int, depth: int, transparent: bytes | None = None) -> list[tuple[bytes, bytes]]:
    """The chunks of a palette, if the colour type has one, and of transparency, if there is any."""
    table = [(b"PLTE", suite.palette(1 << depth).tobytes())] if colour_type == 3 else []
    return table + ([(b"tRNS", transparent)] if transparent is not None else [])


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("colour_type, depth", KINDS)
def test_png_of_all_kinds_and_sizes(colour_type, depth, interlaced):
    for number, (height, width) in enumerate(SIZES):
        values = suite.samples(height, width, colour_type, depth, number)
        file = suite.png(values, colour_type, depth, interlaced=interlaced, before=colours(colour_type, depth))
        assert np.array_equal(pixels_of(file), suite.shown(values, colour_type, depth))
        kept = depth == 8 and colour_type != 3
        assert (normalize(file).encoded == file) == kept
        if depth == 8:  # Pillow has no other depths of colour, and scales 16 bits of grey otherwise.
            modes = {0: "L", 2: "RGB", 3: "RGB", 4: "LA", 6: "RGBA"}
            by_pillow = np.asarray(Image.open(io.BytesIO(file)).convert(modes[colour_type]))
            assert np.array_equal(pixels_of(file), by_pillow.reshape(height, width, -1))


@pytest.mark.parametrize("side", range(1, 34))
def test_png_of_every_small_size(side):
    values = suite.samples(side, 34 - side, 2, 8)
    for interlaced in (False, True):
        assert np.array_equal(pixels_of(suite.png(values, 2, 8, interlaced=interlaced)), values)


@pytest.mark.parametrize("colour_type, depth", [kind for kind in KINDS if kind[0] in (0, 2, 3)])
def test_png_keeps_every_kind_of_transparency(colour_type, depth):
    values = suite.samples(9, 11, colour_type, depth)
    if colour_type == 3:
        transparent = bytes(range(0, 1 << depth, 2))  # fewer than there are colours, partly transparent
    else:
        transparent = values[4, 5].astype(">u2").tobytes()
        values[4, 6] = values[4, 5] ^ 1  # its neighbour by one step is not transparent, also of 16 bits
    file = suite.png(values, colour_type, depth, before=colours(colour_type, depth, transparent))
    expected = suite.shown(values, colour_type, depth, transparent)
    assert np.array_equal(pixels_of(file), expected)
    assert expected[4, 5, -1] != 255 or colour_type == 3
    assert np.array_equal(data.decode(tf.constant(file), channels=0), expected)  # a server's own reading


@pytest.mark.parametrize("pieces", [1, 2, 3, 60])
def test_png_in_pieces_with_all_that_may_stand_beside(pieces):
    values = suite.samples(12, 10, 6, 8)
    before = [(b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0"), (b"bKGD", bytes(6)), (b"tEXt", b"Title\0x"),
              (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)), (b"prVt", b"whatever")]  # fmt: skip
    behind = [(b"tIME", bytes([7, 230, 11, 28, 0, 0, 0])), (b"zTXt", b"a\0\0" + zlib.compress(b"text"))]
    file = suite.png(values, 6, 8, pieces=pieces, before=before, behind=behind)
    assert normalize(file).encoded == file and np.array_equal(pixels_of(file), values)


def png_of(header: tuple, content: bytes | None) -> bytes:
    """A PNG of a header's numbers, with compressed image data or none at all."""
    data = chunk(b"IDAT", content) if content is not None else b""
    return suite.SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", *header)) + data + chunk(b"IEND", b"")


def damaged_pngs() -> dict[str, bytes]:
    """PNGs that break a rule, each a single one."""
    values = suite.samples(12, 10, 2, 8)
    good = suite.png(values, 2, 8, before=[(b"tRNS", bytes(6))], behind=[(b"tEXt", b"Title\0x")])
    files = {f"cut at {place}": good[:place] for place in (4, 8, 20, 40, 90, 300, len(good) - 30)}
    for name in (b"IHDR", b"tRNS", b"IDAT", b"tEXt"):
        place = good.index(name)
        length = int.from_bytes(good[place - 4 : place], "big")
        for what, offset in (("content", place + 4 + length // 2), ("checksum", place + 4 + length + 1)):
            flipped = bytes([good[offset] ^ 0x10])
            files[f"{what} of {name.decode()} flipped"] = good[:offset] + flipped + good[offset + 1 :]
    headers = {
        "width 0": (0, 1, 8, 2, 0, 0, 0), "depth 3": (1, 1, 3, 0, 0, 0, 0), "colour 1": (1, 1, 8, 1, 0, 0, 0),
        "palette of 16 bits": (1, 1, 16, 3, 0, 0, 0), "colour 7": (1, 1, 8, 7, 0, 0, 0),
        "filter 1": (1, 1, 8, 0, 0, 1, 0),
    }  # fmt: skip
    files |= {what: png_of(header, zlib.compress(bytes(8))) for what, header in headers.items()}
    contents = {
        "empty": b"", "no stream": b"\x12\x34" * 20, "too few rows": zlib.compress(bytes(31 * 11)),
        "unknown filter": zlib.compress(b"\x07" * 31 * 12), "missing": None,
        "wrong sum": zlib.compress(bytes(31 * 12))[:-4] + b"\1\2\3\4",
    }  # fmt: skip
    files |= {f"image data: {what}": png_of((10, 12, 8, 2, 0, 0, 0), content) for what, content in contents.items()}
    files["a palette is missing"] = suite.png(suite.samples(4, 4, 3, 8), 3, 8)
    files["signature stripped of a bit"] = b"\x09" + good[1:]
    files["signature with other line ends"] = good[:4] + b"\n\x1a\n" + good[8:]
    return files | {"signature in lower case": good[:1] + b"png" + good[4:]}


DAMAGED_PNGS = damaged_pngs()


@pytest.mark.parametrize("kind", DAMAGED_PNGS)
def test_damaged_png_is_refused(kind):
    with pytest.raises(PictureError):
        normalize(DAMAGED_PNGS[kind])
    if kind not in ("content of tEXt flipped", "checksum of tEXt flipped"):  # which hold no pixels
        with pytest.raises(tf.errors.InvalidArgumentError):
            data.decode(tf.constant(DAMAGED_PNGS[kind]), channels=0)


def test_each_flipped_bit_of_a_png_is_refused():
    good = suite.png(suite.samples(5, 4, 0, 8), 0, 8, before=[(b"tRNS", b"\0\7")])
    for place in range(8, len(good) - 12):
        file = good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :]
        with pytest.raises(PictureError):
            normalize(file)
        with pytest.raises(tf.errors.InvalidArgumentError):
            data.decode(tf.constant(file), channels=0)


JPEGS = {
    "grey": ("L", {}), "4:4:4": ("RGB", {"subsampling": 0}), "4:2:2": ("RGB", {"subsampling": 1}),
    "4:2:0": ("RGB", {"subsampling": 2}), "progressive": ("RGB", {"progressive": True}),
    "progressive grey": ("L", {"progressive": True}), "optimised": ("RGB", {"optimize": True}),
    "restart markers": ("RGB", {"restart_marker_blocks": 1}), "quality 1": ("RGB", {"quality": 1}),
    "quality 100": ("RGB", {"quality": 100}), "kept as RGB": ("RGB", {"keep_rgb": True}),
    "comment": ("RGB", {"comment": b"x" * 300}), "CMYK": ("CMYK", {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", JPEGS)
def test_jpeg_is_what_its_library_says(kind):
    mode, options = JPEGS[kind]
    for height, width in ((1, 1), (17, 23), (16, 8), (33, 9)):
        file = encoded(noise(height, width).convert(mode), "JPEG", **options)
        expected = np.asarray(Image.open(io.BytesIO(file)).convert("L" if mode == "L" else "RGB"))
        assert np.array_equal(pixels_of(file), expected.reshape(height, width, -1))
        assert (normalize(file).encoded == file) == (mode != "CMYK")
        served = data.decode(tf.constant(file), channels=0).numpy()
        assert np.abs(served.astype(int) - expected.reshape(served.shape)).max() <= 1


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_stands_upright(orientation, format_name):
    file, lying = suite.with_orientation(orientation, format_name)
    assert np.array_equal(pixels_of(file), suite.turned(lying, orientation))


def test_an_orientation_that_means_nothing_turns_nothing():
    for orientation in (0, 9, 255):
        file, lying = suite.with_orientation(orientation)
        assert np.array_equal(pixels_of(file), lying)


def bmps() -> dict[str, tuple[bytes, np.ndarray]]:
    """BMPs and what they show."""
    found = {}
    for bits in (1, 4, 8):
        values, table = suite.samples(7, 11, 0, bits).astype(np.uint8), suite.palette(1 << bits)
        for top_down in (False, True):
            name = f"{bits} bits, {'down' if top_down else 'up'}"
            found[name] = suite.bmp(values, bits, top_down=top_down, colours=table), table[values[:, :, 0]]
    table = suite.palette(256)
    coded = suite.bmp(values, 8, colours=table, compression=1, data=suite.rle8(values))
    found["run-length"] = coded, table[values[:, :, 0]]
    rgb = suite.samples(7, 11, 2, 8).astype(np.uint8)
    for top_down in (False, True):
        found[f"24 bits, {top_down}"] = suite.bmp(rgb[:, :, ::-1], 24, top_down=top_down), rgb
        filled = np.dstack([rgb[:, :, ::-1], np.zeros(rgb.shape[:2], np.uint8)])
        found[f"32 bits, {top_down}"] = suite.bmp(filled, 32, top_down=top_down), rgb
    return found


BMPS = bmps()


@pytest.mark.parametrize("kind", BMPS)
def test_bmp_shows_its_pixels(kind):
    file, expected = BMPS[kind]
    assert np.array_equal(pixels_of(file), expected)
    if kind.startswith("24"):
        assert normalize(file).encoded == file
        assert np.array_equal(data.decode(tf.constant(file), channels=0), expected)
    else:  # TensorFlow would take indices for grey and what fills up 32 bits for alpha
        with pytest.raises(tf.errors.InvalidArgumentError, match="24 bits a pixel"):
            data.decode(tf.constant(file), channels=0)
    for end in (20, 60, len(file) - 20):
        with pytest.raises(PictureError):
            normalize(file[:end])


@pytest.mark.parametrize(
    "kind, mode, options",
    [("lossy", "RGB", {}), ("lossless", "RGB", {"lossless": True}), ("lossy with alpha", "RGBA", {}),
     ("lossless with alpha", "RGBA", {"lossless": True, "exact": True}), ("quality 0", "RGB", {"quality": 0}),
     ("animated", "RGBA", {"save_all": True, "append_images": [noise(17, 23, 5)]})],
)  # fmt: skip
def test_webp_is_what_its_library_says(kind, mode, options):
    for height, width in ((1, 1), (17, 23), (33, 1)):
        image = noise(height, width).convert(mode)
        if mode == "RGBA":
            image.putalpha(image.getchannel("R"))
        if "append_images" in options:
            options = options | {"append_images": [noise(height, width, 5)]}
        file = encoded(image, "WEBP", **options)
        assert np.array_equal(pixels_of(file), np.asarray(Image.open(io.BytesIO(file)).convert(mode)))
        for end in (11, len(file) // 2, len(file) - 1):
            with pytest.raises(PictureError):
                normalize(file[:end])


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_jpeg_that_is_cut_off_is_refused(options):
    file = encoded(noise(40, 60), "JPEG", quality=95, **options)
    for end in np.linspace(3, len(file) - 60, 12).astype(int):
        with pytest.raises(PictureError):
            normalize(file[:end])
        with pytest.raises(tf.errors.InvalidArgumentError):
            data.decode(tf.constant(file[:end]), channels=0)
