"""What becomes of clips as people have them: formats, rates, sides, bits, rotation, audio, damage."""

import collections
import random
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from components.kinds.clips.frame_folder import FrameFolder
from components.kinds.clips.places import open_clip
from components.kinds.clips.reading import Broken, Clip, ClipError
from tests.components.clips_on_disk import rotated, small, write_clip

FORMATS = {
    "a.mp4": ("libx264", "yuv444p"), "a.mov": ("libx264", "yuv444p"), "a.mkv": ("ffv1", "yuv444p"),
    "a.webm": ("libvpx-vp9", "yuv420p"), "a.y4m": ("wrapped_avframe", "yuv420p"), "a.avi": ("mpeg4", "yuv420p"),
}  # fmt: skip


def _read(path, skip=0):
    with open_clip(path) as clip:
        return clip.about, np.stack(list(clip.frames(skip)))


def _far(a, b):
    """Mean difference of levels."""
    return np.abs(a.astype(float) - b).mean()


@pytest.mark.parametrize("name", FORMATS)
def test_containers(tmp_path, name):
    frames = small()
    about, found = _read(write_clip(tmp_path / name, frames, *FORMATS[name]))
    assert (about.width, about.height, about.rate, about.frames) == (64, 48, 25, 8) and about.remarks == ()
    assert about.format.startswith(name[2:] + "/") and found.shape == frames.shape and found.dtype == np.uint8
    assert _far(found, frames) < (4 if FORMATS[name][1] == "yuv444p" else 12)


def test_odd_sides_stay_odd(tmp_path):
    frames = small(3, 21, 33)
    about, found = _read(write_clip(tmp_path / "a.y4m", frames, "wrapped_avframe", "yuv444p"))
    assert (about.width, about.height) == (33, 21) and found.shape == frames.shape and _far(found, frames) < 3


def test_ten_bits_are_rounded(tmp_path):
    about, found = _read(write_clip(tmp_path / "a.mkv", small(3), "ffv1", "yuv444p10le"))
    assert about.remarks == ("10 bits are rounded to 8",) and _far(found, small(3)) < 3


def test_of_a_variable_rate_the_mean_is_kept_and_every_frame(tmp_path):
    times = [0, 40, 200, 240, 400, 440, 600, 640]
    about, found = _read(write_clip(tmp_path / "a.mp4", small(), "libx264", "yuv444p", times=times))
    assert len(found) == 8 and "of a variable frame rate the mean is kept" in about.remarks
    assert 8 < about.rate < 15


def test_rotation_is_carried_out(tmp_path):
    frames = small(3)
    about, found = _read(rotated(write_clip(tmp_path / "a.mp4", frames, "libx264", "yuv444p")))
    assert (about.width, about.height) == (48, 64) and found.shape == (3, 64, 48, 3)
    # The matrix takes x to y and y to -x: a quarter clockwise.
    assert _far(found[0], np.rot90(frames[0], -1)) < 4 and about.remarks[0].startswith("turned upright by ")


def test_what_is_dropped_is_said(tmp_path):
    about, _ = _read(write_clip(tmp_path / "a.mp4", small(3), audio=True, aspect=Fraction(4, 3)))
    assert about.remarks == ("its audio is dropped", "its pixels are not square (4/3); they stay as they are stored")
    about, found = _read(write_clip(tmp_path / "a.mkv", small(3), "ffv1", "yuva444p"))
    assert "its alpha is dropped" in about.remarks and _far(found, small(3)) < 3


def test_high_dynamic_range_is_refused(tmp_path):
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        with pytest.raises(ClipError, match=rf"of high dynamic range \({name}\)"):
            Clip(write_clip(tmp_path / "a.mp4", small(3), transfer=transfer))


def test_range_and_matrix_are_those_that_the_clip_says(tmp_path):
    levels = np.full((1, 8, 8), 235, np.uint8)
    for name, expected in (("yuv420p", 255), ("yuvj420p", 235)):
        frame = av.VideoFrame.from_ndarray(np.concatenate([levels[0], np.full((4, 8), 128, np.uint8)]), name)
        with av.open(str(tmp_path / f"{name}.mkv"), "w") as container:
            stream = container.add_stream("ffv1" if name == "yuv420p" else "mjpeg", rate=25)
            stream.height = stream.width = 8
            stream.pix_fmt = name
            frame.pts = 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        about, found = _read(tmp_path / f"{name}.mkv")
        assert about.colour_range == ("full" if name == "yuvj420p" else "limited") and about.matrix == "bt601"
        assert np.abs(found.astype(int) - expected).max() <= 2


def test_frames_from_the_middle_are_the_same(tmp_path):
    path = write_clip(tmp_path / "a.mp4", small())
    assert np.array_equal(_read(path, 5)[1], _read(path)[1][5:])


@pytest.mark.parametrize(
    "name, beside, expected",
    [
        ("run_64x48_30fps.yuv", "", ("yuv/yuv420p", Fraction(30))),
        ("run_64x48_12.5Hz_8bit_P420.yuv", "", ("yuv/yuv420p", Fraction(25, 2))),
        ("run.yuv", "64x48 50fps yuv444p", ("yuv/yuv444p", Fraction(50))),
        ("run_8x8.yuv", "64x48 yuv420p10le", ("yuv/yuv420p10le", Fraction(25))),
        ("run_64x48_10bit_422.yuv", "", ("yuv/yuv422p10le", Fraction(25))),
    ],
)
def test_raw_yuv(tmp_path, name, beside, expected):
    frames = small(3)
    layout = expected[0].partition("/")[2]
    planes = [av.VideoFrame.from_ndarray(np.ascontiguousarray(f), "rgb24").reformat(format=layout) for f in frames]
    (tmp_path / name).write_bytes(b"".join(_planes(p) for p in planes))
    if beside:
        (tmp_path / f"{name}.txt").write_text(beside)
    about, found = _read(tmp_path / name)
    assert (about.format, about.rate) == expected and found.shape == frames.shape and _far(found, frames) < 12
    with open(tmp_path / name, "ab") as file:
        file.write(b"half a frame")
    with pytest.raises(Broken, match="breaks off after 3 frames"):
        _read(tmp_path / name)


def _planes(frame) -> bytes:
    found = []
    for plane, part in zip(frame.planes, frame.format.components, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(part.height, plane.line_size)
        found.append(rows[:, : part.width * (2 if part.bits > 8 else 1)].tobytes())
    return b"".join(found)


def test_raw_yuv_without_its_size(tmp_path):
    (tmp_path / "run.yuv").write_bytes(bytes(4608))
    with pytest.raises(ClipError, match=r"without its size: name it NAME_416x240_50fps.yuv, or put that into run.yuv"):
        Clip(tmp_path / "run.yuv")


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.y4m"])
def test_a_truncated_clip_gives_the_frames_before_and_says_so(tmp_path, name):
    path = write_clip(tmp_path / name, small(), *FORMATS[name])
    whole = _read(path)[1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    found = []
    with Clip(path) as clip, pytest.raises(Broken, match=r"breaks off after \d frames"):
        for frame in clip.frames():
            found.append(frame)
    assert 1 <= len(found) < 8 and np.array_equal(found, whole[: len(found)])


@pytest.mark.parametrize("share", [0, 10, 50, 90])
def test_an_mp4_without_its_end_or_anything_else_is_refused(tmp_path, share):
    path = write_clip(tmp_path / "a.mp4", small())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * share // 100])
    with pytest.raises(ClipError, match="the file is empty" if not share else "cannot be opened|no video stream"):
        Clip(path)
    path.write_text("no clip at all")
    with pytest.raises(ClipError, match="cannot be opened: damaged"):
        Clip(path)
    with pytest.raises(ClipError, match="cannot be opened: No such file"):
        Clip(tmp_path / "none.mp4")


@pytest.mark.parametrize("share", [50, 65, 80])
def test_a_damaged_stretch_ends_the_clip(tmp_path, share):
    path = write_clip(tmp_path / "a.mkv", small(), "libx264")
    data = bytearray(path.read_bytes())
    place = len(data) * share // 100
    data[place : place + 300] = bytes(byte ^ 0x5A for byte in data[place : place + 300])
    path.write_bytes(data)
    found = []
    with pytest.raises(Broken, match="breaks off|is damaged"), Clip(path) as clip:
        found.extend(clip.frames())
    assert len(found) < 8


def test_damaged_files_are_read_break_off_or_are_refused(tmp_path):
    """FFmpeg finds many things wrong with a file; all of them are said in our way, and none ends the process."""
    draw, ends = random.Random(3), collections.Counter()
    for name, codec in (("a.mp4", "libx264"), ("a.mkv", "ffv1"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4")):
        path = write_clip(tmp_path / name, small(4), codec)
        whole = path.read_bytes()
        for _ in range(25):
            data = bytearray(whole)
            for _ in range(draw.choice((1, 3, 20))):
                data[draw.randrange(min(len(data), 2500))] ^= 1 << draw.randrange(8)
            path.write_bytes(data)
            try:
                with Clip(path) as clip:
                    ends[f"{len(list(clip.frames()))} frames"] += 1
            except ClipError as error:
                ends[type(error)] += 1
    assert ends[Broken] and ends[ClipError] and ends["4 frames"] and ends.total() == 100


def test_a_folder_of_frames(tmp_path):
    folder, frames = tmp_path / "runner_30fps", small(11)
    folder.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"f{number}.png")
    (folder / "notes.txt").write_text("")
    about, found = _read(folder)
    assert np.array_equal(found, frames) and about.rate == 30 and about.format == "frames/png"  # f9 before f10
    Image.fromarray(frames[0, :40]).save(folder / "f7.png")
    with FrameFolder(folder) as clip, pytest.raises(Broken, match=r"frame 7 \(f7.png\) has another size"):
        list(clip.frames())
    (folder / "f4.png").write_bytes((folder / "f4.png").read_bytes()[:60])
    with FrameFolder(folder) as clip, pytest.raises(Broken, match="breaks off after 4 frames: f4.png: damaged"):
        list(clip.frames())
    for path in folder.glob("f[1-9]*"):
        path.unlink()
    with pytest.raises(ClipError, match="at least 2 pictures, this 1"):
        FrameFolder(folder)
