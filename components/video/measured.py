"""Codecs of clips measured frame by frame: real bits, RGB PSNR and MS-SSIM; means over all frames."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from components.evaluation import rate_distortion
from components.evaluation.rate_distortion import Point
from components.video.classic_video import ClassicVideo
from components.video.served_video import ServedVideo


class Run(NamedTuple):
    """Frames one after the other, uint8 [T, H, W, 3], of a clip, and their rate a second."""

    name: str
    frames: np.ndarray
    rate: Fraction


class Result(NamedTuple):
    """What a codec made of sequences.

    Attributes:
      bits: of each stream. counts: frames of each group. psnr_db, ms_ssim: of each frame, in order. decoded: uint8.
    """

    bits: list[int]
    counts: list[int]
    psnr_db: list[float]
    ms_ssim: list[float]
    decoded: list[np.ndarray]
    pixels: int

    @property
    def point(self) -> Point:
        """All bits over all pixels, and means over the frames."""
        return Point(sum(self.bits) / self.pixels, float(np.mean(self.psnr_db)), float(np.mean(self.ms_ssim)))

    def positions(self) -> list[float]:
        """Mean PSNR in dB of the frames at each position in their groups."""
        places = np.concatenate([np.arange(count) for count in self.counts])
        return [float(np.mean(np.array(self.psnr_db)[places == p])) for p in range(places.max() + 1)]


def learned(codec: ServedVideo, clips: Sequence[Run], group: int, quality: int | None = None) -> Result:
    """Really codes and decodes sequences in groups of so many frames; 1: every frame by itself."""
    pieces = [clip.frames[t : t + group] for clip in clips for t in range(0, len(clip.frames), group)]

    def coded(piece: np.ndarray) -> tuple[int, np.ndarray]:
        stream = codec.compress(piece, quality)
        return 8 * len(stream), codec.decompress(stream)

    return _result(pieces, coded, group)


def classic(codec: ClassicVideo, clips: Sequence[Run], group: int, setting: int) -> Result:
    """The same of a classic codec, a sequence at a time."""
    rates = {id(clip.frames): clip.rate for clip in clips}

    def coded(frames: np.ndarray) -> tuple[int, np.ndarray]:
        stream = codec.encode(frames, rates[id(frames)], group, setting)
        return 8 * len(stream), codec.decode(stream, *frames.shape[1:3])

    return _result([clip.frames for clip in clips], coded, group)


def _result(pieces: Sequence[np.ndarray], coded: Callable, group: int) -> Result:
    from models.codecs import distortion

    result = Result([], [], [], [], [], sum(piece.size // 3 for piece in pieces))
    for piece in pieces:
        bits, decoded = coded(piece)
        if decoded.shape != piece.shape:
            raise ValueError(f"frames of {piece.shape} were decoded to {decoded.shape}")
        result.bits.append(bits)
        result.counts.extend(min(group, len(piece) - t) for t in range(0, len(piece), group))
        result.psnr_db.extend(rate_distortion.psnr_db(a, b) for a, b in zip(piece, decoded, strict=True))
        for start in range(0, len(piece), 4):  # MS-SSIM takes many times the memory of its frames
            result.ms_ssim.extend(
                distortion.ms_ssim(piece[start : start + 4], decoded[start : start + 4]).numpy().tolist()
            )
        result.decoded.extend(decoded)
    return result


def bits_by_frame(codec: ServedVideo, frames: np.ndarray) -> list[int]:
    """What each frame of a group adds to its stream: so the streams of ever more of its first frames differ."""
    sizes = [8 * len(codec.compress(frames[:count])) for count in range(1, len(frames) + 1)]
    return [size - before for size, before in zip(sizes, [0, *sizes], strict=False)]
