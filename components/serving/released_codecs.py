"""Streams of released codecs: the model that reads one is known by the stream."""

import functools
import pathlib
from collections.abc import Callable, Sequence

from components.serving.served_codec import ServedCodec, ServedCodecError, describe, newest_version
from models.entropy.coder import header


class ReleasedCodecs:
    """Decodes streams of any of several codecs; each is made and loaded when a stream asks for it."""

    def __init__(self, names: Sequence[str], folder_of: Callable[[str], pathlib.Path]):
        """Args:
        names: of the codecs, the likeliest first; at least one. folder_of: makes one's folder.
        """
        self.names, self._folder_of = names, folder_of
        self._codec = functools.cache(ServedCodec)

    def decompress(self, bitstream_bytes: bytes) -> bytes:
        """Decodes a stream to the bytes of a PNG file.

        Raises:
          ServedCodecError: no stream, none of these codecs', or damaged.
        """
        try:
            written_by = header.describe(bitstream_bytes)["model_fingerprint"]
        except ValueError as error:
            raise ServedCodecError(str(error)) from error
        if header.is_stored(bitstream_bytes):  # which every codec gives back
            return self._codec(newest_version(self._folder_of(self.names[0]))).decompress(bitstream_bytes)
        for name in self.names:
            folder = newest_version(self._folder_of(name))
            about = describe(folder)
            if written_by in (about.get("fingerprint"), *about.get("reads", ())):
                return self._codec(folder).decompress(bitstream_bytes)
        known = ", ".join(self.names)
        raise ServedCodecError(
            f"the stream is of model {written_by}, none of the released ones ({known}); give --model"
        )
