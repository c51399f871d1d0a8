"""compress and decompress on clips: there and back in each format, stopped and gone on with, damaged groups."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from components.kinds.clips.places import open_clip
from components.video.served_video import ServedVideo
from models.video.film import Film
from pipeline.client.clips import coding, decoding, outputs
from tests.components import tiny_codec, tiny_video
from tests.components.clips_on_disk import small, write_clip
from tests.pipeline.commands.test_compress import call, names


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of versions."""
    folder = tmp_path_factory.mktemp("models")
    tiny_video.save(folder / "1")
    return folder


@pytest.fixture
def clips(tmp_path):
    """A clip in a folder, and a folder of frames in a folder of that."""
    folder = tmp_path / "clips"
    (folder / "holiday" / "sea.v1").mkdir(parents=True)
    write_clip(folder / "runner.mkv", small(10), "ffv1", rate=30, audio=True)
    for number, frame in enumerate(small(5, offset=90)):
        Image.fromarray(frame).save(folder / "holiday" / "sea.v1" / f"{number}.png")
    (folder / "notes.txt").write_text("no clip")
    return folder


def frames_of(path):
    with open_clip(path) as clip:
        return np.stack(list(clip.frames()))


def test_there_and_back(clips, model, tmp_path):
    coded, decoded = tmp_path / "coded", tmp_path / "decoded"
    code, said, err = call("compress", clips, "--model", model, "--out", coded, "--psnr")
    assert code == 0 and err == "left out: 1 .txt\n"
    assert names(coded) == ["holiday", "runner.kmv"] and names(coded / "holiday") == ["sea.v1.kmv"]
    (line,) = [s for s in said.splitlines() if "runner.mkv" in s]
    size = (coded / "runner.kmv").stat().st_size
    assert f"10 frames  {size:,} bytes  {8 * size / (10 * 48 * 64):.4f} bpp" in line and " frames/s" in line
    assert line.endswith("; its audio is dropped") and 25 < float(re.search(r"([\d.]+) dB", line)[1]) < 40
    with Film(coded / "runner.kmv") as film:
        assert [group.frames for group in film.groups] == [4, 4, 2] and film.header.rate == 30
    code, said, err = call("decompress", coded, "--model", model, "--out", decoded, "--format", "frames")
    assert code == 0 and names(decoded) == ["holiday", "runner"] and not err
    assert len(names(decoded / "runner")) == 10 and names(decoded / "holiday") == ["sea.v1"]
    assert np.array_equal(frames_of(decoded / "runner"), frames_of(clips / "runner.mkv") & 0xF0)


def test_y4m_and_mp4_hold_the_frames(clips, model, tmp_path):
    call("compress", clips / "runner.mkv", "--model", model, "--out", tmp_path)
    wanted = (frames_of(clips / "runner.mkv") & 0xF0).astype(int)
    for form, most in (("y4m", 2.0), ("mp4", 6.0)):
        code, _, err = call(
            "decompress", tmp_path / "runner.kmv", "--model", model, "--out", tmp_path, "--format", form
        )
        assert code == 0, err
        with open_clip(tmp_path / f"runner.{form}") as clip:
            assert (clip.about.rate, clip.about.width, clip.about.matrix) == (30, 64, "bt601")
            assert np.abs(np.stack(list(clip.frames())) - wanted).mean() < most
    assert names(tmp_path) == ["clips", "runner.kmv", "runner.mp4", "runner.y4m"]


def test_quality_and_what_clips_do_not_have(clips, model, tmp_path):
    clip = clips / "runner.mkv"
    sizes = []
    for quality in (20, 100):
        assert not call("compress", clip, "--model", model, "--out", tmp_path, "--quality", quality, "--overwrite")[0]
        sizes.append((tmp_path / "runner.kmv").stat().st_size)
    assert sizes[0] < sizes[1] / 2
    one_rate, pictures = tiny_video.save(tmp_path / "one", variable=False), tiny_codec.save(tmp_path / "pictures")
    picture = clips / "holiday" / "sea.v1" / "0.png"
    for arguments, message in (
        ((clip, "--model", model, "--refine", 2), "leave out --refine"),
        ((clip, "--model", model, "--target-bpp", 0.2), "leave out --refine"),
        ((clip, "--model", model, "--model", one_rate), "clips are coded by one model"),
        ((clip, "--model", one_rate, "--quality", 30), "a model of one rate"),
        ((clip, "--model", pictures), "is a clip; give a codec of clips by --model DIR"),
        ((clip,), "is a clip; give a codec of clips by --model DIR"),
        ((clip, "--model", model), "exists; give --overwrite"),
        ((tmp_path / "none.mp4", "--model", model), "no such file or folder"),
        ((tmp_path / "one", "--model", model), "no clip and no folder of frames here"),
        ((picture, "--model", model), "codes clips; give clips or folders of frames"),
    ):
        code, _, err = call("compress", *arguments, "--out", tmp_path)
        assert code == 2 and message in err and err.count("\n") == 1, (arguments, err)


class Stopped:
    """A codec that a user stops in the middle of its third group."""

    def __init__(self, codec, groups=2):
        self.codec, self.left = codec, groups

    def __getattr__(self, name):
        return getattr(self.codec, name)

    def compress(self, *given):
        return self._one("compress", *given)

    def decompress(self, *given):
        return self._one("decompress", *given)

    def _one(self, name, *given):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return getattr(self.codec, name)(*given)


def test_compress_goes_on_at_the_next_group(clips, model, tmp_path, monkeypatch):
    arguments = ("compress", clips, "--model", model, "--out")
    assert not call(*arguments, tmp_path / "whole")[0]
    with monkeypatch.context() as patched:
        patched.setattr("components.video.served_video.ServedVideo", lambda path: Stopped(ServedVideo(path), 4))
        code, _, err = call(*arguments, tmp_path / "out")
    assert code == 130 and "stopped; 1 of 2 clips are done" in err and "and 8 frames of" in err
    assert not (tmp_path / "out" / "runner.kmv").exists()
    code, said, _ = call(*arguments, tmp_path / "out")
    assert code == 0 and "is there already" in said and "(went on after 8 frames)" in said
    for name in ("runner.kmv", "holiday/sea.v1.kmv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert names(tmp_path / "out") == ["holiday", "runner.kmv"]


@pytest.mark.parametrize("form", ["y4m", "frames", "mp4"])
def test_decompress_goes_on_at_the_next_group(clips, model, tmp_path, monkeypatch, form):
    call("compress", clips / "runner.mkv", "--model", model, "--out", tmp_path)
    arguments = ("decompress", tmp_path / "runner.kmv", "--model", model, "--format", form, "--out")
    suffix = outputs.FORMATS[form].suffix
    call(*arguments, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr("components.video.served_video.ServedVideo", lambda path: Stopped(ServedVideo(path)))
        code, _, err = call(*arguments, tmp_path / "out")
    assert code == 130 and "0 of 1 clips are done" in err and not (tmp_path / "out" / f"runner{suffix}").exists()
    if form == "y4m":  # the last frame was being written
        (part,) = (tmp_path / "out").iterdir()
        part.write_bytes(part.read_bytes()[:-5])
    code, said, err = call(*arguments, tmp_path / "out")
    after = {"y4m": "(went on after 4 frames)", "frames": "(went on after 8 frames)", "mp4": "frames/s"}[form]
    assert code == 0 and said.strip().endswith(after), said + err
    found, wanted = (tmp_path / folder / f"runner{suffix}" for folder in ("out", "whole"))
    assert np.array_equal(frames_of(found), frames_of(wanted)) and len(names(tmp_path / "out")) == 1


def test_a_damaged_group_costs_its_frames_only_and_the_error_says_which(clips, model, tmp_path):
    call("compress", clips / "runner.mkv", "--model", model, "--out", tmp_path)
    path, wanted = tmp_path / "runner.kmv", frames_of(clips / "runner.mkv") & 0xF0
    with Film(path) as film:
        place = film.groups[1].offset + 40
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    code, _, err = call("decompress", path, "--model", model, "--out", tmp_path / "out", "--format", "frames")
    assert code == 2 and "frames 4 to 7 are lost" in err and "holds the other 6" in err
    kept = [f"frame_{number:08}.png" for number in (0, 1, 2, 3, 8, 9)]
    assert names(tmp_path / "out" / "runner") == kept
    assert np.array_equal(frames_of(tmp_path / "out" / "runner"), wanted[[0, 1, 2, 3, 8, 9]])


def test_a_file_that_is_cut_off_gives_what_there_is_and_an_error(clips, model, tmp_path):
    call("compress", clips / "runner.mkv", "--model", model, "--out", tmp_path)
    path = tmp_path / "runner.kmv"
    with Film(path) as film:
        path.write_bytes(path.read_bytes()[: film.groups[1].offset + 40])
    code, _, err = call("decompress", path, "--model", model, "--out", tmp_path / "out")
    assert code == 2 and "frames from 4 on (the file is cut off there) are lost" in err and "holds the other 4" in err
    assert len(frames_of(tmp_path / "out" / "runner.y4m")) == 4


def test_a_truncated_clip_is_coded_as_far_as_it_goes(clips, model, tmp_path):
    clip = clips / "runner.mkv"
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    code, _, err = call("compress", clip, "--model", model, "--out", tmp_path / "out")
    assert code == 2 and "breaks off after" in err and "runner.kmv holds what is before" in err
    with Film(tmp_path / "out" / "runner.kmv") as film:
        assert film.is_whole and film.broke_off and 1 <= film.frames < 10
    code, _, err = call("compress", clip, "--model", model, "--out", tmp_path / "out")
    assert code == 2 and f"breaks off after {film.frames} frames" in err and "there already" in err


def test_what_decompress_refuses(clips, model, tmp_path):
    call("compress", clips / "runner.mkv", "--model", model, "--out", tmp_path)
    path, other = tmp_path / "runner.kmv", tiny_video.save(tmp_path / "other", mark=9)
    (tmp_path / "a.kmp").write_bytes(b"KMP")
    (tmp_path / "b.kmv").write_bytes(b"no film")
    for arguments, message in (
        ((path,), "no codec of clips is released: give the one that wrote them by --model DIR"),
        ((path, "--model", other), "the clip is of model 00000007, none of those given (00000009)"),
        ((path, tmp_path / "a.kmp", "--model", model), "decompress clips (.kmv) and pictures apart"),
        ((tmp_path / "a.kmp", "--format", "mp4"), "--format is for clips"),
        ((path, "--url", "http://127.0.0.1:1/v1/models/m"), "clips are decoded by --model DIR"),
        ((tmp_path / "b.kmv", "--model", model), "this is no coded clip: it does not begin with KMV"),
    ):
        code, _, err = call("decompress", *arguments, "--out", tmp_path / "out")
        assert code == 2 and message in err, (arguments, err)
    both = call("decompress", path, "--model", other, "--model", model, "--out", tmp_path / "out")
    assert both[0] == 0 and names(tmp_path / "out") == ["runner.y4m"]
    shutil.rmtree(tmp_path / "out")


def test_groups_end_with_what_is_left():
    assert [len(group) for group in coding.groups_of(iter(small(9)), 4)] == [4, 4, 1] and decoding.FORMATS
