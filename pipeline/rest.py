"""A codec behind TensorFlow Serving's REST interface, spoken to with the standard library alone."""

import base64
import binascii
import json
import urllib.error
import urllib.request


class RestError(ValueError):
    """The server cannot be reached, refused the request or answered something else; the message is one line."""


class RestCodec:
    """Calls `compress` and `decompress` of a served model.

    Args:
      url: "http://HOST:PORT/v1/models/NAME", with or without "/versions/N".
      timeout_s: seconds that one request may take.

    Raises:
      RestError: not such a URL.
    """

    def __init__(self, url: str, timeout_s: float = 300.0):
        if not url.startswith(("http://", "https://")) or "/v1/models/" not in url:
            raise RestError(f"{url}: not of the form http://HOST:PORT/v1/models/NAME")
        self._url = url.rstrip("/").removesuffix(":predict") + ":predict"
        self._timeout_s = timeout_s

    def compress(self, image_bytes: bytes) -> bytes:
        """Codes a PNG, JPEG or BMP file's bytes to a stream. Raises RestError."""
        return self._call("compress", "image_bytes", image_bytes, "bitstream_bytes")

    def decompress(self, bitstream_bytes: bytes) -> bytes:
        """Decodes a stream to the bytes of a PNG file. Raises RestError."""
        return self._call("decompress", "bitstream_bytes", bitstream_bytes, "image_bytes")

    def _call(self, signature: str, argument: str, value: bytes, result: str) -> bytes:
        instance = {argument: {"b64": base64.b64encode(value).decode("ascii")}}
        body = json.dumps({"signature_name": signature, "instances": [instance]}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            raise RestError(f"the server refused: {_reason(error)}") from error
        except OSError as error:
            raise RestError(f"{self._url}: no answer: {getattr(error, 'reason', error)}") from error
        try:
            (prediction,) = json.loads(answer)["predictions"]
            # A model with a single output is answered without the output's name.
            prediction = prediction.get(result, prediction)
            return base64.b64decode(prediction["b64"], validate=True)
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise RestError(f"{self._url}: the answer is not one prediction of bytes") from error


def _reason(error: urllib.error.HTTPError) -> str:
    from components.served_codec import one_line

    try:
        return one_line(str(json.loads(error.read())["error"]))[:300]
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP status {error.code}"
