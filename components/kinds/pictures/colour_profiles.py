"""Colour profiles (ICC) of picture files: to the sRGB that is meant where a file has none."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

Transform = Callable[[Image.Image], Image.Image]

_MODES = {"CMYK": ("CMYK", "RGB"), "GRAY": ("L", "RGB"), "RGB": ("RGB", "RGB")}  # of Pillow, before and after
_SAME = 2  # levels that no colour moves by more if a profile is sRGB, which is written down in many ways
_STEPS = 16  # the level 0 and so many others of each channel are looked at


def to_srgb(content: bytes | None, space: str) -> Transform | None:
    """What turns a picture's pixels into those that a viewer who knows profiles shows.

    The profile's own rendering intent is followed; colours outside sRGB are clipped. Alpha stays as it is.

    Args:
      content: the profile, if the file has one.
      space: "GRAY", "RGB" or "CMYK", the picture's channels besides alpha.

    Returns:
      A function of images in the modes L and LA, RGB and RGBA, or CMYK; the last becomes RGB, the others stay. None if
      there is nothing to do: no profile, sRGB, a damaged profile, or one of other channels.
    """
    if not content:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        if profile.profile.xcolor_space.strip() != space:
            return None
        srgb, intent = ImageCms.createProfile("sRGB"), ImageCms.Intent(ImageCms.getDefaultIntent(profile))
        table = ImageCms.buildTransform(profile, srgb, *_MODES[space], intent)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
    if space != "CMYK" and _moves_least(table, space):
        return None
    return lambda image: _applied(table, image)


def _moves_least(table: ImageCms.ImageCmsTransform, space: str) -> bool:
    """Whether a transform leaves all colours where they are."""
    levels = np.linspace(0, 255, _STEPS + 1).round().astype(np.uint8)
    if space == "RGB":
        colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(_STEPS + 1, -1, 3)
    else:
        colours = np.arange(256, dtype=np.uint8)[None]
    moved = np.asarray(_applied(table, Image.fromarray(colours)))
    return np.abs(moved.astype(int) - colours).max() <= _SAME


def _applied(table: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    """The picture behind a transform, grey in grey."""
    has_alpha, is_grey = image.mode in ("LA", "RGBA"), image.mode in ("L", "LA")
    plain = image.convert(image.mode[:-1]) if has_alpha else image
    result = ImageCms.applyTransform(plain, table)
    result = result.getchannel("G") if is_grey else result
    if has_alpha:
        result.putalpha(image.getchannel("A"))
    return result
