"""The page of the server in a browser, where one is installed; what it asks for, anywhere."""

import re
import urllib.request

import numpy as np
import pytest

from components.native_model import NativeModel
from tests.components import tiny_codec, untrained_ecg
from tests.components.server import browser
from tests.components.server.process import serving
from tests.models.kinds import photograph, png


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    tiny_codec.save(root / "codec" / "1")
    untrained_ecg.save(root / "ecg" / "1")
    with serving(root / "codec", root / "ecg") as server:
        yield server, root


def test_the_page_loads_nothing_from_elsewhere(served):
    with urllib.request.urlopen(served[0].rest + "/") as answer:
        text = answer.read().decode()
        assert answer.headers["Content-Type"].startswith("text/html")
    assert not re.findall(r"https?://|src=\"|<link rel=\"stylesheet", text)


@pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here")
def test_a_picture_and_a_recording_are_answered(served, tmp_path):
    server, root = served
    picture, recording, text = tmp_path / "p.png", tmp_path / "r.dat", tmp_path / "t.png"
    picture.write_bytes(png(photograph(60, 80)))
    signal = untrained_ecg.signal(9, 5)
    recording.write_bytes(np.rint(1000 * signal).astype("<i2").tobytes())
    text.write_bytes(b"no picture")
    (stream,) = NativeModel(root / "codec" / "1")("compress", image_bytes=[picture.read_bytes()])["bitstream_bytes"]
    with browser.browsing(server.rest + "/") as page:
        page.wait_for("document.querySelectorAll('#models tbody tr').length == 2")
        assert "compress, decompress" in page.evaluate("document.getElementById('models').innerText")
        page.choose_file("#file", picture)
        said = page.wait_for("document.querySelectorAll('figcaption')[1]?.innerText")
        decoded = photograph(60, 80) // 16 * 16 + 8
        db = 10 * np.log10(255**2 / np.square(photograph(60, 80).astype(float) - decoded).mean())
        assert f"decoded: {len(stream):,} bytes" in said and f"{db:.2f} dB" in said
        page.wait_for("document.querySelectorAll('#latencies tbody tr').length == 2")
        page.screenshot(tmp_path / "picture.png")
        page.choose_file("#file", text)
        assert "image file format" in page.wait_for("document.querySelector('#said.error')?.innerText")
        page.errors.clear()  # the browser lists the refusal itself

        page.evaluate("last = null; document.getElementById('model').value = 'ecg'; "
                      "document.getElementById('model').onchange()")  # fmt: skip
        assert page.evaluate("document.getElementById('rate-of').hidden") is False
        page.choose_file("#file", recording)
        rows = page.wait_for("[...document.querySelectorAll('#result tr')].map(r => r.innerText)")
        page.screenshot(tmp_path / "recording.png")
        assert not page.errors
    samples, rate = np.rint(1000 * signal)[None] / 1000, np.array([300.0])
    answer = NativeModel(root / "ecg" / "1")("predict", samples=samples, length=[len(signal)], rate=rate)
    p = answer["probabilities"][0]
    expected = [f"{untrained_ecg.NAMES[k]} {p[k]:.4f}" for k in np.argsort(-p)]
    assert [" ".join(row.split()) for row in rows] == expected
