"""Released codecs: their qualities one after the other, and the model that reads a stream, known by the stream."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from components.evaluation import classic, rate_distortion
from components.serving.codec_family import Rates, lambdas_of
from components.serving.served_codec import ServedCodec, ServedCodecError, describe, newest_version
from models.entropy.coder import header
from models.publishing import released

# Of a codec that goes on where another ends: of 21 training photographs none was worse from this quality on than at
# that end; the farthest was better from 24 on.
_SURE = 30


class ReleasedCodecs:
    """Decodes streams of any of several codecs; each is made and loaded when a stream asks for it."""

    def __init__(self, names: Sequence[str], folder_of: Callable[[str], pathlib.Path]):
        """Args:
        names: of the codecs, the likeliest first; at least one. folder_of: makes one's folder.
        """
        self.names = names
        self._folder = functools.cache(lambda name: newest_version(folder_of(name)))
        self._opened: dict[str, ServedCodec] = {}

    def codec(self, name: str) -> ServedCodec:
        """One of the codecs, loaded when it is first asked for."""
        if name not in self._opened:
            self._opened[name] = ServedCodec(self._folder(name))
        return self._opened[name]

    def decompress(self, bitstream_bytes: bytes) -> bytes:
        """Decodes a stream to the bytes of a PNG file.

        Raises:
          ServedCodecError: no stream, none of these codecs', or damaged.
        """
        try:
            written_by = header.describe(bitstream_bytes)["model_fingerprint"]
        except ValueError as error:
            raise ServedCodecError(str(error)) from error
        names = sorted(self.names, key=lambda name: name not in self._opened)
        if header.is_stored(bitstream_bytes):  # which every codec gives back
            return self.codec(names[0]).decompress(bitstream_bytes)
        for name in names:
            about = describe(self._folder(name))
            if written_by in (about.get("fingerprint"), *about.get("reads", ())):
                return self.codec(name).decompress(bitstream_bytes)
        known = ", ".join(self.names)
        raise ServedCodecError(
            f"the stream is of model {written_by}, none of the released ones ({known}); give --model"
        )


class ReleasedPoint(NamedTuple):
    """A quality of a released codec, and what distortion weighs there."""

    lmbda: float
    model: str
    quality: int


class ReleasedRates(Rates):
    """The qualities of released codecs of variable rate, one after the other; each is made and loaded when it is used.

    A picture that the next codec would code worse at first than the one before at its end stays as that made it.

    Args:
      first: names of the codecs in the order of their rates, and the quality of each with which it begins where the one
        before has ended. folder_of: makes one's folder. refine: `ServedCodec.compress`'.

    Raises:
      ReleaseError: one is not there, or its file is damaged.
    """

    def __init__(self, first: Mapping[str, int], folder_of: Callable[[str], pathlib.Path], refine: int = 0):
        self.points, self.refine = [], refine
        for name, begin in first.items():
            weights = enumerate(lambdas_of(released.describe(released.path_of(name))["config"]))
            self.points += [ReleasedPoint(weight, name, quality) for quality, weight in weights if quality >= begin]
        self.description = {"recipe": " and ".join(first)}
        self._codecs = ReleasedCodecs(list(first), folder_of)

    @property
    def count(self) -> int:
        """Number of the qualities."""
        return len(self.points)

    def lmbda(self, place: int) -> float:
        """That of a quality."""
        return self.points[place].lmbda

    def setting(self, place: int) -> str:
        """The quality there, from 0 to 100 over all codecs."""
        return f"quality {100 * place / (self.count - 1):.1f}"

    def compress_at(self, place: int, image_bytes: bytes) -> bytes:
        """Codes a picture file's bytes at a quality. Raises ServedCodecError: the model refused the picture."""
        point = self.points[place]
        stream = self._codecs.codec(point.model).compress(image_bytes, point.quality, self.refine)
        end = max((n for n in range(place) if self.points[n].model != point.model), default=None)
        if end is None or point.quality >= _SURE:
            return stream
        before = self.compress_at(end, image_bytes)
        return before if self._psnr_db(image_bytes, before) > self._psnr_db(image_bytes, stream) else stream

    def _psnr_db(self, image_bytes: bytes, stream: bytes) -> float:
        return rate_distortion.psnr_db(classic.decode(image_bytes), classic.decode(self.decompress(stream)))

    def decompress(self, bitstream_bytes: bytes) -> bytes:
        """Decodes a stream of any of the codecs. Raises ServedCodecError as `ReleasedCodecs.decompress`."""
        return self._codecs.decompress(bitstream_bytes)
