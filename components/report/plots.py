"""The drawings of the report: curves as SVG that takes its colours from the page, so that light and dark both work."""

import io
import re
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")
from matplotlib import figure, ticker  # noqa: E402

# Stand-ins that `to_svg` replaces by the page's own variables.
INK, FAINT = "#010203", "#010204"
SERIES = ("#010205", "#010206", "#010207", "#010208", "#010209")
_VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)"} | {c: f"var(--series-{i})" for i, c in enumerate(SERIES)}

# A picture file cannot ask the page: these are the light colours, on white.
PRINTED = {INK: "#1f2328", FAINT: "#d8dee4"} | dict(
    zip(SERIES, ("#d9480f", "#1c6fd4", "#0b8a5f", "#8a3ffc", "#a16207"), strict=True)
)


def axes(size: tuple[float, float] = (5.2, 3.4), columns: int = 1, rows: int = 1):
    """A figure of `size` inches and its axes (a list, row by row) with a light grid and no frame."""
    fig = figure.Figure(figsize=size, layout="constrained")
    fig.patch.set_alpha(0)
    all_axes = [fig.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for ax in all_axes:
        ax.patch.set_alpha(0)
        ax.grid(color=FAINT, linewidth=0.7)
        ax.set_axisbelow(True)
        ax.tick_params(colors=INK, labelsize=9, length=0)
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
        ax.spines["bottom"].set_color(FAINT)
    return fig, all_axes


def to_svg(fig, name: str) -> str:
    """The figure as an <svg> element to be put into a page that defines --ink, --line and --series-0 ... -4.

    Args:
      name: unlike that of the page's other drawings, so that the ids inside differ from theirs.
    """
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": name}):
        fig.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    # The page's own fonts and width; the metadata block would be the only mention of another host.
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", svg)
    for side in ("width", "height"):
        svg = re.sub(rf'(<svg[^>]*?) {side}="[^"]*"', r"\1", svg, count=1)
    return svg


def save_png(fig, path) -> None:
    """Writes the figure as a picture file on white, 200 dots an inch."""
    for artist in fig.findobj():
        for kind in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            value = getattr(artist, f"get_{kind}", lambda: None)()
            try:
                stand_in = matplotlib.colors.to_hex(value)
            except (ValueError, TypeError):
                continue
            if stand_in in PRINTED:
                getattr(artist, f"set_{kind}")(PRINTED[stand_in])
    for ax in fig.axes:
        ax.tick_params(colors=PRINTED[INK])
        ax.grid(color=PRINTED[FAINT])
    fig.savefig(path, dpi=200, facecolor="white")


def rate_distortion(
    ax,
    classic: Mapping[str, Sequence[Mapping[str, float]]],
    learned: Mapping[str, Sequence[Mapping[str, float]]],
    quality: str = "psnr_db",
) -> None:
    """Draws curves of quality over rate.

    Args:
      ax: axes of `axes`.
      classic: name -> points, each with "bpp" and `quality`, drawn as thin lines with the name at their end.
      learned: name -> points, drawn strong and with a mark for each; the view is centred on them.
      quality: "psnr_db", or another key of the points.
    """
    points = [p for curve in learned.values() for p in curve]
    limit = max(1.0, 1.35 * max((p["bpp"] for p in points), default=0.75))
    for i, (name, curve) in enumerate(classic.items()):
        shown = sorted((p for p in curve if p["bpp"] <= limit), key=lambda p: p["bpp"])
        if not shown:
            continue
        color = SERIES[1 + i % 4]
        xs, ys = [p["bpp"] for p in shown], [p[quality] for p in shown]
        line = "-" if i < 4 else "--"  # the colours begin again
        ax.plot(xs, ys, line, color=color, linewidth=1.6, marker="o", markersize=2.5, label=name)
    for i, (name, curve) in enumerate(learned.items()):
        curve = sorted(curve, key=lambda p: p["bpp"])
        xs, ys = [p["bpp"] for p in curve], [p[quality] for p in curve]
        style = {"marker": "osD^v"[i % 5], "markersize": 8 if i == 0 else 6, "alpha": 1 if i == 0 else 0.75}
        ax.plot(xs, ys, color=SERIES[0], linewidth=2.2, zorder=5, label=name, **style)
    labels = {"psnr_db": "PSNR, dB (RGB, mean over pictures)", "ms_ssim_db": "MS-SSIM, dB: −10 log10(1 − x)"}
    ax.set_xlabel("bits per pixel", color=INK, fontsize=9)
    ax.set_ylabel(labels.get(quality, quality), color=INK, fontsize=9)
    ax.set_xlim(left=0, right=limit)
    ax.legend(frameon=False, labelcolor=INK, fontsize=9, loc="lower right")


def history(rows: Sequence[Mapping[str, float]]) -> str:
    """Training and validation values over steps as SVG, one panel a quantity; empty where nothing can be drawn.

    Args:
      rows: dicts with "step", quantities ("loss", "bpp", ...) and the same with "val_" in front.
    """
    first = ("loss", "bpp", "psnr", "f1", "accuracy")
    names = {k for row in rows for k, v in row.items() if isinstance(v, int | float)}
    names = {n.removeprefix("val_") for n in names} - {"step", "mse", "learning_rate", "seconds", "epoch", "phase"}
    shown = [n for n in first if n in names] + sorted(names - set(first))
    shown = shown[:4]
    if not shown or not rows:
        return ""
    units = {"bpp": "bits per pixel (estimated)", "psnr": "PSNR, dB", "loss": "loss",
             "f1": "challenge F1"}  # fmt: skip
    fig, panels = axes((3.5 * max(len(shown), 2), 2.7), len(shown))
    for ax, name in zip(panels, shown, strict=True):
        for key, label, style in ((name, "training", {"alpha": 0.75, "linewidth": 1.3, "color": SERIES[1]}),
                                  (f"val_{name}", "validation", {"linewidth": 2, "color": SERIES[0]})):  # fmt: skip
            points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
            if points:
                xs, ys = zip(*points, strict=True)
                ax.plot(xs, ys, label=label, marker="o", markersize=3 if len(points) < 40 else 0, **style)
        ax.set_title(units.get(name, name), color=INK, fontsize=10, loc="left")
        ax.set_xlabel("step", color=INK, fontsize=9)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.0f}"))
    panels[0].legend(frameon=False, labelcolor=INK, fontsize=9)
    return to_svg(fig, "history")


def calibration(bins: Sequence[Mapping[str, float]]) -> str:
    """Share of right answers over confidence as SVG, one mark a bin with an area for its examples; "" without bins."""
    if not bins:
        return ""
    fig, (ax,) = axes((3.6, 3.2))
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1.5)
    most = max(b["count"] for b in bins)
    ax.scatter([b["confidence"] for b in bins], [b["accuracy"] for b in bins],
               s=[20 + 180 * b["count"] / most for b in bins], color=SERIES[0], zorder=3)  # fmt: skip
    ax.set_xlabel("confidence", color=INK, fontsize=9)
    ax.set_ylabel("share of right answers", color=INK, fontsize=9)
    return to_svg(fig, "calibration")
