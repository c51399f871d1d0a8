"""From the bytes of a picture file to bytes that TensorFlow decodes, with the same pixels.

The one door for pictures of a user's own: ingest and the command line go through `normalize`, so both accept the same
files and refuse the same files.
"""

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image

from components.kinds.pictures import colour_profiles, picture_decoder
from models.contract.errors import KompaktError
from models.entropy.coder.header import MAX_PIXELS

_LIMIT = f"at most {MAX_PIXELS // 10**6} million are accepted"
# MPO is what phones call a JPEG with a second picture (a depth map, another view) behind the first.
_FORMATS = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp", "BMP": "bmp"}
# Of formats that are not read: where the marks stand, the marks, the name.
_OTHERS = (
    (0, (b"GIF8",), "GIF"),
    (0, (b"II*\0", b"MM\0*"), "TIFF"),
    (4, (b"ftypavif", b"ftypavis"), "AVIF"),
    (4, (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1"), "HEIC"),
    (0, (b"\xff\x0a", b"\0\0\0\x0cJXL "), "JPEG XL"),
    (0, (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), "JPEG 2000"),
)
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_ORIENTATION = 0x0112  # EXIF tag; 1 means upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


class PictureError(KompaktError, ValueError):
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
    CMYK (to RGB); palettes (to RGB, or RGBA if they have transparent colours); a transparent level or colour (to an
    alpha channel); 1, 2 and 4 bits (stretched to 8); 16 bits (the high byte is kept, as TensorFlow does); pictures that
    EXIF rotates (turned upright); pictures with a colour profile (to sRGB, see
    `components.kinds.pictures.colour_profiles`); animations (the first frame); and files that Pillow reads but
    TensorFlow does not. Alpha is kept. The format is told by the content, not by a file's name.

    Raises:
      PictureError: not a picture, damaged (any wrong checksum of a PNG) or cut off, more than MAX_PIXELS pixels, or of
        another format.
    """
    if not data:
        raise PictureError("the file is empty")
    image = _open(data)
    if image.height * image.width > MAX_PIXELS:
        raise PictureError(f"{image.width}x{image.height} pixels, {_LIMIT}")
    name = _FORMATS[image.format]
    transform = colour_profiles.to_srgb(image.info.get("icc_profile"), _space(image, data))
    _load(image, data)
    if transform is None and _is_plain(image, data):
        channels = _tensorflow_channels(data, image.height, image.width)
        if channels:
            return Picture(data, name, image.height, image.width, channels)
    image = _pixels(image, data, transform)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)  # Level 6 takes three times as long for 2 % of the size.
    return Picture(buffer.getvalue(), name, image.height, image.width, _CHANNELS[image.mode])


def _open(data: bytes) -> Image.Image:
    """Reads the header of a picture; the pixels follow in `_load`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # The limit here is MAX_PIXELS.
            return Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "BMP"))
    except Image.UnidentifiedImageError:
        other = next((name for start, marks, name in _OTHERS if data[start:].startswith(marks)), "")
        if other:
            raise PictureError(f"a picture of the format {other}; PNG, JPEG, WebP and BMP are read") from None
        raise PictureError("not a PNG, JPEG, WebP or BMP picture, or its header is damaged") from None
    except Image.DecompressionBombError:  # Twice what it warns of, so that a header beyond that has no size here.
        raise PictureError(f"too many pixels, {_LIMIT}") from None
    except Exception as error:  # A damaged header makes Pillow raise nearly any kind of error.
        raise PictureError(f"damaged header: {error}") from None


def _space(image: Image.Image, data: bytes) -> str:
    """The channels besides alpha, as colour profiles name them."""
    if image.format == "PNG":  # byte 25 is the colour type; Pillow's mode of 16 bits of grey with alpha is RGBA
        return "GRAY" if data[25] in (0, 4) else "RGB"
    return {"L": "GRAY", "CMYK": "CMYK"}.get(image.mode, "RGB")


def _load(image: Image.Image, data: bytes) -> None:
    """Decodes the pixels. Nothing may touch them earlier: after a failure Pillow takes what it has for the picture."""
    try:
        if image.format == "PNG":  # Pillow decodes what has a wrong checksum, unless it is asked to verify it.
            _open(data).verify()
        image.load()
    except Exception as error:  # A damaged file makes Pillow raise nearly any kind of error.
        raise PictureError(f"damaged picture: {error}") from None


def _orientation(image: Image.Image) -> int:
    """How the picture lies, a key of `_TURNS`, or 1 if it stands upright."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Damaged EXIF says nothing about the rotation.
        return 1
    return orientation if orientation in _TURNS else 1


def _is_plain(image: Image.Image, data: bytes) -> bool:
    """Whether the file's own bytes hold, for TensorFlow, the very picture that the file shows."""
    if _orientation(image) != 1 or "transparency" in image.info:
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
        shape = picture_decoder.decode(data).shape
    except ValueError:
        return 0
    return shape[2] if tuple(shape[:2]) == (height, width) else 0


def _array(data: bytes) -> np.ndarray:
    """The picture as TensorFlow decodes it, uint8 [H, W, C], or [H, W] if there is one channel."""
    import tensorflow as tf  # takes seconds, and most pictures are plain

    from models.records import pictures as records

    pixels = records.decode(tf.constant(data), channels=0).numpy()
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def _pixels(image: Image.Image, data: bytes, transform: colour_profiles.Transform | None) -> Image.Image:
    """A loaded picture as L, LA, RGB or RGBA, 8 bits a channel, upright, in sRGB, without what else the file says."""
    orientation = _orientation(image)
    try:
        if image.format == "PNG":  # Of what has not 8 bits, Pillow mistakes the transparent level, and grey for RGB.
            image = Image.fromarray(_array(data))
        elif image.mode in ("1", "P"):
            image = image.convert("L" if image.mode == "1" else "RGB")
        if transform:
            image = transform(image)
        if image.mode == "CMYK":
            image = image.convert("RGB")
        if orientation != 1:
            image = image.transpose(_TURNS[orientation])
    except Exception as error:  # Whatever a library still finds wrong; TensorFlow says it in many lines.
        raise PictureError(f"damaged picture: {str(error).splitlines()[0]}") from None
    if image.mode not in _CHANNELS:
        raise PictureError(f"pixels of the kind {image.mode!r} are not supported")
    image.info = {}  # Pillow would write a profile and a transparent colour into the PNG.
    return image
