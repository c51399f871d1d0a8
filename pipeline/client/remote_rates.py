"""The rates of a served codec of variable rate: each picture gets its wish, as among rate points of this machine."""

from components.serving.codec_family import Rates
from pipeline.arguments.errors import UserError
from pipeline.client.remote import RemoteCodec


class RemoteRates(Rates):
    """The qualities 0 to 100 of a served codec; `refine` is `RemoteCodec.compress`'.

    Raises:
      UserError: the served model has one rate only.
      RemoteError: no server.
    """

    count = 101

    def __init__(self, codec: RemoteCodec, url: str, refine: int = 0):
        if not codec.is_variable():
            raise UserError(f"{url}: a model of one rate; --quality and the targets are for one of variable rate")
        self._codec, self._refine = codec, refine

    def setting(self, place: int) -> str:
        """The quality there."""
        return f"quality {place}"

    def compress_at(self, place: int, image_bytes: bytes) -> bytes:
        """Codes a picture file's bytes at a quality. Raises RemoteError."""
        return self._codec.compress(image_bytes, place, self._refine)

    def decompress(self, bitstream_bytes: bytes) -> bytes:
        """Decodes a stream to the bytes of a PNG file. Raises RemoteError."""
        return self._codec.decompress(bitstream_bytes)
