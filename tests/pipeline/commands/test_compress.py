"""compress and decompress on files: what they write, what they refuse, what is left behind."""

import base64
import contextlib
import functools
import http.server
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from components.serving import released_model
from components.serving.served_codec import ServedCodec
from models.publishing import released
from pipeline import cli
from pipeline.client import codecs
from tests.components import tiny_codec


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of versions."""
    folder = tmp_path_factory.mktemp("models")
    tiny_codec.save(folder / "1")
    return folder


@pytest.fixture
def photos(tmp_path):
    """Photographs in a tree, in several formats."""
    folder = tmp_path / "photos"
    (folder / "holiday").mkdir(parents=True)
    found = tiny_codec.photographs()
    Image.fromarray(found["astronaut"]).save(folder / "astronaut.png")
    Image.fromarray(found["cat"]).save(folder / "cat.webp", lossless=True)
    Image.fromarray(found["coffee"]).save(folder / "holiday" / "coffee.JPG", quality=95)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def call(command, *arguments):
    """Runs a command; returns (exit code, standard output, standard error)."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = cli.main([command, *map(str, arguments)])
    return code, out.getvalue(), err.getvalue()


def names(folder):
    """The names of all files of a folder."""
    return sorted(p.name for p in folder.iterdir())


def test_there_and_back(photos, model, tmp_path):
    streams, decoded = tmp_path / "streams", tmp_path / "decoded"
    code, said, _ = call("compress", photos, "--model", model, "--out", streams, "--psnr")
    assert code == 0
    assert names(streams) == ["astronaut.kmp", "cat.kmp", "holiday"] and names(streams / "holiday") == ["coffee.kmp"]
    size = (streams / "cat.kmp").stat().st_size
    (line,) = [s for s in said.splitlines() if "cat.webp" in s]
    assert f"{size:,} bytes  {8 * size / 96**2:.4f} bpp" in line and line.endswith(" dB")
    assert 30 < float(line.split()[-2]) < 40  # four bits dropped of eight: an error of 16 / sqrt(12)

    code, said, _ = call("decompress", streams, "--model", model / "1", "--out", decoded)
    assert code == 0 and "96x96 pixels" in said
    assert names(decoded) == ["astronaut.png", "cat.png", "holiday"]
    original = tiny_codec.photographs()["cat"]
    assert np.array_equal(np.asarray(Image.open(decoded / "cat.png")), original // 16 * 16 + 8)


def test_a_bad_file_does_not_lose_the_others(photos, model, tmp_path):
    good = (photos / "astronaut.png").read_bytes()
    (photos / "broken.png").write_bytes(good[:400])
    (photos / "flipped.png").write_bytes(good[:900] + bytes([good[900] ^ 1]) + good[901:])
    code, _, said = call("compress", photos, "--model", model, "--out", tmp_path / "out")
    assert code == 2
    (line,) = [s for s in said.splitlines() if "broken.png" in s]
    assert line.startswith("error: ") and "2 of 5 files failed" in said
    assert "flipped.png: damaged picture" in said
    assert names(tmp_path / "out") == ["astronaut.kmp", "cat.kmp", "holiday"]


def test_a_bad_stream_is_named(model, tmp_path):
    (tmp_path / "noise.kmp").write_bytes(b"noise")
    code, _, said = call("decompress", tmp_path / "noise.kmp", "--model", model, "--out", tmp_path / "out")
    assert code == 2
    assert f"{tmp_path}/noise.kmp: not a stream of this codec" in said
    assert not (tmp_path / "out").exists()


def test_what_exists_is_kept_unless_told_otherwise(photos, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "cat.kmp").write_text("mine")
    code, _, said = call("compress", photos, "--model", model, "--out", out)
    assert code == 2 and "cat.kmp: exists" in said and names(out) == ["cat.kmp"]
    assert (out / "cat.kmp").read_text() == "mine"
    code, _, _ = call("compress", photos / "cat.webp", "--model", model, "--out", out, "--overwrite")
    assert code == 0 and (out / "cat.kmp").read_bytes().startswith(tiny_codec.MAGIC)


def test_pictures_that_differ_in_ending_alone_are_kept_apart(photos, model, tmp_path):
    Image.fromarray(tiny_codec.photographs()["coffee"]).save(photos / "astronaut.bmp")
    code, _, said = call("compress", photos, "--model", model, "--out", tmp_path / "streams")
    assert code == 0 and said == "left out: 1 .txt\n"
    assert names(tmp_path / "streams") == ["astronaut.bmp.kmp", "astronaut.png.kmp", "cat.kmp", "holiday"]
    assert call("decompress", tmp_path / "streams", "--model", model, "--out", tmp_path / "decoded")[0] == 0
    for ending, of in (("bmp", "coffee"), ("png", "astronaut")):
        decoded = np.asarray(Image.open(tmp_path / "decoded" / f"astronaut.{ending}.png"))
        assert np.array_equal(decoded, tiny_codec.photographs()[of] // 16 * 16 + 8)


@pytest.mark.parametrize("name", [b"n" * 251, b"caf\xe9", b"[a] *?#%"])
def test_any_name_of_a_picture_and_of_the_folder_will_do(photos, model, tmp_path, name):
    folder, out = (tmp_path / os.fsdecode(name[:200] + end) for end in (b"", b"-out"))
    folder.mkdir()
    shutil.copy(photos / "cat.webp", folder / os.fsdecode(name + b".png"))
    code, said, told = call("compress", folder, "--model", model, "--out", out)
    assert (code, told) == (0, "") and said.encode()  # as text that a terminal takes
    assert names(out) == [os.fsdecode(name + b".kmp")]
    code, _, said = call("compress", folder, "--model", model, "--out", out)
    assert code == 2 and "exists" in said and said.encode()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.png", "--model", "MODEL"], "absent.png: no such file"),
        (["PHOTOS", "--model", "PHOTOS"], "no model here"),
        (["PHOTOS", "--model", "MODEL", "--url", "http://127.0.0.1/v1/models/x"], "either --model DIR or --url"),
        (["PHOTOS", "--url", "127.0.0.1:8501"], "not of the form"),
        (["PHOTOS", "--url", "http://127.0.0.1:1/x", "--wait", "0"], "http://127.0.0.1:1/x: not of the form http://"),
        (["PHOTOS", "--url", "grpc://127.0.0.1"], "grpc://127.0.0.1: not of the form grpc://HOST:PORT/v1/models/NAME"),
        (["PHOTOS", "--model", "MODEL", "--parallel", "2"], "--parallel is for a served model"),
        (["MODEL", "--model", "MODEL"], "no file here ends in"),
        (["PHOTOS", "--out", "PHOTOS/notes.txt"], "--out PHOTOS/notes.txt: is a file"),
        (["PHOTOS", "--out", "PHOTOS/notes.txt/below"], "notes.txt/below: cannot be written (Not a directory)"),
        (["PHOTOS", "--out", "/proc/none"], "--out /proc/none: cannot be written (No such file or directory)"),
        (["PHOTOS", "--out", "PHOTOS/" + "n" * 300], "cannot be written (File name too long)"),
        (["PHOTOS", "--out", "gs://bucket/out"], "'--out': gs://bucket/out is an address"),
        (["gs://bucket/photos"], "gs://bucket/photos is an address"),
        (["PHOTOS", "--out", ""], "'--out': the path is empty"),
        (["PHOTOS", "--quality", "50", "--target-psnr", "30"], "choose one of quality"),
        (["PHOTOS", "--quality", "nan"], "must be between 0 and 100"),
        (["PHOTOS", "--target-bpp", "inf"], "a target must be above zero, and finite"),
        (["PHOTOS", "--url", "http://127.0.0.1/v1/models/x", "--quality", "101"], "must be between 0 and 100"),
    ],
)
def test_mistakes_get_one_line_and_leave_nothing(photos, model, tmp_path, monkeypatch, arguments, said):
    """Before a model is loaded: no released one is asked for."""
    monkeypatch.setattr(released_model, "directory_of", lambda name, announce: pytest.fail("loaded"))
    places = {"PHOTOS": str(photos), "MODEL": str(model)}
    for key, path in places.items():
        arguments, said = [a.replace(key, path) for a in arguments], said.replace(key, path)
    if "--out" not in arguments:
        arguments += ["--out", tmp_path / "out"]
    code, _, error = call("compress", *arguments)
    assert code == 2 and said in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Folders of two rate points."""
    root = tmp_path_factory.mktemp("family")
    return [tiny_codec.save(root / str(bits), bits) for bits in (3, 6)]


def test_several_models_are_rate_points(photos, family, tmp_path):
    models = [argument for folder in family for argument in ("--model", folder)]
    sizes = {}
    for quality in (0, 100):
        out = tmp_path / str(quality)
        code, said, _ = call("compress", photos / "cat.webp", *models, "--out", out, "--quality", quality)
        assert code == 0 and f"lambda {0.015625 if quality == 0 else 0.125}" in said
        sizes[quality] = (out / "cat.kmp").stat().st_size
        assert call("decompress", out, *models, "--out", tmp_path / "decoded", "--overwrite")[0] == 0
    assert sizes[0] < sizes[100]


@pytest.mark.parametrize(
    ("count", "options", "said"),
    [
        (1, ("--quality", "50"), "a model of one rate"),
        (2, (), "rate points: choose one of quality"),
        (2, ("--quality", "50", "--target-bpp", "1"), "rate points: choose one of quality"),
        (2, ("--quality", "101"), "must be between 0 and 100"),
    ],
)
def test_rate_points_need_a_wish_and_a_wish_needs_them(photos, family, tmp_path, count, options, said):
    models = [argument for folder in family[:count] for argument in ("--model", folder)]
    code, _, error = call("compress", photos, *models, "--out", tmp_path / "out", *options)
    assert code == 2 and said in error and len(error.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_a_target_out_of_reach_is_said(photos, family, tmp_path):
    models = [argument for folder in family for argument in ("--model", folder)]
    code, said, _ = call("compress", photos / "cat.webp", *models, "--out", tmp_path, "--target-bpp", "99")
    reached = re.search(r"([\d.]+) bpp", said).group(1)
    assert code == 0 and f"(the target is out of reach: {float(reached):.4g} bpp is the nearest)" in said


def test_without_a_model_the_released_ones_code(photos, tmp_path, monkeypatch):
    """Each at its qualities; a stream says whose it is."""
    made = {}
    for bits, name in enumerate(codecs.CODECS, 2):
        made[name] = tiny_codec.save(tmp_path / name, bits, config={"rates": 2})
        (tmp_path / f"{name}.npz").touch()
    monkeypatch.setattr(released, "FOLDER", tmp_path)
    monkeypatch.setattr(released, "describe", lambda path: {"config": {"lmbda": 0.02, "rates": 5}})
    monkeypatch.setattr(released_model, "directory_of", lambda name, announce: made[name])
    monkeypatch.setattr(released_model, "is_prepared", lambda name: True)
    for quality, bits in ((None, 2), (10, 2), (100, 3)):
        wanted = [] if quality is None else ["--quality", quality]
        code, said, _ = call("compress", photos / "cat.webp", *wanted, "--out", tmp_path / "coded", "--overwrite")
        stream = (tmp_path / "coded" / "cat.kmp").read_bytes()
        assert code == 0 and abs(float(re.search(r"  quality ([\d.]+)", said)[1]) - (quality or 50)) < 1
        assert stream.startswith(tiny_codec.header(bits))
    assert call("decompress", tmp_path / "coded", "--out", tmp_path / "decoded")[0] == 0
    assert names(tmp_path / "decoded") == ["cat.png"]


def test_without_released_weights_a_model_must_be_given(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(released, "FOLDER", tmp_path)
    code, _, error = call("compress", photos, "--out", tmp_path / "out")
    assert code == 2 and "there are: none; give --model DIR" in error and len(error.splitlines()) == 1


def test_ctrl_c_leaves_no_partial_file(photos, model, tmp_path):
    for i in range(2000):
        (photos / f"copy{i}.png").write_bytes((photos / "astronaut.png").read_bytes())
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "compress",
        str(photos),
        "--model",
        str(model),
        "--out",
        str(tmp_path / "out"),
    ]
    # Where the tests run in the background, their children would ignore the signal.
    hear = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = [s for s in said.splitlines() if s.startswith("error: ")]
    assert "Traceback (most" not in said and line.startswith("error: stopped; ")
    written = names(tmp_path / "out")
    # The signal may come between a file's last byte and its being counted.
    assert 0 < len(written) < 2000 and len(written) - int(line.split()[2]) in (0, 1)
    assert all(n.endswith(".kmp") for n in written)


class Server(http.server.BaseHTTPRequestHandler):
    """TensorFlow Serving's REST interface over a codec; `codec` is set on the class."""

    codec = None

    def do_POST(self):  # noqa: N802 (the library's name)
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ((name, value),) = request["instances"][0].items()
        try:
            assert self.path == "/v1/models/tiny:predict" and set(value) == {"b64"}, "no such model"
            answer = getattr(self.codec, request["signature_name"])(base64.b64decode(value["b64"], validate=True))
            assert name in ("image_bytes", "bitstream_bytes")
            status, body = 200, {"predictions": [{"b64": base64.b64encode(answer).decode()}]}
        except (AssertionError, ValueError) as error:
            status, body = 400, {"error": str(error)}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments):
        """Keeps the test's output quiet."""


@pytest.fixture(scope="module")
def url(model):
    """The URL of a server of the model on this machine."""
    Server.codec = ServedCodec(model)
    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/models/tiny"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_gives_the_same_files(photos, model, url, tmp_path):
    assert call("compress", photos, "--url", url, "--out", tmp_path / "served", "--psnr")[0] == 0
    assert call("compress", photos, "--model", model, "--out", tmp_path / "local")[0] == 0
    assert call("decompress", tmp_path / "served", "--url", url, "--out", tmp_path / "decoded")[0] == 0
    for name in ("astronaut", "cat", "holiday/coffee"):
        served, local = (tmp_path / place / f"{name}.kmp" for place in ("served", "local"))
        assert served.read_bytes() == local.read_bytes()
        assert Image.open(tmp_path / "decoded" / f"{name}.png").size == (96, 96)


def test_what_a_server_refuses_is_told(url, tmp_path):
    (tmp_path / "noise.kmp").write_bytes(b"noise")
    code, _, said = call("decompress", tmp_path / "noise.kmp", "--url", url, "--out", tmp_path / "out")
    assert code == 2 and "noise.kmp: the server refused: not a stream of this codec" in said
    code, _, said = call("decompress", tmp_path / "noise.kmp", "--url", f"{url}x", "--out", tmp_path / "out")
    assert code == 2 and "the server refused: no such model" in said


def test_no_server_is_told_once(tmp_path):
    for name in ("a.kmp", "b.kmp"):
        (tmp_path / name).write_bytes(b"x")
    start = time.monotonic()
    url = "http://127.0.0.1:1/v1/models/tiny"
    code, _, said = call("decompress", tmp_path, "--url", url, "--out", tmp_path / "out", "--wait", 1)
    assert code == 1 and "no answer: [Errno 111] Connection refused; 0 of 2 files are done" in said
    assert said.count("error: ") == 1
    assert time.monotonic() - start < 10
