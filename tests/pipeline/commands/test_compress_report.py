"""`compress --report`: what the page says of pictures of every kind, what is refused, and what a stop leaves."""

import functools
import html
import os
import re
import signal
import subprocess
import sys

import pytest
from PIL import Image

from components.evaluation import classic, rate_distortion
from components.serving import released_model
from tests.components import tiny_codec
from tests.pipeline.commands.test_compress import call


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Folders of two rate points."""
    root = tmp_path_factory.mktemp("family")
    return [tiny_codec.save(root / str(bits), bits) for bits in (3, 6)]


@pytest.fixture
def photos(tmp_path):
    """A photograph in colour, a grey one, one with alpha, one of a single pixel, and a file that is no picture."""
    folder = tmp_path / "photos"
    folder.mkdir()
    found = {name: Image.fromarray(picture) for name, picture in tiny_codec.photographs().items()}
    found["astronaut"].save(folder / "astronaut.png")
    found["cat"].convert("L").save(folder / "grey.png")
    found["coffee"].putalpha(Image.new("L", (96, 96), 100))
    found["coffee"].save(folder / "alpha.png")
    Image.new("RGB", (1, 1), (3, 200, 7)).save(folder / "dot.png")
    return folder


def rows(page):
    """The texts of the rows of a page's tables, cells parted by a bar."""
    found = re.findall(r"<tr><td>(.*?)(?=<tr>|</tbody>)", page, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<td[^>]*>", "|", row))) for row in found]


def cells(page, start):
    """Numbers behind the first cell of the only row that begins so."""
    (row,) = [row for row in rows(page.partition("What the others give")[0]) if row.startswith(start)]
    return [cell.strip() for cell in row.split("|")[1:]]


def test_the_page_tells_of_every_picture_and_compares_at_equal_bytes(photos, family, tmp_path):
    (photos / "broken.png").write_bytes((photos / "astronaut.png").read_bytes()[:400])
    models = [argument for folder in family for argument in ("--model", folder)]
    report, out = tmp_path / "pages" / "report.html", tmp_path / "out"
    code, said, told = call("compress", photos, *models, "--quality", 0, "--out", out, "--report", report, "--psnr")
    assert code == 2 and "1 of 5 files failed" in told and said.endswith(f"report: {report}\n")
    page = report.read_text()
    assert "4 of 5 pictures were coded" in page and "quality 0" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)|https?://(?!www\.w3\.org)", page)  # nothing from outside

    size = (out / "astronaut.kmp").stat().st_size
    astronaut = tiny_codec.photographs()["astronaut"]
    assert cells(page, f"{photos}/astronaut.png")[:3] == ["96 × 96", f"{size:,}", f"{8 * size / 96**2:.4f}"]
    (printed,) = [line for line in said.splitlines() if "astronaut" in line]
    assert cells(page, f"{photos}/astronaut.png")[3] == printed.split()[-2]
    (alpha,), (dot,) = ([r for r in rows(page) if r.startswith(f"{photos}/{n}")] for n in ("alpha", "dot"))
    assert "its alpha" in alpha and "a side below 64 pixels" in dot and "|1 × 1|" in dot

    # At equal bytes, of the two that are compared: what each encoder really gives.
    each = page[page.index("What the others give") :]
    jpeg = [row.split("|") for row in rows(each) if "|JPEG|" in row]
    encoded = classic.jpeg_of_size(astronaut, size)
    psnr_db = rate_distortion.psnr_db(astronaut, classic.decode(encoded))
    assert len(jpeg) == 2 and [jpeg[0][2], jpeg[0][4]] == [f"{len(encoded):,}", f"{psnr_db:.2f}"]
    expected = [c.name for c in (*classic.CODECS, classic.AVIF) if classic.is_available(c)]
    for name in expected:
        assert sum(f"|{name}|" in row for row in rows(each)) == 2
    assert page.count("<img ") == 2 * (2 + len(expected)) and "this model, its qualities" in page and "BD-rate" in page


@pytest.mark.slow
def test_what_is_kept_without_loss_is_shown_as_such(photos, tmp_path):
    exact = tiny_codec.save(tmp_path / "exact", 0, config={})
    report = tmp_path / "report.html"
    assert call("compress", photos, "--model", exact, "--out", tmp_path / "out", "--report", report)[0] == 0
    page = report.read_text()
    assert page.count("kept without loss") == 5 and page.count("|exact|") == 0  # four pictures and the card
    assert sum("|exact|1|" in row and "nothing of it is lost" in row for row in rows(page)) == 4
    assert "No picture is compared" in page and "<img" not in page


def test_a_page_that_exists_is_kept_unless_told_otherwise(photos, family, tmp_path):
    report = tmp_path / "report.html"
    report.write_text("mine")
    arguments = ("compress", photos / "dot.png", "--model", family[0], "--out", tmp_path / "out", "--report", report)
    code, _, told = call(*arguments)
    assert code == 2 and "report.html: exists; give --overwrite" in told and report.read_text() == "mine"
    assert not (tmp_path / "out").exists()
    assert call(*arguments, "--overwrite")[0] == 0 and "1 × 1" in report.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--report", "TMP/report.png"], "report.png: wanted is the name of a page, FILE.html"),
        (["--report", "TMP/folder.html"], "folder.html: is a folder"),
        (["--report", "TMP/photos/dot.png/x.html"], "dot.png: is a file; wanted is a folder"),
        (["--report", "TMP/out/dot.kmp/x.html"], "is in the way of"),
        (["--report", "TMP/out.html", "--out", "TMP/out.html"], "is in the way of"),
        (["--report", "TMP/r.html", "--lossless"], "leave out --lossless"),
        (["--report", "TMP/r.html", "--url", "http://127.0.0.1:1/v1/models/x"], "give --model DIR in place of --url"),
    ],
)
def test_mistakes_get_one_line_and_leave_nothing(photos, tmp_path, monkeypatch, arguments, said):
    monkeypatch.setattr(released_model, "directory_of", lambda name, announce: pytest.fail("loaded"))
    (tmp_path / "folder.html").mkdir()
    arguments = [argument.replace("TMP", str(tmp_path)) for argument in arguments]
    arguments += [] if "--out" in arguments else ["--out", tmp_path / "out"]
    code, _, told = call("compress", photos / "dot.png", *arguments)
    assert code == 2 and said in told and len(told.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.html", "photos"]


@pytest.mark.slow
def test_ctrl_c_leaves_a_whole_page_of_what_was_coded(photos, family, tmp_path):
    for n in range(2000):
        os.link(photos / "dot.png", photos / f"dot{n}.png")
    report = tmp_path / "report.html"
    command = [sys.executable, "-m", "pipeline", "compress", photos, "--model", family[0], "--out", tmp_path / "out"]
    hear = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        [*map(str, command), "--report", str(report)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear,
    ) as process:  # fmt: skip
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=120)
    assert process.returncode == 130 and "error: stopped; " in told and f"report: {report}" in said
    page = report.read_text()
    done = int(re.search(r"([\d,]+) of 2,004 pictures were coded", page).group(1).replace(",", ""))
    assert 0 <= done - len(list((tmp_path / "out").iterdir())) <= 1 and page.rstrip().endswith("</html>")
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".part")]
