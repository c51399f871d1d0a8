"""A pushed video codec as its users meet it: groups of frames to streams and back."""

import functools
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from components.native_model import NativeError
from components.serving.served_codec import describe, newest_version, one_line
from components.serving.served_model import ServedModelError, opened, takes

GROUP = 12  # frames, where a model does not say


def codes_frames(path: str | os.PathLike) -> bool:
    """Whether the model at a path codes clips and not pictures. Raises ServedModelError: no model there."""
    return "frames" in takes(path, "compress")


class ServedVideo:
    """Calls `compress`, `compress_at` and `decompress` of a SavedModel whose examples are groups of frames.

    Attributes:
      group: most frames of a group. fingerprint: below 2**32, of the model; reads: of all whose streams it reads.

    Raises:
      ServedModelError: the folder holds no video codec.
    """

    def __init__(self, path: str | os.PathLike):
        self.directory, self._model = opened(path)
        taken = {name: set(signature.inputs) for name, signature in self._model.signatures.items()}
        if "frames" not in taken.get("compress", ()) or "decompress" not in taken:
            raise ServedModelError(f"{self.directory}: not a video codec: no signature 'compress' that takes frames")
        self.is_variable = "frames" in taken.get("compress_at", ())
        about = describe(self.directory)
        self.group = int(about.get("config", {}).get("group", GROUP))
        self.fingerprint = int(about.get("fingerprint", "0"), 16)
        self.reads = {self.fingerprint, *(int(text, 16) for text in about.get("reads", ()))}

    def compress(self, frames: np.ndarray, quality: int | None = None) -> bytes:
        """Codes one group, uint8 [T, H, W, 3] with T of at most `group`, to a stream.

        Args:
          quality: 0 (small files) to 100 (good frames), of a model of several rates only; None: its default.

        Raises:
          ServedModelError: the model refused it, or has one rate only.
        """
        if quality is None:
            return self._call("compress", frames=frames)["bitstream_bytes"].ravel()[0]
        if not self.is_variable:
            raise ServedModelError(f"{self.directory}: a model of one rate, which takes no quality")
        return self._call("compress_at", frames=frames, quality=[quality])["bitstream_bytes"].ravel()[0]

    def decompress(self, stream: bytes) -> np.ndarray:
        """Decodes the stream of a group: uint8 [T, H, W, 3]. Raises ServedModelError: the model refused it."""
        rank = self._model.signatures["decompress"].inputs["bitstream_bytes"].rank
        return self._call("decompress", bitstream_bytes=stream if rank == 0 else [stream])["frames"]

    def flow(self, frames: np.ndarray) -> np.ndarray | None:
        """Motion from each frame but the first to the one before, pixels (x, y), float32 [T - 1, H, W, 2]; or None.

        Asked of the signature `flow`, which a model need not have.
        """
        return self._call("flow", frames=frames)["flow"] if "flow" in self._model.signatures else None

    def numbers(self, record: bytes) -> dict[str, float]:
        """What the model measures of a record of clips, by the names of its metrics."""
        return {name: float(value.item()) for name, value in self._call("serving_default", examples=[record]).items()}

    def _call(self, signature: str, **values) -> dict[str, np.ndarray]:
        try:
            return self._model(signature, **values)
        except NativeError as error:
            raise ServedModelError(one_line(error)) from error


class _Point(NamedTuple):
    directory: os.PathLike
    reads: frozenset[str]


class VideoFamily:
    """Several pushed video codecs, of which each file names the one that reads it; one is loaded when it is asked.

    Raises:
      ServedModelError: a folder holds no model.
    """

    def __init__(self, paths: Sequence[str | os.PathLike]):
        self._points = []
        for path in paths:
            directory = newest_version(path)
            about = describe(directory)
            if not codes_frames(directory):
                raise ServedModelError(f"{directory}: codes no clips")
            self._points.append(_Point(directory, frozenset([about.get("fingerprint", ""), *about.get("reads", ())])))
        self._codec = functools.cache(ServedVideo)

    def reader_of(self, fingerprint: int) -> ServedVideo:
        """The codec that reads files of that fingerprint. Raises ServedModelError: none does."""
        written_by = f"{fingerprint:08x}"
        for point in self._points:
            if written_by in point.reads:
                return self._codec(point.directory)
        known = ", ".join(sorted(text for point in self._points for text in point.reads if text)) or "unknown"
        raise ServedModelError(f"the clip is of model {written_by}, none of those given ({known})")
