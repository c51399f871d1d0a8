"""Drawings of a verification: the scores of both kinds of pairs, and what thresholds trade."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.report.plots import INK, SERIES, axes, to_svg


def histograms(
    found: Mapping[str, Any],
    threshold: float | None = None,
    label: str = "cosine of two embeddings",
    largest: float = 1.0,
) -> str:
    """Shares of genuine and of impostor pairs over their scores as SVG; "" without any.

    Args:
      found: "edges" [K + 1], "genuine" and "impostors", counts [K]. threshold: is marked, unless beyond `largest`.
        label: of the axis.
    """
    if not sum(found["genuine"]) + sum(found["impostors"]):
        return ""
    fig, (ax,) = axes((5.2, 3.0))
    for name, color, kind in (("impostors", SERIES[1], "two persons"), ("genuine", SERIES[0], "one person")):
        counts = np.array(found[name], float)
        ax.stairs(counts / max(1.0, counts.sum()), found["edges"], fill=True, color=color, alpha=0.55, label=kind)
    if threshold is not None and abs(threshold) <= largest:
        ax.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label="threshold of verify")
    ax.set_xlabel(label, color=INK, fontsize=9)
    ax.set_ylabel("share of the pairs", color=INK, fontsize=9)
    ax.legend(frameon=False, labelcolor=INK, fontsize=9)
    return to_svg(fig, f"face-scores-{label.split()[0]}")


def roc(points: Mapping[str, Sequence[float]], decided: Mapping[str, float] | None, least: float) -> str:
    """TAR over FAR, this on a logarithmic scale, as SVG; "" without points.

    Args:
      points: "far" and "tar" [T]. decided: "far" and "tar" of the threshold that `verify` has. least: FAR below which
        the pairs are too few; the scale ends there.
    """
    if not points["far"]:
        return ""
    fig, (ax,) = axes((3.8, 3.0))
    far, tar = (np.array(points[name], float) for name in ("far", "tar"))
    ax.plot(np.maximum(far, least / 3), tar, color=SERIES[0], linewidth=2, drawstyle="steps-post")
    if decided and decided["far"] is not None and decided["tar"] is not None:
        ax.plot([max(decided["far"], least / 3)], [decided["tar"]], marker="o", color=INK, markersize=6, linestyle="")
    ax.set_xscale("log")
    ax.set_xlim(min(least, 0.5), 1)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("FAR: two persons taken for one", color=INK, fontsize=9)
    ax.set_ylabel("TAR: one person recognised", color=INK, fontsize=9)
    return to_svg(fig, "face-roc")
