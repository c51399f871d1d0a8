"""Rate points: several pushed codecs or one of variable rate. Each picture gets its wish, all streams are read."""

import abc
import bisect
import dataclasses
import functools
import io
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from PIL import Image

from components.evaluation import classic, rate_distortion
from components.serving.served_codec import ServedCodec, ServedCodecError, describe, is_variable, newest_version


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
        if not all(0 < value < math.inf for value in (self.target_bpp, self.target_psnr_db) if value is not None):
            raise ValueError("a target must be above zero, and finite")

    @property
    def unit(self) -> str:
        """Unit of the target."""
        return "dB" if self.target_bpp is None else "bpp"


class Coded(NamedTuple):
    """A stream, what distortion weighed in it, and, if the target is out of reach, what comes nearest of its kind.

    `setting` says how it was coded.
    """

    stream: bytes
    lmbda: float
    bound: float | None = None
    setting: str = ""


class RatePoint(NamedTuple):
    """One way of coding: what distortion weighs, which model by its fingerprint and its folder, at which quality."""

    lmbda: float
    fingerprint: str
    model: pathlib.Path
    quality: int | None = None  # of a variable-rate model
    reads: tuple[str, ...] = ()  # fingerprints besides its own whose streams the model reads


def lambdas_of(config: Mapping) -> list[float]:
    """What distortion weighs at the qualities 0 to 100 of a variable-rate model of that configuration."""
    octaves = config["rates"] - 1
    return [config["lmbda"] * 2.0 ** (octaves * (quality / 100 - 1)) for quality in range(101)]


class Rates(abc.ABC):
    """Ways of coding in an order in which bits and quality rise, of which each picture gets one."""

    count: int

    @abc.abstractmethod
    def compress_at(self, place: int, image_bytes: bytes) -> bytes:
        """Codes a picture file's bytes in the way at a place of the order, 0 to `count` - 1."""

    @abc.abstractmethod
    def decompress(self, bitstream_bytes: bytes) -> bytes:
        """Decodes a stream of any of the ways to the bytes of a PNG file."""

    def lmbda(self, place: int) -> float:
        """What distortion weighs there; nan if nobody knows."""
        return math.nan

    def setting(self, place: int) -> str:
        """Words for a place of the order."""
        return f"lambda {self.lmbda(place):g}"

    def compress(self, image_bytes: bytes, choice: RateChoice) -> Coded:
        """Codes a picture file's bytes in the way that the choice takes.

        Raises:
          ValueError: the picture was refused.
        """
        last = self.count - 1
        if choice.quality is not None:
            return self._coded(
                round(choice.quality / 100 * last), functools.partial(self.compress_at, image_bytes=image_bytes)
            )
        stream = functools.cache(lambda place: self.compress_at(place, image_bytes))
        value, target = self._measure(image_bytes, stream, choice)
        # Both rise with the place, so the first that reaches the target or the one before is the nearest.
        # Rates are compared as ratios.
        distance = (lambda a, b: abs(math.log(a / b))) if choice.target_bpp is not None else (lambda a, b: abs(a - b))
        reached = bisect.bisect_left(range(last + 1), target, key=value)
        above = min(reached, last)
        place = min((max(above - 1, 0), above), key=lambda p: distance(value(p), target))
        within = reached <= last and (reached > 0 or value(0) == target)
        return self._coded(place, stream, None if within else value(place))

    def _coded(self, place: int, stream: Callable[[int], bytes], bound: float | None = None) -> Coded:
        return Coded(stream(place), self.lmbda(place), bound, self.setting(place))

    def _measure(self, image_bytes: bytes, stream: Callable[[int], bytes], choice: RateChoice) -> tuple:
        """What is compared with the target, as a function of the place, and the target."""
        if choice.target_bpp is not None:
            with Image.open(io.BytesIO(image_bytes)) as header:
                pixels = header.width * header.height
            return lambda place: 8 * len(stream(place)) / pixels, choice.target_bpp
        original = classic.decode(image_bytes)

        def psnr_db(place):
            return rate_distortion.psnr_db(original, classic.decode(self.decompress(stream(place))))

        return functools.cache(psnr_db), choice.target_psnr_db


class CodecFamily(Rates):
    """Codecs that differ in how they weigh distortion against bits (`lmbda`), ordered by it; each is loaded when used.

    A variable-rate model is a family of its own, of a point for each quality. `refine` is `ServedCodec.compress`'.

    Raises:
      ServedCodecError: a folder holds no codec of this project, two have the same weight, or a variable-rate model has
        company.
    """

    def __init__(self, paths: Sequence[str | os.PathLike], refine: int = 0):
        self.refine, found = refine, []
        for path in paths:
            directory = newest_version(path)
            about = describe(directory)
            lmbda = about.get("config", {}).get("lmbda")
            if lmbda is None or "fingerprint" not in about:
                raise ServedCodecError(f"{directory}: does not say its lambda, so it is no rate point")
            fingerprint, reads = about["fingerprint"], tuple(about.get("reads", ()))
            if not is_variable(about):
                found.append(RatePoint(lmbda, fingerprint, directory, None, reads))
                continue
            if len(paths) > 1:
                raise ServedCodecError(f"{directory}: has all rates already; give it alone")
            points = enumerate(lambdas_of(about["config"]))
            found += [RatePoint(weight, fingerprint, directory, quality, reads) for quality, weight in points]
        self.points = sorted(found)
        for one, two in zip(self.points, self.points[1:], strict=False):
            if one.lmbda == two.lmbda:
                both = f"{one.model} and {two.model}"
                raise ServedCodecError(f"{both} both have lambda {one.lmbda:g}: rate points must differ")
        self._codec = functools.cache(ServedCodec)

    @property
    def count(self) -> int:
        """Number of the points."""
        return len(self.points)

    def lmbda(self, place: int) -> float:
        """That of a point."""
        return self.points[place].lmbda

    def compress_at(self, place: int, image_bytes: bytes) -> bytes:
        """Codes a picture file's bytes with a point. Raises ServedCodecError: the model refused the picture."""
        point = self.points[place]
        return self._codec(point.model).compress(image_bytes, point.quality, self.refine)

    def decompress(self, bitstream_bytes: bytes) -> bytes:
        """Decodes a stream of any of the points to the bytes of a PNG file.

        Raises:
          ServedCodecError: no stream, none of these models', or damaged.
        """
        from models.entropy.coder import header

        try:
            written_by = header.describe(bitstream_bytes)["model_fingerprint"]
        except ValueError as error:
            raise ServedCodecError(str(error)) from error
        if header.is_stored(bitstream_bytes):
            return self._codec(self.points[0].model).decompress(bitstream_bytes)
        models = {point.fingerprint: point.model for point in self.points}
        known = ", ".join(models)
        models = {earlier: point.model for point in self.points for earlier in point.reads} | models
        if written_by in models:
            return self._codec(models[written_by]).decompress(bitstream_bytes)
        raise ServedCodecError(f"the stream is of model {written_by}, none of those given ({known})")
