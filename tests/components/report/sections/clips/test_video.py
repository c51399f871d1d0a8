"""The report of a codec of clips, from a small real one: what is measured, drawn and said."""

import json

import numpy as np
import pytest

from components.report import section, video_plots
from components.report.section import Notes, Run
from components.report.sections.clips import video
from components.video.served_video import ServedVideo
from tests.components import tiny_video
from tests.components.clips_on_disk import small
from tests.models.examples import clip_record, write_records

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory):
    """A model's folder, record files, and what the section measures."""
    root = tmp_path_factory.mktemp("video")
    tiny_video.save(root / "model", rates=2)
    clip = small(10, 64, 80)
    records = [
        clip_record(clip[:6], "runner", 0),
        clip_record(clip[6:], "runner", 6),
        clip_record(clip[:4], "other", 0),
    ]
    files = [write_records(root / "r.gz", records)]
    run = Run("tiny_video", {"rates": 2}, str(root / "model"), "", files, 4, "", Notes())
    return run, json.loads(json.dumps(video.SECTION.measure(run)))


def test_runs_that_follow_one_another_are_one_and_groups_are_whole(run, monkeypatch):
    clips, records = video.choose(run[0].files, tiny_video.GROUP)
    assert [(clip.name, len(clip.frames)) for clip in clips] == [("runner", 4), ("runner", 4), ("other", 4)]
    clips, _ = video.choose(run[0].files, 2)
    assert [(clip.name, len(clip.frames)) for clip in clips] == [("runner", 10), ("other", 4)] and len(records) == 3
    monkeypatch.setattr(video, "_PIXELS", 64 * 80)
    assert [len(clip.frames) for clip in video.choose(run[0].files, 6)[0]] == [6]


def test_figures_are_those_of_the_streams(run):
    one, found = run
    codec = ServedVideo(one.model_dir)
    clips, records = video.choose(one.files, 4)
    bits = sum(8 * len(codec.compress(clip.frames)) for clip in clips)
    assert found["mean"]["bpp"] == pytest.approx(bits / (12 * 64 * 80)) and len(found["each"]["psnr_db"]) == 12
    assert [point["quality"] for point in found["curve"]] == [0, 100]
    assert found["curve"][0]["bpp"] < found["mean"]["bpp"] < found["curve"][1]["bpp"]
    assert found["alone"]["psnr_db"] == pytest.approx(found["mean"]["psnr_db"])
    assert len(found["positions"]) == len(found["bits"]) == 4 and not one.notes
    numbers = [codec.numbers(record) for record in records]
    assert found["parts"]["motion_bpp"] == pytest.approx(np.mean([n["motion_bpp"] for n in numbers]))
    assert set(found["parts"]) == {"intra_bpp", "motion_bpp"}
    assert set(found["classic"]) == {f"{n}, {p}" for n in ("H.264", "H.265") for p in ("veryfast", "medium")}
    rates = {name: [point["bpp"] for point in curve] for name, curve in found["classic"].items()}
    assert all(curve == sorted(curve) for curve in rates.values())


def test_the_page_shows_curves_frames_parts_and_motion(run):
    _, found = run
    text = video.SECTION.render(found, {"recipe": "tiny_video"})
    codecs = ("H.264, veryfast", "H.265, medium", "tune zerolatency", "every frame by itself")
    counts = ("12 frames of 3 clips", "75.0 %", "frame 3 of a group of 4", "other 3")
    for shown in (*codecs, *counts, "Along a group", "hue says the direction"):
        assert shown in text, shown
    assert text.count("<svg") == 2 and text.count("data:image/webp") == 10
    assert "No clip was coded" in video.SECTION.render(None, {"recipe": "tiny_video"})
    still = video.SECTION.render(found | {"flow": None, "parts": {}}, {"recipe": "tiny_video"})
    assert "hue says" not in still and "Bits by part" not in still
    labels = [card["label"] for card in video.SECTION.cards(found, {"bpp": 0.2, "psnr_db": 30.0}, 3).cards]
    assert labels[:2] == ["Rate", "PSNR"] and section.get("video") is video.SECTION
    assert all(row[0].startswith("vs H.26") for row in video.SECTION.rows(found))


def test_rates_at_equal_quality():
    curve = [{"bpp": 0.1, "psnr_db": 30.0}, {"bpp": 0.4, "psnr_db": 36.0}]
    found = {"mean": {"bpp": 0.1, "psnr_db": 33.0}, "alone": {"bpp": 1.0, "psnr_db": 33.0}, "about": {},
             "classic": {"H.264, medium": curve, "H.265, medium": curve[:1]}}  # fmt: skip
    first, second, *_ = video._rows(found)
    assert (first["bpp"], first["change"], first["kind"]) == ("0.200", "−50 %", "good")
    assert second["bpp"] == "outside its curve" and second["change"] == "–"


def test_flow_is_drawn_by_direction_and_length():
    flow = np.zeros((4, 4, 2))
    flow[0], flow[1] = (3, 0), (-3, 0)
    colours, strongest = video_plots.flow_colours(flow)
    assert colours[0, 0].tolist() == [255, 0, 0] and colours[1, 0].tolist() == [0, 255, 255]
    assert colours[2, 0].tolist() == [255, 255, 255] and strongest == pytest.approx(3)
