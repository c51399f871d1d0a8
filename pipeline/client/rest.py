"""TensorFlow Serving's REST interface, spoken to with the standard library alone."""

import functools
import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.client import patience, rows
from pipeline.client.remote import Away, Refused, RemoteError
from pipeline.client.urls import must_be_url

_LATER = (429, 503)  # Too Many Requests, Service Unavailable
_BLOCK = 1 << 16


class RestModel:
    """Speaks to a served model.

    Args:
      url: "http://HOST:PORT/v1/models/NAME", with or without "/versions/N" or "/labels/L".
      patience_s: seconds for which a server that is away or busy is asked again. timeout_s: that one request may take.

    Raises:
      UserError: not such a URL.
    """

    def __init__(self, url: str, patience_s: float = patience.PATIENCE_S, timeout_s: float = patience.TIMEOUT_S):
        must_be_url(url)
        self.url = url.rstrip("/").removesuffix(":predict")
        self._patience_s, self._timeout_s = patience_s, timeout_s

    def predict(self, signature: str, inputs: Mapping[str, Sequence]) -> dict[str, list]:
        """What a signature answers for a batch: output name -> a list over the batch.

        Args:
          signature: its name. inputs: input name -> a list over the batch, of bytes, numbers or lists of numbers.

        Raises:
          RemoteError: the server refused, cannot be reached, or its answer is none.
        """
        count = len(next(iter(inputs.values())))
        body = json.dumps({"signature_name": signature, "instances": rows.instances(inputs)}).encode()
        answer = self._ask(":predict", body)
        try:
            return rows.columns(answer["predictions"], count)
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteError(f"{self.url}: the answer is not {count} predictions") from error

    def signatures(self) -> dict[str, tuple[str, ...]]:
        """What each signature takes, by name. Raises RemoteError."""
        answer = self._ask("/metadata")
        try:
            found = answer["metadata"]["signature_def"]["signature_def"]
            return {name: tuple(signature.get("inputs", {})) for name, signature in found.items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise RemoteError(f"{self.url}: the answer is not the metadata of a model") from error

    def loaded(self) -> list[int]:
        """The versions that can be asked. Raises RemoteError."""
        try:
            states = self._ask("")["model_version_status"]
            return sorted(int(state["version"]) for state in states if state["state"] == "AVAILABLE")
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, RemoteError):
                raise
            raise RemoteError(f"{self.url}: the answer is not the state of a model") from error

    def _ask(self, path: str, body: bytes | None = None) -> dict:
        """The server's answer, a JSON object; `body` is posted if there is one."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(self.url + path, body, headers)
        content = patience.again(
            lambda left: _once(request, min(left, self._timeout_s)), self._patience_s, self._timeout_s
        )
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise RemoteError(f"{request.full_url}: the answer is not JSON") from error
        if not isinstance(answer, dict):
            raise RemoteError(f"{request.full_url}: the answer is not a JSON object")
        return answer


def _once(request: urllib.request.Request, timeout_s: float) -> bytes:
    """One try: the content of the answer. Raises Refused, Away (which may be tried again), RemoteError."""
    opened: list[socket.socket] = []
    late = threading.Event()

    def end() -> None:
        late.set()
        for one in opened:
            with_no_more(one)

    # A socket's own timeout begins anew with every byte, so an answer that drips would never end.
    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()
    try:
        opener = urllib.request.build_opener(_Http(opened, late), _Https(opened, late))
        with opener.open(request, timeout=timeout_s) as response:
            content = b"".join(iter(functools.partial(response.read, _BLOCK), b""))
        if late.is_set():  # the connection was closed on an answer without a length
            raise RemoteError(f"{request.full_url}: no answer within {timeout_s:.4g} s")
        return content
    except urllib.error.HTTPError as error:
        told = _reason(error)
        if error.code in _LATER:
            raise Away(f"the server is busy: {told}", _retry_after(error)) from error
        raise Refused(f"the server refused: {told}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if late.is_set() or isinstance(reason, TimeoutError):
            raise RemoteError(f"{request.full_url}: no answer within {timeout_s:.4g} s") from error
        raise Away(f"{request.full_url}: no answer: {reason or type(reason).__name__}") from error
    finally:
        timer.cancel()


def with_no_more(connection: socket.socket) -> None:
    """Ends what is read from and written to a socket, in whatever thread."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has ended


def _watched(base: type, opened: list, late: threading.Event) -> type:
    """A connection that lists its socket when it has one."""

    class Watched(base):
        def connect(self):
            super().connect()
            opened.append(self.sock)
            if late.is_set():
                with_no_more(self.sock)

    return Watched


class _Http(urllib.request.HTTPHandler):
    def __init__(self, opened: list, late: threading.Event):
        super().__init__()
        self._class = _watched(http.client.HTTPConnection, opened, late)

    def http_open(self, req):
        return self.do_open(self._class, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, opened: list, late: threading.Event):
        super().__init__()
        self._class = _watched(http.client.HTTPSConnection, opened, late)

    def https_open(self, req):
        return self.do_open(self._class, req)


def _retry_after(error: urllib.error.HTTPError) -> float:
    """Seconds that the server asks to wait; 0 where it says nothing that is a number."""
    text = error.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


def _reason(error: urllib.error.HTTPError) -> str:
    from components.serving.served_codec import one_line

    try:
        said: Any = json.loads(error.read())["error"]
        return one_line(str(said))[:300]
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        return f"HTTP status {error.code}"
