"""What the report shows of a codec that draws what it does not keep: perception beside distortion, and pictures."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from components.evaluation import classic, rate_distortion
from components.evaluation.perception import Judge
from components.report import plots
from components.report.markup import counted, template
from components.report.section import Run, Section
from components.report.sections.rate_distortion import busiest, choose_pictures, data_uri
from components.serving import released_model
from components.serving.served_codec import ServedCodec, png

WARNING = (
    "Content is synthesised: what these pictures show need not have been there. They must not be used as evidence, to "
    "identify a person, to read a text or a number, or for a measurement."
)
RELEASED = "edic"  # of our codecs, the one that is shown beside
_SHOWN = 3
# From the lowest quality: these codecs reach the rates of generative ones there, if at all.
_SETTINGS = {"JPEG": (1, 3, 5, 10, 20, 35), "WebP": (0, 2, 5, 15, 30, 50), RELEASED: (0, 8, 20, 40)}
_HTML = """\
<section><h2>Perception and distortion</h2>
<p class="warning">{{ warning }}</p>
{% if rows %}<div class="split"><figure>{{ plot|safe }}</figure>
<div><table><thead><tr><th>codec<th class="n">bpp<th class="n">PSNR, dB<th class="n">FD<th class="n">sharpness</thead>
<tbody>{% for r in rows %}<tr><td>{{ r.name }}<div class="faint">{{ r.about }}</div><td class="n">{{ r.bpp }}<td class="n">{{ r.psnr }}<td class="n">{{ r.fd }}<td class="n">{{ r.sharpness }}{% endfor %}</tbody></table>
<p class="caption">Each codec took, of each of the same {{ count }}, its best file in at most as many bytes as this model's stream; where its lowest quality needs more, that one, and its rate is higher. FD is the Frechet distance between features of the pictures and of the originals, by a small network of this project: the lower, the more alike the two sets look; no FID, and comparable on this page alone.{{ few }} Sharpness is gradient energy over the original's: below 1 is blurred. Of {{ released }} four low qualities are tried. In the drawing FD is on a logarithmic scale, and the ends of curves say their bits per pixel.</p></div></div>
<h3>At equal size of file</h3>
{% for p in pictures %}<h4>{{ p.key }} <span class="faint">{{ p.width }} × {{ p.height }} pixels</span></h4>
<div class="row">{% for c in p.columns %}<figure><img src="{{ c.src }}" alt="{{ c.title }}, {{ p.key }}"><figcaption><b>{{ c.title }}</b><br>{{ c.text }}</figcaption></figure>{% endfor %}</div>{% endfor %}
<p class="caption">Crops of at most 256 × 256 pixels, where the picture has most detail.</p>
{% else %}<p class="missing">No picture was coded in this run, so there is nothing to compare.</p>{% endif %}</section>

<section><h2>Model card</h2>
<table class="narrow"><tbody>
<tr><th>what it does<td>{{ summary }}
<tr><th>what it must not be used for<td>{{ warning }}
<tr><th>how it is judged<td>by distortion and by the distribution of features; neither says that a detail is true
</tbody></table></section>
"""  # noqa: E501


class Perception(Section):
    """Measured on the first pictures of the test split."""

    what = "perception"
    evaluation_about = (
        "Over the test split, from the exported model, which really codes and decodes. FD is a Frechet distance of "
        "features of a small network of this project, no FID; sharpness is gradient energy over the original's."
    )

    def measure(self, run: Run) -> dict[str, Any]:
        """As of the function `measure`."""
        return measure(run)

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """The warning, the plot beside the table, pictures at equal size, and the card."""
        summary = data.get("summary") or data.get("recipe", "")
        if not measured:
            return template(_HTML).render(warning=WARNING, summary=summary, rows=[])
        few = " There are too few pictures for one here." if np.isnan(_fd(measured["equal"]["this model"])) else ""
        return template(_HTML).render(
            warning=WARNING, summary=summary, plot=_plot(measured), rows=list(_rows(measured)), few=few,
            released=RELEASED,
            count=counted(measured["count"], "picture"), pictures=[_picture(p) for p in measured["pictures"]],
        )  # fmt: skip

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """FD of the model and of the others at its size of file."""
        if not measured:
            return []
        found = list(_rows(measured))
        return [(f"FD, {r['name']}, {r['bpp']} bpp", r["fd"]) for r in found]

    def lines(self, measured: Mapping[str, Any] | None) -> list[str]:
        """The warning."""
        del measured
        return [WARNING]


SECTION = Perception()


@dataclasses.dataclass(frozen=True)
class _Peer:
    """A codec beside the model: its name, its qualities from the lowest, and (picture, quality) -> (file, decoded)."""

    name: str
    qualities: Sequence[int]
    code: Callable[[np.ndarray, int], tuple[bytes, np.ndarray]]
    best: Callable[[np.ndarray, int], bytes] | None = None  # in so many bytes, if qualities are many


def measure(run: Run) -> dict[str, Any]:
    """Measures the model, the classic codecs and the released one on the first pictures of record files.

    Returns:
      "count"; "curves": codec -> points of `components.evaluation.perception.Judged` over its low qualities; "equal":
      codec -> point at the model's sizes of file, the model's own as "this model"; "over": codec -> how many pictures
      it cannot code in as few bytes; "pictures": key, sides, and of each codec its crop, bytes and PSNR. FD is None
      where it is not defined.

    Raises:
      ServedCodecError: the model cannot be loaded or refuses a picture.
      FileNotFoundError: no record files, or no picture in them.
    """
    keys, pictures = choose_pictures(run.files, run.count)
    if not pictures:
        raise FileNotFoundError("the test split holds no picture")
    codec, judge = ServedCodec(run.model_dir), Judge(pictures)
    streams = [codec.compress(png(picture)) for picture in pictures]
    own = [classic.decode(codec.decompress(stream)) for stream in streams]
    sizes = [len(stream) for stream in streams]
    at_size, curves, over = {"this model": (own, sizes)}, {}, {}
    for peer in _peers(run):
        found = run.notes.attempt(peer.name, lambda p=peer: _compared(p, pictures, sizes, judge))
        if found:
            curves[peer.name], at_size[peer.name], over[peer.name] = found
    return {
        "count": len(pictures), "curves": curves, "over": over,
        "equal": {name: _point(judge(*files)) for name, files in at_size.items()},
        "pictures": [_shown(n, keys[n], pictures[n], at_size) for n in range(min(_SHOWN, len(pictures)))],
    }  # fmt: skip


def _peers(run: Run) -> list[_Peer]:
    """The classic codecs, and the released one if it can be prepared."""

    def classic_peer(codec: classic.ClassicCodec) -> _Peer:
        def code(picture, quality):
            encoded = codec.encode(picture, quality)
            return encoded, classic.decode(encoded)

        qualities = _SETTINGS[codec.name]
        return _Peer(codec.name, qualities, code, lambda p, size: classic.of_size(codec, p, size, qualities[0]))

    peers = [classic_peer(codec) for codec in (classic.JPEG, classic.WEBP)]
    if run.recipe != RELEASED:
        served = run.notes.attempt(RELEASED, lambda: ServedCodec(released_model.directory_of(RELEASED)))
        if served:

            def code(picture, quality):
                stream = served.compress(png(picture), quality)
                return stream, classic.decode(served.decompress(stream))

            peers.append(_Peer(RELEASED, _SETTINGS[RELEASED], code))
    return peers


def _compared(peer: _Peer, pictures: Sequence[np.ndarray], sizes: Sequence[int], judge: Judge):
    """A codec's curve, (decoded pictures, bytes) at the given sizes of file, and how many pictures need more."""
    coded = [[peer.code(picture, quality) for quality in peer.qualities] for picture in pictures]
    curve = [_point(judge(*_columns(files))) for files in zip(*coded, strict=True)]
    chosen = []
    for picture, size, files in zip(pictures, sizes, coded, strict=True):
        if peer.best:
            best = peer.best(picture, size)
            chosen.append((best, classic.decode(best)))
        else:
            fit = [file for file in files if len(file[0]) <= size]
            chosen.append(max(fit, key=lambda f: len(f[0])) if fit else min(files, key=lambda f: len(f[0])))
    decoded, used = _columns(chosen)
    return curve, (decoded, used), sum(has > most for has, most in zip(used, sizes, strict=True))


def _columns(files: Sequence[tuple[bytes, np.ndarray]]) -> tuple[list[np.ndarray], list[int]]:
    return [decoded for _, decoded in files], [len(encoded) for encoded, _ in files]


def _point(judged) -> dict[str, float | None]:
    """As JSON has it."""
    return {name: None if np.isnan(value) else value for name, value in dataclasses.asdict(judged).items()}


def _fd(point: Mapping[str, float | None]) -> float:
    return np.nan if point["fd"] is None else point["fd"]


def _shown(n: int, key: str, original: np.ndarray, at_size: Mapping[str, tuple]) -> dict[str, Any]:
    window = busiest(original)
    columns = [{"title": "original", "src": data_uri(original[window]), "bytes": None, "psnr_db": None}]
    for name, (decoded, sizes) in at_size.items():
        psnr_db = rate_distortion.psnr_db(original, decoded[n])
        columns.append({"title": name, "src": data_uri(decoded[n][window]), "bytes": sizes[n], "psnr_db": psnr_db})
    return {"key": key, "height": original.shape[0], "width": original.shape[1], "columns": columns}


def _picture(picture: Mapping[str, Any]) -> dict[str, Any]:
    size = next(c["bytes"] for c in picture["columns"] if c["title"] == "this model")

    def text(column):
        if column["bytes"] is None:
            return "before any coding"
        more = ", its lowest quality" if column["bytes"] > size else ""
        return f"{column['bytes']:,} bytes{more} · {column['psnr_db']:.2f} dB"

    return {**picture, "columns": [{**c, "text": text(c)} for c in picture["columns"]]}


def _rows(measured: Mapping[str, Any]):
    """A row a codec, the model first."""
    for name, point in measured["equal"].items():
        over = measured["over"].get(name, 0)
        about = f"{over} of {measured['count']} need more bytes even at the lowest quality" if over else ""
        fd = "–" if point["fd"] is None else f"{point['fd']:.2f}"
        yield {"name": name, "about": about, "bpp": f"{point['bpp']:.4f}", "psnr": f"{point['psnr_db']:.2f}", "fd": fd,
               "sharpness": f"{point['sharpness']:.2f}"}  # fmt: skip


def _plot(measured: Mapping[str, Any]) -> str:
    """FD over PSNR, a curve a codec, its points labelled with their rates; "" where FD is not defined."""
    own = measured["equal"]["this model"]
    if own["fd"] is None:
        return ""
    fig, (ax,) = plots.axes((6.4, 4.3))
    for i, (name, curve) in enumerate(measured["curves"].items()):
        color = plots.SERIES[1 + i % 4]
        ax.plot([p["psnr_db"] for p in curve], [p["fd"] for p in curve], color=color, linewidth=1.6, marker="o",
                markersize=3, label=name)  # fmt: skip
        _label(ax, curve, color)
    ax.plot([own["psnr_db"]], [own["fd"]], color=plots.SERIES[0], marker="o", markersize=9, linestyle="none", zorder=5,
            label="this model")  # fmt: skip
    _label(ax, [own], plots.SERIES[0])
    ax.set_xlabel("PSNR, dB (distortion falls to the right)", color=plots.INK, fontsize=9)
    ax.set_ylabel("FD (lower looks more alike)", color=plots.INK, fontsize=9)
    ax.set_yscale("log")  # from pictures as they are to noise FD grows a thousandfold
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:g}"))
    ax.legend(frameon=False, labelcolor=plots.INK, fontsize=9, loc="upper right")
    return plots.to_svg(fig, "perception-distortion")


def _label(ax, curve: Sequence[Mapping[str, float]], color: str) -> None:
    """Says the rates of a curve's ends."""
    for point in curve[:: max(1, len(curve) - 1)]:
        ax.annotate(f"{point['bpp']:.2g}", (point["psnr_db"], point["fd"]), xytext=(4, 4), textcoords="offset points",
                    color=color, fontsize=8)  # fmt: skip
