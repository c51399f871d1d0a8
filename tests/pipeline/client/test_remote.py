"""The client and servers that are busy, slow, away or strange; and many requests at a time."""

import base64
import http.server
import json
import threading
import time

import pytest

from components.native_model import NativeModel
from pipeline import cli
from pipeline.arguments.errors import UserError
from pipeline.client import patience
from pipeline.client.models import await_loaded
from pipeline.client.remote import Away, Refused, RemoteCodec, RemoteError, open_model
from pipeline.client.rest import RestModel
from tests.components import tiny_codec
from tests.components.server.process import Server, serving
from tests.models.kinds import photograph, png

PICTURE = png(photograph(20, 30))


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers by what stands next in `script`: (status, headers, content, seconds between its bytes)."""

    script: list
    asked: list

    def do_POST(self):  # noqa: N802 (the library's name)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(time.monotonic())
        status, headers, content, pause = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for n in range(len(content)):
            try:
                self.wfile.write(content[n : n + 1])
                self.wfile.flush()
            except OSError:
                return
            time.sleep(pause)

    def log_message(self, *arguments):
        """Keeps the test's output quiet."""


@pytest.fixture
def scripted():
    """A function that starts a server with a script; gives the URL and the times at which it was asked."""
    servers = []

    def start(*script):
        handler = type("OneScript", (Scripted,), {"script": list(script), "asked": []})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        servers.append((server, thread := threading.Thread(target=server.serve_forever)))
        thread.start()
        return f"http://127.0.0.1:{server.server_port}/v1/models/tiny", handler.asked

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def said(value, status=200, headers=None, pause=0.0):
    return status, headers or {}, json.dumps(value).encode(), pause


GOOD = said({"predictions": [{"b64": base64.b64encode(b"stream").decode()}]})
BUSY = said({"error": "busy: 64 wait"}, 503)


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_busy_is_asked_again_and_less_and_less_often(scripted, status):
    url, asked = scripted(*[said({"error": "busy"}, status)] * 3, GOOD)
    assert RemoteCodec(RestModel(url)).compress(PICTURE) == b"stream"
    pauses = [b - a for a, b in zip(asked, asked[1:], strict=False)]
    assert len(pauses) == 3 and pauses[0] < 0.4 < pauses[2] < 1.5


def test_what_a_server_asks_to_wait_is_waited(scripted):
    url, asked = scripted(said({"error": "busy"}, 503, {"Retry-After": "1"}), GOOD)
    assert RemoteCodec(RestModel(url)).compress(PICTURE) == b"stream" and asked[1] - asked[0] >= 1


def test_patience_ends(scripted):
    url, asked = scripted(BUSY)
    begin = time.monotonic()
    with pytest.raises(Away, match="the server is busy: busy: 64 wait"):
        RestModel(url, patience_s=1.0).predict("compress", {"image_bytes": [PICTURE]})
    assert time.monotonic() - begin < 1.5 and 2 <= len(asked) <= 5


def test_what_is_refused_is_not_asked_again(scripted):
    for status in (400, 404, 413, 500):
        url, asked = scripted(said({"error": "no\nsuch model"}, status))
        with pytest.raises(Refused, match="^the server refused: no$"):
            RemoteCodec(RestModel(url)).compress(PICTURE)
        assert len(asked) == 1


@pytest.mark.parametrize("status", [200, 400])
def test_a_slow_answer_does_not_outlive_its_time(scripted, status):
    """It drips: each byte comes well within a socket's own timeout."""
    url, asked = scripted(said({"predictions": ["x" * 1000]}, status, pause=0.05))
    begin = time.monotonic()
    with pytest.raises(RemoteError):
        RestModel(url, timeout_s=0.6).predict("compress", {"image_bytes": [PICTURE]})
    assert 0.5 < time.monotonic() - begin < 1.5 and len(asked) == 1


def test_answers_that_are_none(scripted):
    for value, told in (([], "not a JSON object"), ({}, "not 1 predictions"), ({"predictions": [1, 2]}, "not 1 pred"),
                        ({"predictions": ["text"]}, "not one prediction of bytes")):  # fmt: skip
        with pytest.raises(RemoteError, match=told):
            RemoteCodec(RestModel(scripted(said(value))[0])).compress(PICTURE)
    with pytest.raises(RemoteError, match="not JSON"):
        RemoteCodec(RestModel(scripted((200, {}, b"<html>", 0))[0])).compress(PICTURE)


def test_pauses_double_up_to_a_limit(monkeypatch):
    now, pauses = [0.0], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(patience.time, "sleep", sleep)

    def away(left):
        raise Away("away")

    with pytest.raises(Away):
        patience.again(away, 60, 300)
    for n, pause in enumerate(pauses):
        most = min(0.25 * 2**n, 8)
        assert most / 2 <= pause <= most
    assert 45 < now[0] <= 60


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return tiny_codec.save(tmp_path_factory.mktemp("served") / "tiny" / "1").parent


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_restart_in_the_middle_loses_no_file(codec, tmp_path, scheme, capsys):
    """24 of 24: killed while it answers, away for a while, and started anew at the same ports."""
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    for n in range(24):
        (pictures / f"{n:02}.png").write_bytes(png(photograph(300 + n, 400, n)))
    first = Server(codec)
    ports = {f"{name}_port": int(url.rpartition(":")[2]) for name, url in (("rest", first.rest), ("grpc", first.grpc))}
    arguments = ["compress", str(pictures), "--url", first.url("tiny", scheme), "--out", str(out), "--parallel", "3"]
    codes = []
    client = threading.Thread(target=lambda: codes.append(cli.main(arguments)))
    client.start()
    while len(list(out.glob("*.kmp"))) < 3:
        time.sleep(0.005)
    first.stop(9)
    done = len(list(out.glob("*.kmp")))
    with serving(codec, **ports):
        client.join(120)
    assert codes == [0] and done < 24
    model = NativeModel(codec / "1")
    for n in range(24):
        expected = model("compress", image_bytes=[png(photograph(300 + n, 400, n))])["bitstream_bytes"][0]
        assert (out / f"{n:02}.kmp").read_bytes() == expected


@pytest.mark.slow
def test_what_a_server_has_loaded_is_waited_for(codec):
    with serving(codec) as server:
        assert await_loaded(server.rest, ["tiny"]) == {"tiny": [1]}
        begin = time.monotonic()
        with pytest.raises(UserError, match="not loaded within 0.6 s: tiny 2; the labels are where they were"):
            await_loaded(server.rest, ["tiny"], {"tiny": [2]}, 0.6)
        assert time.monotonic() - begin < 5
        tiny_codec.save(codec / ".part", 5)
        (codec / ".part").rename(codec / "2")
        assert await_loaded(server.rest, ["tiny"], {"tiny": [2]}, 60) == {"tiny": [1, 2]}


def test_an_address_that_is_none():
    for url in ("127.0.0.1:8501", "http://127.0.0.1:8501/models/x", "grpc://127.0.0.1:8500", "ftp://x/v1/models/y"):
        with pytest.raises(UserError, match="not of the form"):
            open_model(url)
    assert open_model("grpc://127.0.0.1:8500/tiny/labels/stable").url.endswith("stable")
