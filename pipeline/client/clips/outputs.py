"""What decoded clips are written as: Y4M, a folder of pictures, MP4.

Each is begun under a name of its own beside its target and takes the target's name at its end. `frames` says how many
are there already, of what a call before was stopped at.
"""

import abc
import contextlib
import glob
import os
import pathlib
import shutil
from fractions import Fraction

import numpy as np

from components.kinds.clips.reading import assumed_matrix
from models.video.film import FilmError, Header

_MATRICES = {"bt709": 1, "bt601": 5}  # libswscale's numbers; of H.273 BT.601 is 6
_RANGES = {"limited": 1, "full": 2}
CRF = 12  # of H.264 in an MP4: hardly to be told from the frames


class Output(abc.ABC):
    """A decoded clip that is being written; a context manager, which keeps what there is if an error ends it.

    Attributes:
      frames: that are written. can_go_on: whether a part of them may be kept: none is missing but those of groups that
        the file itself shows to be damaged.

    Args:
      target: of the whole. header: of the clip. identity: of its content, below 2**32; another one's part is not gone
        on with.
    """

    suffix: str

    def __init__(self, target: pathlib.Path, header: Header, identity: int):
        self.target, self.header, self.frames = target, header, 0
        self.can_go_on = True
        target.parent.mkdir(parents=True, exist_ok=True)
        self.part = target.with_name(f"{target.name[:200]}.{identity:08x}.part")
        for other in target.parent.glob(f"{glob.escape(target.name[:200])}.*.part"):
            if other != self.part and len(other.name) == len(self.part.name):
                _remove(other)

    def __enter__(self):
        return self

    def __exit__(self, kind, *error) -> None:
        is_whole = False
        try:
            self._close(is_whole=kind is None)
            is_whole = kind is None
        finally:
            if not is_whole and not self.can_go_on:
                _remove(self.part)
        if is_whole:
            _remove(self.target)
            os.replace(self.part, self.target)

    @abc.abstractmethod
    def keep(self, count: int) -> None:
        """Drops what is behind the first frames, at most `frames`, and is ready for the next one."""

    @abc.abstractmethod
    def add(self, frames: np.ndarray, first: int) -> None:
        """Writes a group, uint8 [T, H, W, 3], whose first frame has that number in the clip."""

    @abc.abstractmethod
    def _close(self, is_whole: bool) -> None:
        """Completes the part, or leaves it as it is."""


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Y4m(Output):
    """YUV 4:4:4 of 8 bits in the clip's own range, uncompressed: of RGB a level or two is rounded away.

    The format does not name its matrix, so it is the one that readers assume.
    """

    suffix = ".y4m"

    def __init__(self, target: pathlib.Path, header: Header, identity: int):
        super().__init__(target, header, identity)
        rate, colour_range = header.rate, header.colour_range.upper()
        self._head = (f"YUV4MPEG2 W{header.width} H{header.height} F{rate.numerator}:{rate.denominator} Ip A1:1 C444 "
                      f"XCOLORRANGE={colour_range}\n").encode()  # fmt: skip
        self._frame_bytes = len(b"FRAME\n") + 3 * header.height * header.width
        self._file = open(self.part, "a+b")
        self._file.seek(0)
        if self._file.read(len(self._head)) == self._head:
            self.frames = (self.part.stat().st_size - len(self._head)) // self._frame_bytes

    def keep(self, count: int) -> None:
        self._file.truncate(len(self._head) + count * self._frame_bytes if count else 0)
        if not count:
            self._file.write(self._head)
        self.frames = count

    def add(self, frames: np.ndarray, first: int) -> None:
        for frame in frames:
            planes = _converted(frame, self.header, assumed_matrix(self.header.height), "yuv444p").to_ndarray()
            self._file.write(b"FRAME\n" + planes.tobytes())
        self._file.flush()
        self.frames += len(frames)

    def _close(self, is_whole: bool) -> None:
        self._file.close()


def _converted(frame: np.ndarray, header: Header, matrix: str, layout: str):
    """uint8 [H, W, 3] RGB as a frame of FFmpeg, YUV in the header's range."""
    import av

    number = _MATRICES[matrix]
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24").reformat(
        format=layout, src_colorspace=number, dst_colorspace=number, src_color_range=_RANGES["full"],
        dst_color_range=_RANGES[header.colour_range], interpolation="AREA",
    )  # fmt: skip


class Pictures(Output):
    """A folder with a PNG a frame, exactly the decoded values; a lost frame leaves a gap in the numbers."""

    suffix = ""

    def __init__(self, target: pathlib.Path, header: Header, identity: int):
        super().__init__(target, header, identity)
        self.part.mkdir(exist_ok=True)
        self.frames = sum(1 for path in self.part.iterdir() if path.suffix == ".png")

    def keep(self, count: int) -> None:
        for path in sorted(self.part.iterdir())[count:]:  # also what was being written when a call was killed
            path.unlink()
        self.frames = count

    def add(self, frames: np.ndarray, first: int) -> None:
        from PIL import Image

        for number, frame in enumerate(frames, first):
            path = self.part / f"frame_{number:08}.png"
            Image.fromarray(frame).save(path.with_suffix(".new"), "PNG", compress_level=1)
            os.replace(path.with_suffix(".new"), path)
        self.frames += len(frames)

    def _close(self, is_whole: bool) -> None:
        """Every frame is whole as it is."""


class Mp4(Output):
    """H.264 of CRF 12, which loses a little more; what was stopped begins anew, since it cannot be gone on with.

    A clip of BT.2020 is written as BT.709, and the file says that: FFmpeg's binding does not convert to BT.2020.

    Raises:
      FilmError: H.264 or MP4 takes no such sizes or no such rate. OSError: the disk is full.
    """

    suffix = ".mp4"

    def __init__(self, target: pathlib.Path, header: Header, identity: int):
        super().__init__(target, header, identity)
        self._container, self.can_go_on = None, False
        self._matrix = header.matrix if header.matrix in _MATRICES else "bt709"

    def keep(self, count: int) -> None:
        import av

        header = self.header
        halves = header.width % 2 == 0 and header.height % 2 == 0
        self._layout = "yuv420p" if halves else "yuv444p"
        with _as_film_errors(header):
            self._container = av.open(str(self.part), "w", format="mp4")
            self._stream = self._container.add_stream("libx264", rate=header.rate, options={"crf": str(CRF)})
            self._stream.width, self._stream.height, self._stream.pix_fmt = header.width, header.height, self._layout
            context = self._stream.codec_context
            context.colorspace = {"bt709": 1, "bt601": 6}[self._matrix]
            context.color_range = _RANGES[header.colour_range]
        self.frames = count

    def add(self, frames: np.ndarray, first: int) -> None:
        for frame in frames:
            converted = _converted(frame, self.header, self._matrix, self._layout)
            converted.pts, converted.time_base = self.frames, Fraction(1, 1) / self.header.rate
            with _as_film_errors(self.header):
                self._container.mux(self._stream.encode(converted))
            self.frames += 1

    def _close(self, is_whole: bool) -> None:
        if self._container is None:
            return
        if is_whole:
            with _as_film_errors(self.header):
                self._container.mux(self._stream.encode())
                self._container.close()
        else:
            with contextlib.suppress(Exception):  # what it was stopped for is said already
                self._container.close()


@contextlib.contextmanager
def _as_film_errors(header: Header):
    """FFmpeg's errors, of which some are no OSError, in a line."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError):  # the disk, not the clip
            raise
        what = f"{header.width}x{header.height} at {float(header.rate):g} frames a second"
        message = f"cannot be written as MP4 ({error.strerror}; {what}); --format y4m and frames take any clip"
        raise FilmError(message) from error


FORMATS = {"y4m": Y4m, "frames": Pictures, "mp4": Mp4}
