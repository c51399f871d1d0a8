"""Pictures with colour profiles come out in sRGB as the profiles' own formulas say; other profiles change nothing."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from components.kinds.pictures.pictures import normalize
from tests.components.pictures_on_disk import FIELD, encoded, noise

# The standards' red, green and blue (columns, here rows) in XYZ under D50, adapted by Bradford's method.
SRGB, DISPLAY_P3, ADOBE_RGB = (np.array(rows).T for rows in (
    [[0.4360747, 0.2225045, 0.0139322], [0.3850649, 0.7168786, 0.0971045], [0.1430804, 0.0606169, 0.7141733]],
    [[0.5151187, 0.2411892, -0.0010505], [0.2919778, 0.6922441, 0.0418791], [0.1571035, 0.0665668, 0.7840713]],
    [[0.6097559, 0.3111242, 0.0194811], [0.2052401, 0.6256560, 0.0608902], [0.1492240, 0.0632197, 0.7448387]],
))  # fmt: skip
WHITE = np.array([0.9642, 1.0, 0.8249])


def profile(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", connection: bytes = b"XYZ ") -> bytes:
    """An ICC profile of version 2, relative colorimetric, with these tags besides those that all have."""
    tags = tags | {b"desc": b"desc" + struct.pack(">II", 0, 5) + b"test\0" + bytes(79), b"cprt": b"text\0\0\0\0none\0"}
    tags[b"wtpt"] = xyz(WHITE)
    place, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, place + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    start = struct.pack(">I4sI4s4s4s", place + len(body), b"none", 0x02100000, kind, space, connection)
    middle = bytes(12) + b"acsp" + bytes(24) + struct.pack(">I", 1) + xyz(WHITE)[8:]
    return (start + middle).ljust(128, b"\0") + table + body


def xyz(values) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))


def power(gamma: float) -> bytes:
    return b"curv" + struct.pack(">IIHH", 0, 1, round(gamma * 256), 0)


def of_primaries(primaries: np.ndarray, gamma: float = 2.2) -> bytes:
    """The profile of a display."""
    colours = zip((b"r", b"g", b"b"), primaries.T, strict=True)
    return profile(b"RGB ", {k: v for n, p in colours for k, v in ((n + b"XYZ", xyz(p)), (n + b"TRC", power(gamma)))})


def of_grey(gamma: float) -> bytes:
    return profile(b"GRAY", {b"kTRC": power(gamma)})


def of_ink(lab: np.ndarray) -> bytes:
    """The profile of a press: float [16, 3], the Lab colours of no and all of cyan, magenta, yellow and black."""
    ramp, points = bytes(range(256)), np.round([[2.55 * p[0], 128 + p[1], 128 + p[2]] for p in lab]).astype(np.uint8)
    start = b"mft1" + struct.pack(">I4B9i", 0, 4, 3, 2, 0, *np.eye(3, dtype=int).ravel() * 65536)
    return profile(b"CMYK", {b"A2B0": start + 4 * ramp + points.tobytes() + 3 * ramp}, b"prtr", b"Lab ")


def as_seen(pixels: np.ndarray, gamma: float, primaries: np.ndarray) -> np.ndarray:
    """sRGB levels, float [..., 3], of pixels [..., 3] uint8 of a profile, by the formulas of the standards."""
    return srgb_of((pixels / 255) ** gamma @ primaries.T)


def srgb_of(values: np.ndarray) -> np.ndarray:
    """sRGB levels, float [..., 3], of XYZ under D50."""
    linear = np.clip(values @ np.linalg.inv(SRGB).T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.square(a.astype(float) - b).mean())


def decoded(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(normalize(data).encoded))
    assert not {"icc_profile", "transparency"} & set(image.info)
    return np.asarray(image)


@pytest.mark.parametrize("primaries", [DISPLAY_P3, ADOBE_RGB], ids=["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("format_name, options", [("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_pictures_come_out_as_people_see_them(primaries, format_name, options):
    data = encoded(noise(60, 80), format_name, icc_profile=of_primaries(primaries), **options)
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    expected = as_seen(pixels, 563 / 256, primaries)
    assert psnr(pixels, expected) < 30 and psnr(decoded(data), expected) > 55
    assert np.abs(decoded(data) - expected).max() < 1.5


@pytest.mark.skipif(FIELD is None, reason="pictures from the field are not part of the repository")
@pytest.mark.parametrize("name, primaries", [("p3.jpg", DISPLAY_P3), ("adobergb.jpg", ADOBE_RGB)])
def test_pictures_from_the_field_come_out_as_people_see_them(name, primaries):
    data = (FIELD / name).read_bytes()
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    expected = as_seen(pixels, 563 / 256, primaries)
    assert psnr(pixels, expected) < 22 and psnr(decoded(data), expected) > 55


def test_alpha_grey_and_palettes_keep_their_kind():
    p3, grey = of_primaries(DISPLAY_P3), of_grey(1.8)
    image = noise(20, 30)
    alpha = image.getchannel("R")
    with_alpha = image.copy()
    with_alpha.putalpha(alpha)
    pixels = decoded(encoded(with_alpha, "PNG", icc_profile=p3))
    assert np.array_equal(pixels[..., 3], alpha)
    assert np.array_equal(pixels[..., :3], decoded(encoded(image, "PNG", icc_profile=p3)))
    of_palette = image.quantize(16)
    expected = as_seen(np.asarray(of_palette.convert("RGB")), 563 / 256, DISPLAY_P3)
    assert np.abs(decoded(encoded(of_palette, "PNG", icc_profile=p3)) - expected).max() < 1.5

    levels = image.convert("L")
    expected = as_seen(np.repeat(np.asarray(levels)[..., None], 3, 2), round(1.8 * 256) / 256, SRGB)[..., 0]
    assert np.abs(expected - np.asarray(levels)).max() > 10
    for mode, options in (("L", {}), ("L", {"transparency": 44}), ("LA", {}), ("I;16", {})):
        source = levels.copy()
        if mode == "LA":
            source.putalpha(alpha)
        if mode == "I;16":
            source = Image.fromarray(np.asarray(levels).astype(np.uint16) * 257)
        pixels = decoded(encoded(source, "PNG", icc_profile=grey, **options))
        found = pixels if pixels.ndim == 2 else pixels[..., 0]
        assert (pixels.ndim == 2) == (mode != "LA" and not options)
        assert np.abs(found - expected).max() < 1.5


def test_inks_go_through_the_profile_of_their_press():
    lab = np.array([[100 - 20 * c - 14 * m - 5 * y - 55 * k, -30 * c + 60 * m, -35 * c + 70 * y]
                    for c, m, y, k in np.ndindex(2, 2, 2, 2)])  # fmt: skip
    for place in (0, 2, 4, 8):  # paper, yellow, magenta, cyan
        ink = tuple(255 * int(b) for b in f"{place:04b}")
        data = encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100, icc_profile=of_ink(lab))
        lightness, a, b = lab[place]
        f = (lightness + 16) / 116 + np.array([a / 500, 0, -b / 200])
        expected = srgb_of(WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)))
        found = decoded(data)
        assert found.shape == (16, 16, 3) and np.abs(found - expected).max() < 4  # a step of 8 bits of Lab
        plain = decoded(encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100))
        assert place == 0 or np.abs(plain - expected).max() > 20


def test_srgb_keeps_the_bytes_of_the_file():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for format_name in ("JPEG", "PNG"):
        data = encoded(noise(20, 30), format_name, icc_profile=srgb)
        assert normalize(data).encoded == data
    data = encoded(noise(20, 30), "JPEG", icc_profile=of_primaries(SRGB))  # is not sRGB: its shadows differ
    assert normalize(data).encoded != data


P3 = of_primaries(DISPLAY_P3)


@pytest.mark.parametrize(
    "content",
    [b"profile", P3[:100], P3[:200], P3[:36] + b"none" + P3[40:], P3[:128] + b"\xff" * 40, of_grey(1.8),
     P3[:16] + b"HSV " + P3[20:], bytes(1000)],
    ids=["text", "header cut", "table cut", "no magic", "table", "grey", "space", "zeros"],
)  # fmt: skip
def test_profiles_that_do_not_apply_are_passed_over(content):
    for format_name in ("JPEG", "PNG"):
        data = encoded(noise(20, 30), format_name, icc_profile=content)
        assert normalize(data).encoded == data
