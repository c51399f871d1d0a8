"""The table of codecs of clips: what is measured once is not measured again; rates against the classic ones."""

import json

import click.testing

from components.video import classic_video
from tests.claims import video_rd
from tests.components import tiny_video
from tests.components.clips_on_disk import small, write_clip


def test_a_table_of_a_model_beside_classic_codecs(tmp_path, monkeypatch):
    monkeypatch.setattr(classic_video, "CODECS", [_short(codec) for codec in classic_video.CODECS[:2]])
    monkeypatch.setattr(video_rd, "QUALITIES", (50, 100))
    clips = tmp_path / "clips"
    clips.mkdir()
    write_clip(clips / "a.mkv", small(6, 64, 80), "ffv1")
    model = tiny_video.save(tmp_path / "model")
    out, options = tmp_path / "t", {"clips": clips, "model": model, "group": 4, "frames": 5}
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))] + ["--out", str(out)]
    done = click.testing.CliRunner().invoke(video_rd.main, arguments)
    assert not done.exception, done.output
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    names = ("H.264, veryfast", "H.265, veryfast", "tiny_video", "tiny_video, frames by themselves")
    assert [row["codec"] for row in rows] == [name for name in names for _ in range(2)]
    assert {(row["frames_there"], row["size"], len(row["positions"])) for row in rows[:6]} == {(5, "80x64", 4)}
    page = (tmp_path / "t.md").read_text()
    assert "An intra frame every 4 frames. Clips: a.mkv (5 frames of 80x64)." in page
    assert "| H.264, veryfast | +0.0 % / +0.0 % |" in page and f"{rows[4]['bpp']:.4f}" in page
    monkeypatch.setattr(video_rd.measured, "_result", None)  # nothing is measured again
    assert not click.testing.CliRunner().invoke(video_rd.main, arguments).exception
    assert (tmp_path / "t.md").read_text() == page


def _short(codec):
    return classic_video.ClassicVideo(codec.name, codec.about, codec.encoder, codec.decoder, codec.options, (39, 27))


def test_a_change_is_of_curves_that_meet():
    a = [video_rd.Point(0.1, 30.0, 0.9), video_rd.Point(0.2, 33.0, 0.95), video_rd.Point(0.4, 36.0, 0.98)]
    half = [point.__class__(point.bpp / 2, point.psnr_db, point.ms_ssim) for point in a]
    assert video_rd._change(a, half, 0) == "−50.0 %" and video_rd._change(half, a, 1) == "+100.0 %"
    assert video_rd._change(a, a[:1], 0) == "–"
