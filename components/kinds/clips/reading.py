"""Clips as people have them, to upright RGB frames of 8 bits: one frame at a time, never a whole clip in memory.

What becomes of what RGB frames cannot hold is decided here, and said in `About.remarks`:

- audio and subtitles are dropped; of several video streams the first is taken, alpha is dropped;
- more than 8 bits are rounded to 8; a clip of high dynamic range (PQ, HLG) is refused, since it needs tone mapping;
- a frame is a frame: of a variable frame rate the mean is kept, interlaced frames stay woven, odd sides stay odd;
- the rotation that a camera notes is carried out; pixels that are not square stay as they are stored;
- YUV is converted by the matrix and the range that the clip says, else by BT.601 below 720 rows and BT.709 from there
  on, limited range;
- a clip that breaks off, or whose frames are damaged as far as its codec notices, gives the frames before and then
  raises `Broken`.
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from components.kinds.clips.extensions import RAW
from models.contract.errors import KompaktError

RATE = Fraction(25)  # frames a second of what says none
MAX_SIDE = 65535
MAX_PIXELS = 2**25  # of a frame: 8K; a run of frames is held in memory
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273
_MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}
_SWS = {"bt709": 1, "bt601": 5, "bt2020": 9}  # libswscale's numbers
_MPEG, _JPEG = 1, 2  # libavutil's numbers of the ranges
_DAMAGED = "damaged, or of no format that is read"
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_SIZE = re.compile(r"(?<!\d)(\d{1,5})x(\d{1,5})(?!\d)")
RATE_WORD = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)(?:fps|hz)", re.IGNORECASE)
_RAW_FORMAT = re.compile(r"(?<![a-z\d])(?:yuv|p)?(4(?:20|22|44))p?(?:(10|12)(?:le)?)?(?![a-z\d])", re.IGNORECASE)
_RAW_BITS = re.compile(r"(?<!\d)(8|10|12) ?_?bits?", re.IGNORECASE)


class ClipError(KompaktError, ValueError):
    """A clip that cannot be read; the message is one line."""


class Broken(ClipError):
    """A clip that ended before its time; the frames before were given."""


class About(NamedTuple):
    """What is known of a clip before a frame of it is decoded.

    Attributes:
      width, height: pixels, upright. rate: frames a second, the mean. frames: about how many; 0: nobody knows.
      format: container and codec ("mp4/h264"). colour_range: "limited" or "full". matrix: "bt709", "bt601", "bt2020".
      remarks: sentences on what RGB frames of 8 bits do not hold of it.
    """

    width: int
    height: int
    rate: Fraction
    frames: int
    format: str
    colour_range: str = "limited"
    matrix: str = "bt709"
    remarks: tuple[str, ...] = ()


class Clip:
    """A clip of one file; a context manager.

    Attributes:
      about: About. Its frames are given once.

    Raises:
      ClipError: no such file, or none with a video stream that can be decoded.
    """

    def __init__(self, path: str | os.PathLike):
        import av  # loads FFmpeg, which who has no clip need not wait for

        self._path = pathlib.Path(path)
        options, self._layout = _raw(self._path) if self._path.suffix.lower() == RAW else ({}, "")
        try:
            self._size = self._path.stat().st_size
            self._container = av.open(os.fspath(path), options=options, format="rawvideo" if options else None)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = "the file is empty" if _is_empty(self._path) else _reason(error)
            raise ClipError(f"cannot be opened: {reason}") from error
        try:
            self._open(av)
        except BaseException:
            self._container.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self._container.close()

    def _open(self, av) -> None:
        # A stream whose header is cut off has no decoder, and FFmpeg's binding would crash at its first packet.
        streams = [s for s in self._container.streams.video if s.codec_context is not None]
        moving = [s for s in streams if not s.disposition & av.stream.Disposition.attached_pic]
        if not moving:
            raise ClipError("it has no video stream that can be decoded")
        self._stream, self._av = moving[0], av
        self._stream.thread_type = "AUTO"
        self._frames = self._decoded()
        self._first = next(self._frames, None)
        if self._first is None:
            raise ClipError("it has no frame that can be decoded")
        self._turns = round(self._first.rotation / 90) % 4
        self._reformatter = av.video.reformatter.VideoReformatter()
        self.about = self._about()

    def _about(self) -> About:
        stream, first = self._stream, self._first
        if (transfer := _number(first, "color_trc")) in _HDR:
            raise ClipError(f"it is of high dynamic range ({_HDR[transfer]}); convert it to standard range first")
        height, width = (first.width, first.height) if self._turns % 2 else (first.height, first.width)
        if max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
            raise ClipError(f"its frames have {width}x{height} pixels; {MAX_PIXELS} are the most")
        matrix = _MATRICES.get(_number(first, "colorspace"), assumed_matrix(first.height))
        is_full = _number(first, "color_range") == _JPEG or first.format.name.startswith(("yuvj", "gray", "rgb", "gbr"))
        rate = self._rate()
        name = self._layout or f"{self._path.suffix[1:].lower()}/{stream.codec_context.name}"
        return About(
            width, height, rate.limit_denominator(1_000_000), self._expected(rate), name,
            "full" if is_full else "limited", matrix, tuple(self._remarks(rate)),
        )  # fmt: skip

    def _rate(self) -> Fraction:
        return Fraction(self._stream.average_rate or self._stream.guessed_rate or RATE)

    def _expected(self, rate: Fraction) -> int:
        """About how many frames there are, as far as the container says."""
        return self._stream.frames or round(self._seconds() * rate)

    def _seconds(self) -> Fraction:
        """How long the stream lasts, as far as the container says; 0: it does not."""
        if self._stream.duration and self._stream.time_base:
            return self._stream.duration * self._stream.time_base
        if tagged := _DURATION.fullmatch(self._stream.metadata.get("DURATION", "")):  # of Matroska
            return int(tagged[1]) * 3600 + int(tagged[2]) * 60 + Fraction(tagged[3])
        others = len(self._container.streams) > 1  # which may last a little longer
        return max(Fraction(self._container.duration or 0, 1_000_000) - others, Fraction(0))

    def _remarks(self, rate: Fraction) -> Iterator[str]:
        stream, first = self._stream, self._first
        kinds = [s.type for s in self._container.streams if s is not stream]
        for kind in sorted(set(kinds)):
            yield f"its {kind} is dropped" if kind != "video" else "of several video streams the first is taken"
        if (bits := max(c.bits for c in first.format.components)) > 8:
            yield f"{bits} bits are rounded to 8"
        if any(c.is_alpha for c in first.format.components):
            yield "its alpha is dropped"
        if self._turns:
            yield f"turned upright by {90 * self._turns} degrees"
        if stream.base_rate and abs(stream.base_rate / rate - 1) > Fraction(1, 50):
            yield "of a variable frame rate the mean is kept"
        if first.interlaced_frame:
            yield "interlaced frames stay woven"
        if (aspect := stream.sample_aspect_ratio) and aspect != 1:
            yield f"its pixels are not square ({aspect}); they stay as they are stored"

    def _decoded(self) -> Iterator:
        """Frames of FFmpeg, and Broken where it fails, behind the last frame that it has of what was before."""
        count, end, failed = 0, Fraction(0), ""
        for frame in self._until_damage():
            if isinstance(frame, str):
                failed = frame
                continue
            if frame.is_corrupt:
                raise Broken(f"frame {count} is damaged; the {count} before it are not")
            if frame.pts is not None and frame.time_base:
                shown = frame.duration * frame.time_base if frame.duration else 1 / self._rate()
                end = max(end, frame.pts * frame.time_base + shown)
            yield frame
            count += 1
        if failed:
            raise Broken(f"breaks off after {count} frames: {failed}")
        self._must_be_whole(count, end)

    def _until_damage(self) -> Iterator:
        """Frames, and a text in place of one that says what is wrong; those that the decoder still holds follow it."""
        context = self._stream.codec_context
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    yield "its last bytes are missing"
                    break
                yield from context.decode(packet)
            else:
                return
        except (self._av.FFmpegError, ValueError, IndexError) as error:
            yield _reason(error)
        with contextlib.suppress(self._av.FFmpegError, ValueError, EOFError):
            yield from context.decode(None)

    def _must_be_whole(self, count: int, end: Fraction) -> None:
        """FFmpeg takes the end of the file for that of many a clip; the container says how long it should be."""
        start = (self._stream.start_time or 0) * (self._stream.time_base or 0)
        missing = self._seconds() - (end - start)
        if missing > max(2 / self._rate(), min(self._seconds() / 50, Fraction(1))):
            raise Broken(f"breaks off after {count} frames, {float(missing):.2f} s before its end")
        if self._container.format.name in ("yuv4mpegpipe", "rawvideo") and (left := self._left_over()):
            raise Broken(f"breaks off after {count} frames: {left} bytes of another one follow")

    def _left_over(self) -> int:
        """Bytes behind the last whole frame of a file whose frames all have one size."""
        context = self._stream.codec_context
        frame = sum(c.width * c.height * (2 if c.bits > 8 else 1) for c in context.format.components)
        if self._layout:
            return self._size % frame
        with open(self._path, "rb") as file:
            head = len(file.readline(4096))
            mark = file.readline(4096)
        return (self._size - head) % (frame + len(mark)) if mark == b"FRAME\n" else 0

    def frames(self, skip: int = 0) -> Iterator[np.ndarray]:
        """The frames in the order of showing, uint8 [height, width, 3]; those before `skip` are decoded only.

        Raises:
          Broken: behind the last frame that could be read.
        """
        frame, number = self._first, 0
        self._first = None  # a frame is held once
        size = (frame.width, frame.height)
        while frame is not None:
            if (frame.width, frame.height) != size:
                raise Broken(f"frame {number} has another size ({frame.width}x{frame.height}) than those before")
            if number >= skip:
                yield self._rgb(frame)
            frame, number = next(self._frames, None), number + 1

    def _rgb(self, frame) -> np.ndarray:
        matrix, limited = _SWS[self.about.matrix], self.about.colour_range == "limited"
        converted = self._reformatter.reformat(
            frame, format="rgb24", src_colorspace=matrix, dst_colorspace=matrix,
            src_color_range=_MPEG if limited else _JPEG, dst_color_range=_JPEG,
        )  # fmt: skip
        return np.ascontiguousarray(np.rot90(converted.to_ndarray(), self._turns))


def assumed_matrix(rows: int) -> str:
    """The matrix between RGB and YUV of a clip that does not say it; players assume the same."""
    return "bt601" if rows < 720 else "bt709"


def _number(frame, name: str) -> int:
    return int(getattr(frame, name) or 0)


def _is_empty(path: pathlib.Path) -> bool:
    try:
        return not path.stat().st_size
    except OSError:
        return False


def _reason(error: Exception) -> str:
    if isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError)):
        return error.strerror
    return _DAMAGED


def _raw(path: pathlib.Path) -> tuple[dict[str, str], str]:
    """FFmpeg's options for raw YUV, and its format, by the words of its name and of NAME.yuv.txt beside it.

    Words: "416x240" must be there; "50fps" or "50Hz", "yuv420p" ("P420", "422", "444"), "10bit". Without them RATE,
    4:2:0 and 8 bits are meant. Those of the file beside it go first.
    """
    beside = pathlib.Path(f"{path}.txt")
    try:
        words = beside.read_text(encoding="utf-8")[:1000] + " " if beside.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ClipError(f"{beside.name} beside it cannot be read as UTF-8 text") from error
    words += path.stem
    size = _SIZE.search(words)
    if not size:
        raise ClipError(f"raw YUV without its size: name it NAME_416x240_50fps{RAW}, or put that into {beside.name}")
    width, height = int(size[1]), int(size[2])
    words = words.replace(size[0], " ").replace("_", " ")
    layout, bits, rate = _RAW_FORMAT.search(words), _RAW_BITS.search(words), RATE_WORD.search(words)
    depth = int((layout and layout[2]) or (bits and bits[1]) or 8)
    pixels = f"yuv{layout[1] if layout else '420'}p" + (f"{depth}le" if depth > 8 else "")
    options = {"video_size": f"{width}x{height}", "pixel_format": pixels, "framerate": rate[1] if rate else str(RATE)}
    return options, f"yuv/{pixels}"
