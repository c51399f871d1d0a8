"""`normalize`: every kind of picture comes out as what TensorFlow decodes, damage is refused with a reason."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.kinds.pictures.pictures import PictureError, normalize
from tests.components.pictures_on_disk import FIELD, bomb, encoded, grey16, noise

HEIGHT, WIDTH = 17, 23


def _picture() -> Image.Image:
    return noise(HEIGHT, WIDTH)


def _rgba() -> Image.Image:
    image = _picture().convert("RGBA")
    image.putalpha(image.getchannel("R"))
    return image


def _decoded(data: bytes) -> np.ndarray:
    return tf.io.decode_image(data, expand_animations=False).numpy()


KEPT = {
    "png": (encoded(_picture(), "PNG"), "png", 3),
    "png with alpha": (encoded(_rgba(), "PNG"), "png", 4),
    "grey png": (encoded(_picture().convert("L"), "PNG"), "png", 1),
    "grey png with alpha": (encoded(_rgba().convert("LA"), "PNG"), "png", 2),
    "jpeg": (encoded(_picture(), "JPEG"), "jpeg", 3),
    "progressive jpeg": (encoded(_picture(), "JPEG", progressive=True), "jpeg", 3),
    "grey jpeg": (encoded(_picture().convert("L"), "JPEG"), "jpeg", 1),
    "phone jpeg": (encoded(_picture(), "MPO", save_all=True, append_images=[_picture()]), "jpeg", 3),
    "bmp": (encoded(_picture(), "BMP"), "bmp", 3),
}


@pytest.mark.parametrize("kind", KEPT)
def test_what_tensorflow_decodes_keeps_its_bytes(kind):
    data, format_name, channels = KEPT[kind]
    picture = normalize(data)
    assert picture == (data, format_name, HEIGHT, WIDTH, channels)
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image).reshape(HEIGHT, WIDTH, channels)
    if format_name == "jpeg":  # `decode_image` takes the fast inverse DCT, which is a few levels off.
        decoded = tf.io.decode_jpeg(picture.encoded, dct_method="INTEGER_ACCURATE").numpy()
    else:
        decoded = _decoded(picture.encoded)
    np.testing.assert_array_equal(decoded, pixels)


REENCODED = {
    "webp": (encoded(_picture(), "WEBP", lossless=True), "webp", _picture()),
    "webp with alpha": (encoded(_rgba(), "WEBP", lossless=True, exact=True), "webp", _rgba()),
    "palette png": (encoded(_picture().quantize(16), "PNG"), "png", _picture().quantize(16).convert("RGB")),
    "palette bmp": (encoded(_picture().quantize(16), "BMP"), "bmp", _picture().quantize(16).convert("RGB")),
    "bmp of 32 bits": (encoded(_rgba(), "BMP"), "bmp", _rgba()),
    "one bit png": (encoded(_picture().convert("1"), "PNG"), "png", _picture().convert("1").convert("L")),
    "animated webp": (
        encoded(_picture(), "WEBP", lossless=True, save_all=True, append_images=[_picture().rotate(180)]),
        "webp",
        _picture(),
    ),
    "animated png": (
        encoded(_picture(), "PNG", save_all=True, append_images=[_picture().rotate(180)]),
        "png",
        _picture(),
    ),
}


@pytest.mark.parametrize("kind", REENCODED)
def test_the_rest_becomes_png_with_the_same_pixels(kind):
    data, format_name, expected = REENCODED[kind]
    picture = normalize(data)
    assert picture.encoded.startswith(b"\x89PNG") and picture.encoded != data
    assert picture[1:4] == (format_name, HEIGHT, WIDTH)
    if kind == "bmp of 32 bits":  # Whether the fourth byte is alpha is up to the file; Pillow's reading decides.
        expected = Image.open(io.BytesIO(data))
    if kind == "animated webp":  # The format has alpha for all frames of an animation or for none.
        expected = expected.convert("RGBA")
    pixels = np.asarray(expected).reshape(HEIGHT, WIDTH, -1)
    assert picture.channels == pixels.shape[2]
    np.testing.assert_array_equal(_decoded(picture.encoded), pixels)


def test_transparent_colours_become_an_alpha_channel():
    palette = normalize(encoded(_picture().quantize(8), "PNG", transparency=3))
    grey = normalize(encoded(_picture().convert("L"), "PNG", transparency=3))
    colour = normalize(encoded(_picture(), "PNG", transparency=(1, 2, 3)))
    assert (palette.channels, grey.channels, colour.channels) == (4, 2, 4)
    is_clear = np.asarray(_picture().quantize(8)) == 3
    np.testing.assert_array_equal(_decoded(palette.encoded)[..., 3], np.where(is_clear, 0, 255))


def test_16_bits_keep_the_high_byte():
    levels, data = grey16(HEIGHT, WIDTH)
    picture = normalize(data)
    assert picture.channels == 1
    np.testing.assert_array_equal(_decoded(picture.encoded)[..., 0], levels >> 8)
    np.testing.assert_array_equal(_decoded(data), _decoded(picture.encoded))  # As TensorFlow itself would read it.


def test_exif_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # The file must be turned by 90 degrees clockwise to stand upright.
    data = encoded(_picture(), "PNG", exif=exif)
    picture = normalize(data)
    assert (picture.height, picture.width) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(_decoded(picture.encoded), np.rot90(np.asarray(_picture()), -1))
    assert not Image.open(io.BytesIO(picture.encoded)).getexif().get(0x0112)


def test_cmyk_becomes_rgb():
    picture = normalize(encoded(_picture().convert("CMYK"), "JPEG", quality=95))
    assert picture.channels == 3 and picture.encoded.startswith(b"\x89PNG")
    assert np.abs(_decoded(picture.encoded).astype(int) - np.asarray(_picture())).mean() < 6


DAMAGED = {
    "nothing": (b"", "empty"),
    "text": (b"holiday pictures\n" * 50, "not a PNG, JPEG, WebP or BMP"),
    "gif": (encoded(_picture(), "GIF"), "of the format GIF; PNG, JPEG, WebP and BMP are read"),
    "tiff": (encoded(_picture(), "TIFF"), "of the format TIFF; PNG"),
    "avif": (b"\0\0\0\x20ftypavif" + bytes(99), "of the format AVIF; PNG"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(99), "of the format HEIC; PNG"),
    "jpeg 2000": (encoded(_picture(), "JPEG2000"), "of the format JPEG 2000; PNG"),
    "jpeg xl": (b"\xff\x0a" + bytes(99), "of the format JPEG XL; PNG"),
    "bomb": (bomb(40_000), "too many pixels, at most 134 million"),
    "smaller bomb": (bomb(12_000), "12000x12000 pixels, at most 134 million"),
    **{f"half a {name}": (encoded(_picture(), name)[:-200], "damaged|not a") for name in ("PNG", "JPEG", "BMP")},
    "half a webp": (encoded(_picture(), "WEBP", lossless=True)[:-200], "damaged"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_refused_with_its_reason(kind):
    data, reason = DAMAGED[kind]
    with pytest.raises(PictureError, match=reason):
        normalize(data)


def test_random_damage_gives_a_decodable_picture_or_a_reason():
    random = np.random.default_rng(3)
    refused = 0
    for name in ("PNG", "JPEG", "BMP", "WEBP"):
        good = np.frombuffer(encoded(_picture(), name), np.uint8)
        for _ in range(60):
            data = good.copy()
            data[random.integers(0, min(len(data), 300), 4)] = random.integers(0, 256, 4)
            try:
                picture = normalize(data.tobytes())
            except PictureError as error:
                assert str(error)
                refused += 1
            else:
                assert _decoded(picture.encoded).shape == picture[2:]
    assert 20 < refused < 220


def test_a_bmp_whose_pixels_start_late_is_read_right():
    good = encoded(_picture(), "BMP")
    data = good[:30] + b"\x00" * 4 + good[34:54] + b"junk" + good[54:]  # Pixels that start later than usual,
    data = data[:10] + (58).to_bytes(4, "little") + data[14:]  # as the header says.
    picture = normalize(data)
    assert picture.format == "bmp"
    np.testing.assert_array_equal(_decoded(picture.encoded), np.asarray(_picture()))


@pytest.mark.skipif(FIELD is None, reason="pictures from the field are not part of the repository")
def test_pictures_from_the_field():
    with pytest.raises(PictureError, match="damaged picture"):
        normalize((FIELD / "png_badcrc.png").read_bytes())
    grey = normalize((FIELD / "grey16_trns.png").read_bytes())
    assert grey[1:] == ("png", 192, 256, 2) and (_decoded(grey.encoded)[..., 1] == 0).sum() == 254
