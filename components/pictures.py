"""From the bytes of a picture file to bytes that TensorFlow decodes, with the same pixels.

The one door for pictures of a user's own: ingest and the command line go through `normalize`, so both accept the same
files and refuse the same files.
"""

import io
from typing import NamedTuple

import tensorflow as tf
from PIL import Image, ImageOps

EXTENSIONS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp")
MAX_PIXELS = 100_000_000  # A larger picture needs gigabytes to decode: a mistake, or a decompression bomb.

# MPO is what phones call a JPEG with a second picture (a depth map, another view) behind the first.
_FORMATS = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp", "BMP": "bmp"}
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_ORIENTATION = 0x0112  # EXIF tag; 1 means upright.


class PictureError(ValueError):
    """A file that is no picture, a damaged one, or one of a kind that is not supported; the text is the reason."""


class Picture(NamedTuple):
    """A picture that TensorFlow decodes.

    Attributes:
      encoded: PNG, JPEG or BMP bytes; the file's own bytes when TensorFlow decodes them as they are.
      format: format of the file as it came, lower case: "png", "jpeg", "webp" or "bmp".
      height: pixels, after the rotation that EXIF asks for.
      width: pixels, likewise.
      channels: 1 grey, 2 grey with alpha, 3 RGB, 4 RGB with alpha.
    """

    encoded: bytes
    format: str
    height: int
    width: int
    channels: int


def normalize(data: bytes) -> Picture:
    """Turns the bytes of a PNG, JPEG, WebP or BMP file into a `Picture`.

    PNG (8 bits a channel), JPEG (grey, colour) and BMP (24 bits) keep their own bytes. The rest becomes a PNG: WebP;
    CMYK (to RGB); palettes (to RGB, or RGBA if they have transparent colours); a transparent colour (to an alpha
    channel); 1, 2 and 4 bits (stretched to 8); 16 bits (the high byte is kept, as TensorFlow does); pictures that EXIF
    rotates (turned upright); animations (the first frame); and files that Pillow reads but TensorFlow does not. Alpha
    is kept. Colour profiles are not applied. The format is told by the content, not by a file's name.

    Raises:
      PictureError: not a picture, damaged or cut off, more than MAX_PIXELS pixels, or of another format.
    """
    if not data:
        raise PictureError("the file is empty")
    image = _open(data)
    height, width = image.height, image.width
    if height * width > MAX_PIXELS:
        raise PictureError(f"{width}x{height} pixels, at most {MAX_PIXELS // 10**6} million are accepted")
    name = _FORMATS[image.format]
    if _is_plain(image, data):
        channels = _tensorflow_channels(data, height, width)
        if channels:
            return Picture(data, name, height, width, channels)
    image = _pixels(image)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)  # Level 6 takes three times as long for 2 % of the size.
    return Picture(buffer.getvalue(), name, image.height, image.width, _CHANNELS[image.mode])


def _open(data: bytes) -> Image.Image:
    """Reads the header of a picture; the pixels follow in `_pixels`."""
    try:
        return Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "BMP"))
    except Image.UnidentifiedImageError:
        raise PictureError("not a PNG, JPEG, WebP or BMP picture, or its header is damaged") from None
    except Image.DecompressionBombError as error:
        raise PictureError(f"too many pixels: {error}") from None
    except Exception as error:  # A damaged header makes Pillow raise nearly any kind of error.
        raise PictureError(f"damaged header: {error}") from None


def _is_plain(image: Image.Image, data: bytes) -> bool:
    """Whether the file's own bytes hold, for TensorFlow, the very picture that the file shows."""
    try:
        upright = image.getexif().get(_ORIENTATION, 1) in (0, 1)
    except Exception:  # Damaged EXIF says nothing about the rotation.
        upright = True
    if not upright or "transparency" in image.info:
        return False
    if image.format == "PNG":  # Byte 24 of a PNG is its bit depth, byte 25 its colour type: grey and RGB, with alpha.
        return data[24] == 8 and data[25] in (0, 2, 4, 6) and getattr(image, "n_frames", 1) == 1
    if image.format in ("JPEG", "MPO"):
        return image.mode in ("L", "RGB")
    # Bytes 28 to 34 of a BMP: bits per pixel, compression. TensorFlow takes a palette's indices for grey levels.
    return image.format == "BMP" and data[28:34] == b"\x18\x00\x00\x00\x00\x00"


def _tensorflow_channels(data: bytes, height: int, width: int) -> int:
    """Channels of the picture as TensorFlow decodes it; 0 if it refuses the bytes or sees another size."""
    try:
        shape = tf.io.decode_image(data, expand_animations=False).shape
    except tf.errors.OpError:
        return 0
    return shape[2] if tuple(shape[:2]) == (height, width) else 0


def _pixels(image: Image.Image) -> Image.Image:
    """Decodes a picture to one of the modes L, LA, RGB, RGBA, 8 bits a channel, upright."""
    try:
        image.seek(0)
        image.load()
        mode = image.mode
        if mode.startswith("I"):  # 16 bits of grey, which Pillow's own conversion would clip instead of scale.
            image = image.convert("I").point(lambda value: value / 256).convert("L")
        elif mode in ("P", "PA") or "transparency" in image.info:
            image = image.convert(_with_alpha(image))
        elif mode in ("1", "CMYK"):
            image = image.convert("L" if mode == "1" else "RGB")
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # A damaged file makes Pillow raise nearly any kind of error.
        raise PictureError(f"damaged picture: {error}") from None
    if image.mode not in _CHANNELS:
        raise PictureError(f"pixels of the kind {image.mode!r} are not supported")
    return image


def _with_alpha(image: Image.Image) -> str:
    """The mode of a picture with a palette or a transparent colour once it is written out."""
    if image.mode in ("L", "1", "LA"):
        return "LA"
    is_opaque = image.mode == "P" and "transparency" not in image.info
    return "RGB" if is_opaque else "RGBA"
