"""Several pushed codecs as the rate points of one: each picture gets the point that is wished, all streams are read."""

import bisect
import dataclasses
import functools
import io
import math
import os
from collections.abc import Callable, Sequence

from PIL import Image

from components import classic
from components.served_codec import ServedCodec, ServedCodecError, describe, newest_version


@dataclasses.dataclass(frozen=True)
class RateChoice:
    """What a user wants of a picture: one of the three.

    Attributes:
      quality: 0 (the smallest files) to 100 (the best pictures), spread evenly over the points.
      target_bpp: bits per pixel. target_psnr_db: decibels. The point that comes nearest is taken.
    """

    quality: float | None = None
    target_bpp: float | None = None
    target_psnr_db: float | None = None

    def __post_init__(self):
        """Raises ValueError unless one of them is given, in its range."""
        if sum(value is not None for value in dataclasses.astuple(self)) != 1:
            raise ValueError("choose one of quality, bits per pixel and PSNR")
        if self.quality is not None and not 0 <= self.quality <= 100:
            raise ValueError(f"a quality of {self.quality:g}: must be between 0 and 100")
        if not all(value > 0 for value in (self.target_bpp, self.target_psnr_db) if value is not None):
            raise ValueError("a target must be above zero")


class CodecFamily:
    """Codecs that differ in how they weigh distortion against bits (`lmbda`), ordered by it; each is loaded when used.

    Raises:
      ServedCodecError: a folder holds no codec of this project, or two have the same weight.
    """

    def __init__(self, paths: Sequence[str | os.PathLike]):
        found = []
        for path in paths:
            directory = newest_version(path)
            about = describe(directory)
            lmbda = about.get("config", {}).get("lmbda")
            if lmbda is None or "fingerprint" not in about:
                raise ServedCodecError(f"{directory}: does not say its lambda, so it is no rate point")
            found.append((lmbda, about["fingerprint"], directory))
        self.points = sorted(found)
        for (one, _, first), (two, _, second) in zip(self.points, self.points[1:], strict=False):
            if one == two:
                raise ServedCodecError(f"{first} and {second} both have lambda {one:g}: rate points must differ")
        self._codec = functools.cache(lambda place: ServedCodec(self.points[place][2]))

    def compress(self, image_bytes: bytes, choice: RateChoice) -> tuple[bytes, float]:
        """Codes a picture file's bytes; returns the stream and the lambda of the point that was taken.

        Raises:
          ServedCodecError: a model refused the picture.
        """
        last = len(self.points) - 1
        if choice.quality is not None:
            place = round(choice.quality / 100 * last)
            return self._codec(place).compress(image_bytes), self.points[place][0]
        stream = functools.cache(lambda place: self._codec(place).compress(image_bytes))
        value, target = self._measure(image_bytes, stream, choice)
        # Both rise with lambda, so the first point that reaches the target or the one before is the nearest.
        above = min(bisect.bisect_left(range(last + 1), target, key=value), last)
        place = min((max(above - 1, 0), above), key=lambda p: abs(value(p) - target))
        return stream(place), self.points[place][0]

    def _measure(self, image_bytes: bytes, stream: Callable[[int], bytes], choice: RateChoice) -> tuple:
        """What is compared with the target, as a function of the point, and the target."""
        if choice.target_bpp is not None:
            with Image.open(io.BytesIO(image_bytes)) as header:
                pixels = header.width * header.height
            # Rates are compared as ratios.
            return lambda place: math.log(8 * len(stream(place)) / pixels), math.log(choice.target_bpp)
        from models import metrics

        original = classic.decode(image_bytes)

        def psnr_db(place):
            decoded = classic.decode(self._codec(place).decompress(stream(place)))
            return float(metrics.psnr_db(original[None], decoded[None])[0])

        return functools.cache(psnr_db), choice.target_psnr_db

    def decompress(self, bitstream_bytes: bytes) -> bytes:
        """Decodes a stream of any of the points to the bytes of a PNG file.

        Raises:
          ServedCodecError: no stream, none of these models', or damaged.
        """
        from models.entropy import container

        try:
            written_by = container.describe(bitstream_bytes)["model_fingerprint"]
        except ValueError as error:
            raise ServedCodecError(str(error)) from error
        for place, (_, fingerprint, _) in enumerate(self.points):
            if fingerprint == written_by:
                return self._codec(place).decompress(bitstream_bytes)
        known = ", ".join(fingerprint for _, fingerprint, _ in self.points)
        raise ServedCodecError(f"the stream is of model {written_by}, none of those given ({known})")
