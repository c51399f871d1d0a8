"""compress and decompress on files: what they write, what they refuse, what is left behind."""

import base64
import functools
import http.server
import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from components.kinds.pictures import pictures
from components.serving import released_model
from components.serving.served_codec import ServedCodec
from models.publishing import released
from pipeline.commands import codec as client
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
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def names(folder):
    """The names of all files of a folder."""
    return sorted(p.name for p in folder.iterdir())


def test_there_and_back(photos, model, tmp_path):
    streams, decoded = tmp_path / "streams", tmp_path / "decoded"
    code, said, _ = call(client.compress, photos, "--model", model, "--out", streams, "--psnr")
    assert code == 0
    assert names(streams) == ["astronaut.kmp", "cat.kmp", "coffee.kmp"]
    size = (streams / "cat.kmp").stat().st_size
    (line,) = [s for s in said.splitlines() if "cat.webp" in s]
    assert f"{size:,} bytes  {8 * size / 96**2:.4f} bpp" in line and line.endswith(" dB")
    assert 30 < float(line.split()[-2]) < 40  # four bits dropped of eight: an error of 16 / sqrt(12)

    code, said, _ = call(client.decompress, streams, "--model", model / "1", "--out", decoded)
    assert code == 0 and "96x96 pixels" in said
    assert names(decoded) == ["astronaut.png", "cat.png", "coffee.png"]
    original = tiny_codec.photographs()["cat"]
    assert np.array_equal(np.asarray(Image.open(decoded / "cat.png")), original // 16 * 16 + 8)


def test_a_bad_file_does_not_lose_the_others(photos, model, tmp_path):
    good = (photos / "astronaut.png").read_bytes()
    (photos / "broken.png").write_bytes(good[:400])
    (photos / "flipped.png").write_bytes(good[:900] + bytes([good[900] ^ 1]) + good[901:])
    code, _, said = call(client.compress, photos, "--model", model, "--out", tmp_path / "out")
    assert code == 2
    (line,) = [s for s in said.splitlines() if "broken.png" in s]
    assert line.startswith("error: ") and "2 of 5 files failed" in said
    assert "flipped.png: damaged picture" in said
    assert names(tmp_path / "out") == ["astronaut.kmp", "cat.kmp", "coffee.kmp"]


def test_a_bad_stream_is_named(model, tmp_path):
    (tmp_path / "noise.kmp").write_bytes(b"noise")
    code, _, said = call(client.decompress, tmp_path / "noise.kmp", "--model", model, "--out", tmp_path / "out")
    assert code == 2
    assert f"{tmp_path}/noise.kmp: not a stream of this codec" in said
    assert not (tmp_path / "out").exists()


def test_what_exists_is_kept_unless_told_otherwise(photos, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "cat.kmp").write_text("mine")
    code, _, said = call(client.compress, photos, "--model", model, "--out", out)
    assert code == 2 and "cat.kmp: exists" in said and names(out) == ["cat.kmp"]
    assert (out / "cat.kmp").read_text() == "mine"
    code, _, _ = call(client.compress, photos / "cat.webp", "--model", model, "--out", out, "--overwrite")
    assert code == 0 and (out / "cat.kmp").read_bytes().startswith(tiny_codec.MAGIC)


def test_two_inputs_of_one_stem_are_refused_before_any_work(photos, model, tmp_path):
    (photos / "holiday" / "cat.png").write_bytes((photos / "astronaut.png").read_bytes())
    code, _, said = call(client.compress, photos, "--model", model, "--out", tmp_path / "out")
    assert code == 2 and "cat.webp" in said and "cat.png" in said and "nothing was written" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.png", "--model", "MODEL"], "absent.png: no such file"),
        (["PHOTOS", "--model", "PHOTOS"], "no model here"),
        (["PHOTOS", "--model", "MODEL", "--url", "http://127.0.0.1/v1/models/x"], "either --model DIR or --url"),
        (["PHOTOS", "--url", "127.0.0.1:8501"], "not of the form"),
        (["PHOTOS", "--url", "http://127.0.0.1/v1/models/x", "--refine", "8"], "--refine is for models of"),
        (["MODEL", "--model", "MODEL"], "no file here ends in"),
        (["PHOTOS", "--model", "MODEL", "--out", "PHOTOS/notes.txt"], "is a file"),
    ],
)
def test_mistakes_get_one_line_and_leave_nothing(photos, model, tmp_path, arguments, said):
    places = {"PHOTOS": str(photos), "MODEL": str(model)}
    for key, path in places.items():
        arguments = [a.replace(key, path) for a in arguments]
    if "--out" not in arguments:
        arguments += ["--out", tmp_path / "out"]
    code, _, error = call(client.compress, *arguments)
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
        code, said, _ = call(client.compress, photos / "cat.webp", *models, "--out", out, "--quality", quality)
        assert code == 0 and f"lambda {0.015625 if quality == 0 else 0.125}" in said
        sizes[quality] = (out / "cat.kmp").stat().st_size
        assert call(client.decompress, out, *models, "--out", tmp_path / "decoded", "--overwrite")[0] == 0
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
    code, _, error = call(client.compress, photos, *models, "--out", tmp_path / "out", *options)
    assert code == 2 and said in error and len(error.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_without_a_model_the_released_one_codes(photos, model, tmp_path, monkeypatch):
    monkeypatch.setattr(released_model, "directory_of", lambda name, announce: model)
    assert call(client.compress, photos / "cat.webp", "--out", tmp_path / "coded")[0] == 0
    assert call(client.decompress, tmp_path / "coded", "--out", tmp_path / "decoded")[0] == 0
    assert names(tmp_path / "decoded") == ["cat.png"]


def test_without_released_weights_a_model_must_be_given(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(released, "FOLDER", tmp_path)
    code, _, error = call(client.compress, photos, "--out", tmp_path / "out")
    assert code == 2 and "there are: none; give --model DIR" in error and len(error.splitlines()) == 1


def test_ingest_and_client_take_the_same_endings():
    assert client.PICTURE_SUFFIXES == pictures.EXTENSIONS


def test_ctrl_c_leaves_no_partial_file(photos, model, tmp_path):
    for i in range(2000):
        (photos / f"copy{i}.png").write_bytes((photos / "astronaut.png").read_bytes())
    code = "from pipeline.commands.codec import compress; compress()"
    command = [sys.executable, "-c", code, str(photos), "--model", str(model), "--out", str(tmp_path / "out")]
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
    assert call(client.compress, photos, "--url", url, "--out", tmp_path / "served", "--psnr")[0] == 0
    assert call(client.compress, photos, "--model", model, "--out", tmp_path / "local")[0] == 0
    assert call(client.decompress, tmp_path / "served", "--url", url, "--out", tmp_path / "decoded")[0] == 0
    for name in ("astronaut", "cat", "coffee"):
        served, local = (tmp_path / place / f"{name}.kmp" for place in ("served", "local"))
        assert served.read_bytes() == local.read_bytes()
        assert Image.open(tmp_path / "decoded" / f"{name}.png").size == (96, 96)


def test_what_a_server_refuses_is_told(url, tmp_path):
    (tmp_path / "noise.kmp").write_bytes(b"noise")
    code, _, said = call(client.decompress, tmp_path / "noise.kmp", "--url", url, "--out", tmp_path / "out")
    assert code == 2 and "noise.kmp: the server refused: not a stream of this codec" in said
    code, _, said = call(client.decompress, tmp_path / "noise.kmp", "--url", f"{url}x", "--out", tmp_path / "out")
    assert code == 2 and "the server refused: no such model" in said


def test_no_server(tmp_path):
    (tmp_path / "a.kmp").write_bytes(b"x")
    start = time.monotonic()
    url = "http://127.0.0.1:1/v1/models/tiny"
    code, _, said = call(client.decompress, tmp_path / "a.kmp", "--url", url, "--out", tmp_path / "out")
    assert code == 2 and "no answer: [Errno 111] Connection refused" in said
    assert time.monotonic() - start < 10


def test_help_and_mistakes_need_no_tensorflow():
    code = "import sys; import pipeline.commands.codec; assert not {'tensorflow', 'tfx', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
