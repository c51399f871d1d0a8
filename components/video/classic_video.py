"""The classic codecs that clips are compared with: H.264 and H.265 by x264 and x265, in the FFmpeg of PyAV's wheel.

Each in the setting that arXiv:1812.00101 compares with, veryfast with zerolatency, which is a weak one, and in one that
is fair to them, medium with all that it does by itself. Frames are coded as YUV 4:2:0 of BT.709, limited range, and
compared as RGB; an intra frame begins every group, as in the learned codec, so that access is as random.
"""

import dataclasses
import re
from fractions import Fraction

import numpy as np

_BT709, _LIMITED, _FULL = 1, 1, 2  # numbers of libswscale and libavutil


@dataclasses.dataclass(frozen=True)
class ClassicVideo:
    """An encoder with one setting that trades rate for quality.

    Attributes:
      name: as it is printed. about: encoder settings, as they are printed.
      encoder, decoder: FFmpeg's names. options: of the encoder. settings: values of CRF, from the lowest rate.
    """

    name: str
    about: str
    encoder: str
    decoder: str
    options: tuple[tuple[str, str], ...]
    settings: tuple[int, ...] = (39, 35, 31, 27, 23, 19, 15)

    def encode(self, frames: np.ndarray, rate: Fraction, group: int, setting: int) -> bytes:
        """Codes uint8 [T, H, W, 3] to a bare stream, without a container.

        Args:
          rate: frames a second. group: frames from one intra frame to the next. setting: CRF.
        """
        import av

        context = av.CodecContext.create(self.encoder, "w")
        height, width = frames.shape[1:3]
        context.height, context.width = height + height % 2, width + width % 2
        context.pix_fmt, context.time_base, context.framerate = "yuv420p", 1 / Fraction(rate), Fraction(rate)
        context.options = dict(self.options) | {"crf": str(setting), "g": str(group)} | self._of_group(group)
        packets = [packet for t, frame in enumerate(frames) for packet in context.encode(_yuv(frame, t))]
        return _without_messages(b"".join(bytes(packet) for packet in packets + context.encode(None)), self.decoder)

    def _of_group(self, group: int) -> dict[str, str]:
        if self.encoder == "libx265":
            return {"x265-params": f"log-level=none:info=0:open-gop=0:keyint={group}:min-keyint={group}:scenecut=0"}
        return {"x264-params": f"keyint={group}:min-keyint={group}:scenecut=0"}

    def decode(self, stream: bytes, height: int, width: int) -> np.ndarray:
        """Decodes a stream of `encode` to uint8 [T, height, width, 3]."""
        import av

        context = av.CodecContext.create(self.decoder, "r")
        packets = [*context.parse(stream), *context.parse(b"")]
        frames = [frame for packet in packets for frame in context.decode(packet)] + context.decode(None)
        return np.stack([_rgb(frame)[:height, :width] for frame in frames])


def _without_messages(stream: bytes, kind: str) -> bytes:
    """A stream without supplemental messages, in which x264 writes a kilobyte about itself."""
    units = re.split(rb"\x00?\x00\x00\x01", stream)[1:]
    kept = [unit for unit in units if (unit[0] & 31 != 6 if kind == "h264" else unit[0] >> 1 & 63 not in (39, 40))]
    return b"".join(b"\x00\x00\x01" + unit for unit in kept)


def _yuv(frame: np.ndarray, number: int):
    """uint8 [H, W, 3] as YUV 4:2:0 with even sides; an odd one is continued by its edge."""
    import av

    height, width = frame.shape[:2]
    even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    converted = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), "rgb24").reformat(
        format="yuv420p", src_colorspace=_BT709, dst_colorspace=_BT709, src_color_range=_FULL,
        dst_color_range=_LIMITED, interpolation="AREA",
    )  # fmt: skip
    converted.pts = number
    return converted


def _rgb(frame) -> np.ndarray:
    return frame.reformat(
        format="rgb24", src_colorspace=_BT709, dst_colorspace=_BT709, src_color_range=_LIMITED, dst_color_range=_FULL
    ).to_ndarray()


_WEAK, _FAIR = (("preset", "veryfast"), ("tune", "zerolatency")), (("preset", "medium"),)
_PAPER = "preset veryfast, tune zerolatency: what DVC's paper compares with, weak"
_OWN = "preset medium, with B-frames and lookahead: fair"
CODECS = tuple(
    ClassicVideo(f"{name}, {options[0][1]}", f"{encoder[3:]}, {about}", encoder, decoder, options)
    for options, about in ((_WEAK, _PAPER), (_FAIR, _OWN))
    for name, encoder, decoder in (("H.264", "libx264", "h264"), ("H.265", "libx265", "hevc"))
)
