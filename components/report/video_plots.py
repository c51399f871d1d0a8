"""The drawings of codecs of clips: rate and distortion, quality and bits along a group, flow as colours."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np

from components.report import plots
from components.report.plots import INK, SERIES


def curves(
    classic: Mapping[str, Sequence[Mapping[str, float]]], learned: Mapping[str, Sequence[Mapping[str, float]]]
) -> str:
    """Curves of PSNR and of MS-SSIM over rate as SVG; points as of `plots.rate_distortion`, with "ms_ssim_db"."""
    fig, panels = plots.axes((9.2, 4.0), 2)
    for ax, quality in zip(panels, ("psnr_db", "ms_ssim_db"), strict=True):
        plots.rate_distortion(ax, classic, learned, quality)
        ax.set_ylabel(ax.get_ylabel().replace("pictures", "frames"), color=INK, fontsize=9)
    return plots.to_svg(fig, "video-curves")


def along_group(positions: Sequence[float], bits: Sequence[int]) -> str:
    """Mean PSNR by position in the group, and the bits of each frame of one group, as SVG."""
    fig, (quality, rate) = plots.axes((9.2, 2.8), 2)
    quality.plot(range(1, len(positions) + 1), positions, color=SERIES[0], marker="o", markersize=5)
    quality.set_ylabel("PSNR, dB", color=INK, fontsize=9)
    rate.bar(range(1, len(bits) + 1), [count / 1000 for count in bits], color=SERIES[1])
    rate.set_ylabel("kilobits", color=INK, fontsize=9)
    for ax in (quality, rate):
        ax.set_xlabel("frame of the group", color=INK, fontsize=9)
        ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    return plots.to_svg(fig, "video-group")


def flow_colours(flow: np.ndarray) -> tuple[np.ndarray, float]:
    """A flow, float [H, W, 2] in pixels (x, y), as colours uint8 [H, W, 3], and the length that is shown strongest.

    Hue says the direction, saturation the length, up to its 99th percentile; what stands still is white.
    """
    length = np.hypot(flow[..., 0], flow[..., 1])
    strongest = max(float(np.percentile(length, 99)), 1e-6)
    hue = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1.0
    hsv = np.stack([hue, np.clip(length / strongest, 0, 1), np.ones_like(hue)], -1)
    return np.rint(255 * matplotlib.colors.hsv_to_rgb(hsv)).astype(np.uint8), strongest
