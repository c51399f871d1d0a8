"""Where a codec with a map of importance spends its bits: over pictures, and by channel."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from components.report import plots
from components.report.markup import counted, number, template
from components.report.section import Run, Section
from components.report.sections.rate_distortion import choose_pictures, data_uri
from models.publishing import pushed

_SHOWN = 3  # pictures
_SIDE = 320  # pixels of the page, about, for the longer side of a picture
_HTML = """\
<section><h2>Where the bits go</h2>
{% if plot %}{% for p in pictures %}<div class="row">{% for c in p.columns %}<figure><img src="{{ c.src }}" alt="{{ c.title }}, {{ p.key }}" style="image-rendering:pixelated"><figcaption><b>{{ c.title }}</b><br>{{ c.text }}</figcaption></figure>{% endfor %}</div>{% endfor %}
<figure>{{ plot|safe }}</figure>
<p class="caption">Maps: each square is the 8 × 8 pixels of a latent; dark is nothing, light the most of the picture. Bits are what the context network expects; the map says how many channels are kept. Below: bits per pixel of each channel, and the share of places where the map keeps it, over {{ count }} of the test split.</p>
{% else %}<p class="missing">No picture was measured in this run.</p>{% endif %}</section>
"""  # noqa: E501


class Spending(Section):
    """Measured on the first pictures of the test split, by the float network."""

    what = "map of the bits"

    def measure(self, run: Run) -> dict[str, Any]:
        """ "pictures": the first ones with their maps as URIs; "channel_bpp" and "channel_kept": means over all."""
        _, _, model = pushed.load(run.model_dir)
        keys, pictures = choose_pictures(run.files, run.count)
        shown, bpp, kept = [], [], []
        for key, pixels in zip(keys, pictures, strict=True):
            bits, mask = spending(model, pixels)
            area = pixels.shape[0] * pixels.shape[1]
            bpp.append(bits.sum((0, 1)) / area)
            kept.append(mask.mean((0, 1)))
            if len(shown) < _SHOWN:
                shown.append({
                    "key": key, "bpp": float(bpp[-1].sum()), "channels": float(kept[-1].sum()),
                    "original": data_uri(_resized(pixels, Image.Resampling.BICUBIC)),
                    "bits": heat_map(bits.sum(-1)), "kept": heat_map(mask.sum(-1)),
                })  # fmt: skip
        return {"pictures": shown, "count": len(keys), "channel_bpp": np.mean(bpp, 0).tolist(),
                "channel_kept": np.mean(kept, 0).tolist()}  # fmt: skip

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """A row a picture, and the channels."""
        del data
        if not measured or not measured["count"]:
            return template(_HTML).render(plot="")
        rows = [
            {"key": p["key"], "columns": [
                {"title": "original", "src": p["original"], "text": p["key"]},
                {"title": "bits", "src": p["bits"], "text": f"{number(p['bpp'], 3)} bpp"},
                {"title": "channels kept", "src": p["kept"],
                 "text": f"{number(p['channels'], 3)} of {len(measured['channel_bpp'])} on average"},
            ]}
            for p in measured["pictures"]
        ]  # fmt: skip
        return template(_HTML).render(pictures=rows, plot=draw(measured), count=counted(measured["count"], "picture"))


SECTION = Spending()


def spending(model, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bits and mask of pixels uint8 [H, W, 3], float32 [h, w, K] each, by a model that has `spending`."""
    from models.layers.padding import pad_to_multiple

    x = pad_to_multiple(pixels.astype("float32")[None] / 255.0, model.stride)
    bits, mask = model.spending(x)
    return np.array(bits)[0], np.array(mask)[0]


def heat_map(values: np.ndarray) -> str:
    """[h, w], not negative, as a picture inside a URI: dark at zero, light at the largest."""
    scaled = values / max(float(values.max()), 1e-9)
    colours = np.rint(255 * matplotlib.colormaps["magma"](scaled)[..., :3]).astype("uint8")
    return data_uri(_resized(colours, Image.Resampling.NEAREST))


def _resized(pixels: np.ndarray, how: Image.Resampling) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = _SIDE / max(height, width)
    sides = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(Image.fromarray(pixels).resize(sides, how))


def draw(measured: Mapping[str, Any]) -> str:
    """Bits per pixel of each channel, and how often it is kept, as SVG."""
    fig, (bits, kept) = plots.axes((8.4, 2.6), columns=2)
    channels = np.arange(len(measured["channel_bpp"]))
    bits.bar(channels, measured["channel_bpp"], color=plots.SERIES[0], width=0.7)
    bits.set_ylabel("bits per pixel", color=plots.INK, fontsize=9)
    kept.bar(channels, measured["channel_kept"], color=plots.SERIES[1], width=0.7)
    kept.set_ylim(0, 1)
    kept.set_ylabel("share of places kept", color=plots.INK, fontsize=9)
    for ax in (bits, kept):
        ax.set_xlabel("channel", color=plots.INK, fontsize=9)
    return plots.to_svg(fig, "spending")
