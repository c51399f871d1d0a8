"""A folder of pictures as a clip: each is a frame, in the order of the numbers in their names."""

import os
import pathlib
import re
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from components.kinds.clips.reading import MAX_PIXELS, RATE, RATE_WORD, About, Broken, ClipError
from components.kinds.files import is_hidden
from components.kinds.pictures import picture_decoder
from components.kinds.pictures.extensions import EXTENSIONS
from components.kinds.pictures.pictures import PictureError, normalize

LEAST = 2  # pictures that make a clip


def natural(name: str) -> list:
    """A key that puts f9 before f10."""
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name.lower())]


def pictures_in(folder: str | os.PathLike) -> list[str]:
    """Names of the pictures that lie in a folder itself, in the order of the frames."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if not is_hidden(e.name) and e.name.lower().endswith(EXTENSIONS)]
    return sorted(names, key=natural)


class FrameFolder:
    """A clip of a folder of frames; a context manager, as `reading.Clip`.

    The rate is what the folder's name says ("runner_30fps"), else `reading.RATE`.

    Raises:
      ClipError: fewer than LEAST pictures, or the first cannot be read.
    """

    def __init__(self, folder: str | os.PathLike):
        self._folder = pathlib.Path(folder)
        try:
            self._names = pictures_in(folder)
        except OSError as error:
            raise ClipError(f"cannot be opened: {error.strerror}") from error
        if len(self._names) < LEAST:
            raise ClipError(f"a folder of frames holds at least {LEAST} pictures, this {len(self._names)}")
        try:
            height, width, _ = self._frame(0).shape
        except (OSError, PictureError) as error:
            raise ClipError(f"{self._names[0]}: {error}") from error
        if height * width > MAX_PIXELS:
            raise ClipError(f"its frames have {width}x{height} pixels; {MAX_PIXELS} are the most")
        said = RATE_WORD.search(self._folder.name)
        rate = Fraction(said[1]) if said and float(said[1]) else RATE
        ending = os.path.splitext(self._names[0])[1][1:].lower()
        self.about = About(width, height, rate, len(self._names), f"frames/{ending}", "full", "bt709")

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        pass

    def _frame(self, number: int) -> np.ndarray:
        pixels = picture_decoder.decode(normalize((self._folder / self._names[number]).read_bytes()).encoded)
        colours = pixels.shape[2] - (pixels.shape[2] in (2, 4))  # without alpha
        return np.ascontiguousarray(np.broadcast_to(pixels[..., :colours], (*pixels.shape[:2], 3)))

    def frames(self, skip: int = 0) -> Iterator[np.ndarray]:
        """The frames from `skip` on, uint8 [height, width, 3]; grey is repeated, alpha dropped.

        Raises:
          Broken: at a picture that cannot be read, or has another size.
        """
        for number in range(skip, len(self._names)):
            try:
                frame = self._frame(number)
            except (OSError, PictureError) as error:
                raise Broken(f"breaks off after {number} frames: {self._names[number]}: {error}") from error
            if frame.shape[:2] != (self.about.height, self.about.width):
                raise Broken(f"frame {number} ({self._names[number]}) has another size than those before")
            yield frame
