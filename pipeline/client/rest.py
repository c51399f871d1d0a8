"""Models behind TensorFlow Serving's REST interface, spoken to with the standard library alone."""

import base64
import binascii
import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Sequence

from models.contract.errors import KompaktError

_URL = re.compile(r"https?://([\w.-]+|\[[\da-fA-F:.]+\])(:\d{1,5})?(/\S*)?/v1/models/\S+")


class RestError(KompaktError, ValueError):
    """The server cannot be reached, refused the request or answered something else; the message is one line."""


class RestRefused(RestError):
    """The server answered that it does not take the request."""


class RestModel:
    """Speaks to a served model.

    Args:
      url: "http://HOST:PORT/v1/models/NAME", with or without "/versions/N".
      timeout_s: seconds that one request may take.

    Raises:
      RestError: not such a URL.
    """

    def __init__(self, url: str, timeout_s: float = 300.0):
        if not _URL.fullmatch(url):
            raise RestError(f"{url}: not of the form http://HOST:PORT/v1/models/NAME")
        self.url = url.rstrip("/").removesuffix(":predict")
        self._timeout_s = timeout_s

    def predict(self, signature: str, instances: Sequence[dict]) -> list:
        """What a signature answers for each instance of a batch, as the server's JSON has it. Raises RestError."""
        body = json.dumps({"signature_name": signature, "instances": list(instances)}).encode()
        answer = self._ask(urllib.request.Request(self.url + ":predict", body, {"Content-Type": "application/json"}))
        predictions = answer.get("predictions")
        if not isinstance(predictions, list) or len(predictions) != len(instances):
            raise RestError(f"{self.url}: the answer is not {len(instances)} predictions")
        return predictions

    def takes(self, signature: str) -> frozenset[str]:
        """Names of what a signature takes; nothing where the model has no such one. Raises RestError."""
        answer = self._ask(urllib.request.Request(self.url + "/metadata"))
        try:
            return frozenset(answer["metadata"]["signature_def"]["signature_def"].get(signature, {}).get("inputs", {}))
        except (KeyError, TypeError, AttributeError) as error:
            raise RestError(f"{self.url}: the answer is not the metadata of a model") from error

    def _ask(self, request: urllib.request.Request) -> dict:
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                answer = json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise RestRefused(f"the server refused: {_reason(error)}") from error
        except (OSError, http.client.HTTPException) as error:
            raise RestError(f"{request.full_url}: no answer: {getattr(error, 'reason', error)}") from error
        except ValueError as error:
            raise RestError(f"{request.full_url}: the answer is not JSON") from error
        if not isinstance(answer, dict):
            raise RestError(f"{request.full_url}: the answer is not a JSON object")
        return answer


class RestCodec(RestModel):
    """Calls `compress` and `decompress` of a served model."""

    def compress(self, image_bytes: bytes) -> bytes:
        """Codes a PNG, JPEG or BMP file's bytes to a stream. Raises RestError."""
        return self._call("compress", "image_bytes", image_bytes, "bitstream_bytes")

    def decompress(self, bitstream_bytes: bytes) -> bytes:
        """Decodes a stream to the bytes of a PNG file. Raises RestError."""
        return self._call("decompress", "bitstream_bytes", bitstream_bytes, "image_bytes")

    def _call(self, signature: str, argument: str, value: bytes, result: str) -> bytes:
        (prediction,) = self.predict(signature, [{argument: {"b64": base64.b64encode(value).decode("ascii")}}])
        try:
            # A model with a single output is answered without the output's name.
            prediction = prediction.get(result, prediction)
            return base64.b64decode(prediction["b64"], validate=True)
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise RestError(f"{self.url}: the answer is not one prediction of bytes") from error


class RestPredictor(RestModel):
    """Calls `predict` of a served model of classes, which names the likeliest one only."""

    def best(self, batch: Sequence, count: int = 1) -> list[list[tuple[str, float]]]:
        """The likeliest class of each picture (bytes) or signal (millivolts at 300 Hz): (name, probability).

        Raises:
          RestError: more than one class is wanted, or the server's answer is none.
        """
        if count > 1:
            raise RestError("a server names only the likeliest class")
        if not len(batch):
            return []
        answers = self.predict("predict", _pictures(batch) if isinstance(batch[0], bytes) else _signals(batch))
        try:
            return [[(str(a["class_name"]), float(a["probabilities"][a["class"]]))] for a in answers]
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise RestError(f"{self.url}: the answer has no classes") from error


def _pictures(batch: Sequence[bytes]) -> list[dict]:
    return [{"image_bytes": {"b64": base64.b64encode(encoded).decode("ascii")}} for encoded in batch]


def _signals(batch: Sequence) -> list[dict]:
    """A padded batch; the model takes signals to whole microvolts, so no more digits are sent."""
    from components.serving.served_ecg import padded
    from models.records.ecg_units import RATE

    samples, length = padded(batch)
    rows = samples.astype(float).round(3).tolist()
    return [{"samples": row, "length": n, "rate": float(RATE)} for row, n in zip(rows, length.tolist(), strict=True)]


def _reason(error: urllib.error.HTTPError) -> str:
    from components.serving.served_codec import one_line

    try:
        return one_line(str(json.loads(error.read())["error"]))[:300]
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP status {error.code}"
