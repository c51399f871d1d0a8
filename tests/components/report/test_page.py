"""The page: complete in itself, honest about gaps, safe with any name."""

import html.parser
import json
import math
import re

import pytest

from components.report import build, markup, page, plots

VOID = {"meta", "img", "br", "link", "input", "hr"}
POINT = {"bpp": 0.31, "psnr_db": 30.0, "ms_ssim": 0.95}
CURVE = [{"bpp": b, "psnr_db": q} for b, q in ((0.1, 24.0), (0.25, 27.0), (0.5, 30.0), (0.9, 33.0))]
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def full():
    """Numbers of a run in which nothing is missing."""
    crops = {"original": PIXEL, "model": PIXEL, "jpeg": PIXEL}
    shown = {"key": "a<b>.png", "rank": "best", "height": 256, "width": 320, "model": POINT, "jpeg": POINT}
    return {
        "recipe": "hyperprior", "summary": "a <summary>", "preset": "small", "created": "today", "fingerprint": "ab",
        "pushed": {"pushed": True, "path": "serving/hyperprior/7", "reasons": []},
        "metrics": [{"name": "bpp", "unit": "bpp"}, {"name": "psnr_db", "unit": "dB"}],
        "history": [{"step": s, "loss": 2 - s / 100, "bpp": 0.5, "val_loss": 2.1 - s / 100} for s in (20, 40)],
        "ingest": {
            "dataset": "photos", "splits": {"train": {"pictures": 1234, "bytes": 5_600_000, "pixels": 7_800_000}},
            "formats": {"png": 1234}, "unreadable": [{"path": "bad<file>.png", "reason": "cut off"}], "duplicates": [],
        },
        "anomalies": [{"split": "test", "feature": "image/width", "about": "out of range"}],
        "slices": [
            {"slice": "all", "examples": 9.0, "values": {"bpp": 0.3311, "psnr_db": 29.876, "estimated_bpp": 0.33}},
            {"slice": "size_class: below_0.5_mp", "examples": 4.0, "values": {"bpp": 0.4, "psnr_db": 28.0}},
        ],
        "measured": {
            "each": [{"key": "a<b>.png", **POINT}], "mean": POINT, "classic": {"JPEG": CURVE, "WebP": CURVE[2:]},
            "about": {"JPEG": "4:2:0"}, "pictures": [shown | {"crops": crops}],
        },
        "earlier": [{"version": "3", "bpp": 0.2, "psnr_db": 28.0, "ms_ssim": 0.9}],
        "config": [
            {"name": "lmbda", "value": 0.02, "about": "weight of distortion", "training": False, "default": 0.0067},
            {"name": "steps", "value": 40, "about": "training steps", "training": True},
        ],
        "steps": [{"name": "Trainer", "seconds": 61.2, "state": "done", "upstream": []}],
        "notes": ["a note"],
    }  # fmt: skip


class Checker(html.parser.HTMLParser):
    """Collects the visible text, and checks what an HTML page of one file must hold."""

    def __init__(self):
        super().__init__()
        self.text, self.tags, self.addresses = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href", "xlink:href", "data", "action")]

    def handle_data(self, data):
        self.text.append(data)


def read(data):
    """Renders and parses; returns (the page, its parser, its visible text with single spaces)."""
    rendered = page.render(data)
    checker = Checker()
    checker.feed(rendered)
    return rendered, checker, " ".join(" ".join(checker.text).split())


def test_the_page_needs_nothing_from_outside():
    rendered, checker, _ = read(full())
    assert all(a.startswith(("data:", "#")) for a in checker.addresses) and PIXEL in checker.addresses
    assert not {"script", "link", "iframe", "object"} & set(checker.tags)
    hosts = set(re.findall(r"https?://[^\"'\s)>]+", rendered))
    assert hosts <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, which nobody fetches
    assert "@import" not in rendered and not re.search(r"url\((?!#)", rendered)


def test_the_page_says_what_was_measured():
    _, _, text = read(full())
    for said in (
        "hyperprior pushed", "serving/hyperprior/7", "0.331 bpp", "29.88 dB", "+0.33 %", "estimated 0.330 bpp",
        "JPEG 4:2:0 0.500 −38 %", "Best PSNR a<b>.png", "0.310 bpp · 30.00 dB · MS-SSIM 0.9500", "1,234",
        "bad<file>.png", "cut off",
        "0 duplicates", "image/width", "weight of distortion (default 0.0067)", "Trainer", "61 s", "a note",
        "size_class: below_0.5_mp",
    ):  # fmt: skip
        assert said in text, said


def test_names_cannot_break_the_page():
    data = full() | {"recipe": "<script>alert(1)</script>", "notes": ["<img src=x>"]}
    _, checker, text = read(data)
    assert "script" not in checker.tags and "alert(1)" in text
    assert checker.tags.count("img") == 3


@pytest.mark.parametrize("missing", [k for k in full() if k != "recipe"])
def test_a_missing_part_leaves_a_page(missing):
    _, _, whole = read(full())
    data = full()
    del data[missing]
    _, _, text = read(data)
    assert "hyperprior" in text
    assert missing in ("earlier",) or text != whole


def test_a_page_of_nothing_says_so():
    _, _, text = read({"recipe": "x"})
    for said in ("nothing to compare", "no history", "no evaluation", "when a run has ended", "no counts"):
        assert said in text


def test_why_a_model_was_not_pushed():
    data = full() | {"pushed": {"pushed": False, "path": "", "reasons": ["psnr_db is 9; wanted is at least 15"]}}
    _, _, text = read(data)
    assert "not pushed" in text and "psnr_db is 9" in text and "pushed to" not in text


def test_a_model_outside_the_classic_curves():
    data = full()
    data["measured"]["mean"] = {"bpp": 3.0, "psnr_db": 60.0, "ms_ssim": 1.0}
    _, _, text = read(data)
    assert "outside its curve" in text and "Against JPEG" not in text


def test_numbers():
    shown = [markup.number(v) for v in (None, True, 12345, 0.123456, 29.87654, 1234.5, 1e-7, math.nan, -math.inf, "x")]
    assert shown == ["–", "true", "12,345", "0.1235", "29.88", "1,234", "1e-07", "–", "−∞", "x"]


def test_history_draws_what_there_is():
    svg = plots.history([{"step": 1, "accuracy": 0.5, "val_accuracy": 0.4}, {"step": 2, "accuracy": 0.6}])
    assert "accuracy" in svg and "var(--series-0)" in svg and "#0102" not in svg
    assert plots.history([]) == plots.history([{"step": 1}]) == ""


def test_finish_adds_the_steps_and_rebuild_needs_only_the_numbers(tmp_path):
    data = {k: v for k, v in full().items() if k != "steps"}
    build.write(data, tmp_path / "artifact" / "report.html")
    path = build.finish(str(tmp_path / "artifact"), tmp_path / "out" / "report.html", full()["steps"])
    assert path == tmp_path / "out" / "report.html" and "61 s" in path.read_text()
    assert "61 s" not in (tmp_path / "artifact" / "report.html").read_text()
    written = path.read_text()
    path.unlink()
    assert build.rebuild(tmp_path / "out").read_text() == written
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]


def test_rebuild_refuses_what_is_no_report(tmp_path):
    with pytest.raises(FileNotFoundError, match="no report.json here"):
        build.rebuild(tmp_path)
    for content in ("{", json.dumps([1]), json.dumps({"a": 1})):
        (tmp_path / "report.json").write_text(content)
        with pytest.raises(ValueError, match="not the numbers of a report"):
            build.rebuild(tmp_path)
    assert not (tmp_path / "report.html").exists()
