"""Clips of every format, made here and small."""

import pathlib
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from tests.models.examples import moving

MILLISECONDS = Fraction(1, 1000)


def write_clip(
    path: pathlib.Path, frames: np.ndarray, codec: str = "libx264", pixels: str = "yuv420p", rate: int = 25,
    times: Sequence[int] = (), audio: bool = False, transfer: int = 0, aspect: Fraction | None = None,
) -> pathlib.Path:  # fmt: skip
    """Writes uint8 [T, H, W, 3] as a file whose ending says the container.

    Args:
      times: of each frame in ms, for a variable rate. audio: whether a second of silence comes with it.
      transfer: number of the transfer characteristics. aspect: of a pixel.
    """
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:  # else an id is drawn for it
        stream = container.add_stream(codec, rate=rate, options={"crf": "1"} if codec.startswith("libx26") else {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        if transfer:
            stream.codec_context.color_trc = transfer
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if times:
            stream.codec_context.time_base = MILLISECONDS
        if audio:
            _silence(container)
        for number, pixels_of in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels_of), "rgb24")
            frame.pts = times[number] if times else number
            frame.time_base = MILLISECONDS if times else Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _silence(container) -> None:
    stream = container.add_stream("aac", rate=8000, layout="mono")
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
    frame.sample_rate, frame.pts = 8000, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def rotated(path: pathlib.Path) -> pathlib.Path:
    """Notes in an MP4's track header that it is to be turned by a quarter, as phones do."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # version 0
    turn = np.array([0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000], ">i4").tobytes()
    assert len(turn) == 36
    data[matrix : matrix + 36] = turn
    path.write_bytes(data)
    return path


def small(frames: int = 8, height: int = 48, width: int = 64, offset: int = 0) -> np.ndarray:
    """A moving photograph, uint8 [frames, height, width, 3]."""
    return moving(frames, height, width, offset)
