"""What the report shows of a codec: the model and the classic codecs on the same pictures of the test split."""

import base64
import dataclasses
import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from components.evaluation import classic, rate_distortion
from components.report import plots
from components.report.markup import counted, number, template
from components.report.section import Cards, Run, Section
from components.serving import served_codec
from models.publishing import pushed

CROP = 256  # pixels, side of the crops that are shown
_PIXEL_BUDGET = 4_000_000  # of all pictures together: the classic encoders need about 2 s a megapixel for their curves
_SETTINGS = slice(0, 7)  # of the classic codecs; the higher ones lie outside the plot
_HTML = """\
<section><h2>Rate and distortion</h2>
{% if plot %}<div class="split"><figure>{{ plot|safe }}</figure>
<div><table><thead><tr><th>codec<th class="n">bpp for {{ rates.quality }} dB<th class="n">this model needs</thead>
<tbody>{% for r in rates.rows %}<tr><td>{{ r.name }}<div class="faint">{{ r.about }}</div><td class="n">{{ r.bpp }}<td class="n {{ r.kind }}">{{ r.change }}{% endfor %}</tbody></table>
<p class="caption">All codecs coded the same {{ measured_count }} in this run; every byte of the file or stream counts. PSNR is over RGB, the mean of the pictures' values. A classic codec's rate is interpolated on its curve at this model's PSNR.</p></div></div>
{% else %}<p class="missing">No picture was coded in this run, so there is nothing to compare.</p>{% endif %}</section>

<section><h2>Pictures</h2>
{% if pictures %}
{% for p in pictures %}<h3>{{ p.rank }} <span class="faint">{{ p.key }} · {{ p.width }} × {{ p.height }} pixels</span></h3>
<div class="row">{% for c in p.columns %}<figure><img src="{{ c.src }}" alt="{{ c.title }}, {{ p.key }}"><figcaption><b>{{ c.title }}</b><br>{{ c.text }}</figcaption></figure>{% endfor %}</div>{% endfor %}
<p class="caption">Crops of at most 256 × 256 pixels, where the picture has most detail. The JPEG is the best one in at most as many bytes as the model's stream; where even quality 1 needs more, that one.</p>
<details><summary>All measured pictures</summary><div class="scroll"><table><thead><tr><th>picture<th class="n">bpp<th class="n">PSNR, dB<th class="n">MS-SSIM</thead>
<tbody>{% for p in each %}<tr><td>{{ p.key }}{% for v in p["values"] %}<td class="n">{{ v }}{% endfor %}{% endfor %}</tbody></table></div></details>
{% else %}<p class="missing">No picture was coded in this run.</p>{% endif %}</section>
"""  # noqa: E501


class RateDistortion(Section):
    """Measured on the first pictures of the test split, with the versions that were pushed before."""

    what = "pictures"
    training_about = (
        "Training values are of noisy latents on crops, validation values of rounded latents on the validation split."
    )
    evaluation_about = (
        "Means over the test split, measured by the signature that really codes and decodes. “estimated” is what the "
        "model's own probabilities promise."
    )

    def measure(self, run: Run) -> dict[str, Any]:
        """As of the function `measure`; "earlier": "version" and mean point of older pushes, newest first."""
        measured = measure(run.model_dir, run.files, run.count)
        measured["earlier"] = []
        for version in earlier_versions(pathlib.Path(run.pushed), run.recipe) if run.pushed else ():
            title = f"version {version.name}"
            point = run.notes.attempt(title, lambda v=version: measure_mean(str(v), run.files, run.count))
            measured["earlier"] += [{"version": version.name, **point}] if point else []
        return measured

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """The plot beside the rates at equal quality, and the pictures."""
        found = measured or {}
        return template(_HTML).render(
            plot=_plot(found, data["recipe"]) if found else "",
            rates=rates(found) if found else None,
            measured_count=counted(len(found.get("each", ())), "picture"),
            pictures=[_picture(p) for p in found.get("pictures", ())],
            each=[{"key": p["key"], "values": _point(p)} for p in found.get("each", ())],
        )

    def cards(self, measured: Mapping[str, Any] | None, values: Mapping[str, float], examples: int | None) -> Cards:
        """Rate, quality, what coding adds to the estimate, and the rate against JPEG's at equal quality."""
        about = ""
        if values:
            count = f" ({counted(examples, 'example')})" if examples else ""
            how = ", from streams that were really written and read" if "bpp" in values else ""
            about = f"Means over the test split{count}{how}."
        elif measured:
            values = measured["mean"]
            about = f"Means over {counted(len(measured['each']), 'picture')} of the test split."
        return Cards(_value_cards(values) + (_jpeg_cards(measured) if measured else []), about)


SECTION = RateDistortion()


def choose_pictures(files: Sequence[str], count: int) -> tuple[list[str], list[np.ndarray]]:
    """The first `count` pictures of record files, fewer where they are large; at least one.

    Returns:
      Keys, and pictures as uint8 [H, W, 3].
    """
    from models.records import pictures as picture_records

    keys, pictures, pixels = [], [], 0
    for record in picture_records.records(files):
        features = picture_records.parse(record)
        size = int(features[picture_records.HEIGHT] * features[picture_records.WIDTH])
        if pictures and pixels + size > _PIXEL_BUDGET:
            continue
        pixels += size
        keys.append(features[picture_records.ID].numpy().decode("utf-8", "replace"))
        pictures.append(picture_records.decode(features[picture_records.ENCODED]).numpy())
        if len(pictures) == count:
            break
    return keys, pictures


def busiest(picture: np.ndarray, side: int = CROP) -> tuple[slice, slice]:
    """The square of `side` pixels (less in a smaller picture) with the most detail of uint8 [H, W, 3]."""
    grey = picture.astype(np.float32).mean(axis=2)
    detail = np.abs(np.diff(grey, axis=0, append=grey[-1:])) + np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    sums = np.pad(detail.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))
    height, width = (min(side, n) for n in grey.shape)
    tops = np.arange(0, grey.shape[0] - height + 1, 16)
    lefts = np.arange(0, grey.shape[1] - width + 1, 16)[:, np.newaxis]
    bottoms, rights = tops + height, lefts + width
    total = sums[bottoms, rights] - sums[tops, rights] - sums[bottoms, lefts] + sums[tops, lefts]
    left, top = np.unravel_index(total.argmax(), total.shape)
    top, left = int(tops[top]), int(lefts[left, 0])
    return slice(top, top + height), slice(left, left + width)


def data_uri(picture: np.ndarray) -> str:
    """uint8 [H, W, 3] as a lossless picture inside a URI."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def shown(
    key: str, rank: str, original: np.ndarray, decoded: np.ndarray, point: rate_distortion.Point
) -> dict[str, Any]:
    """One picture of the page: crops of the original, of what the model and what JPEG makes of it at the same size.

    Args:
      rank: why it is shown ("best", "median", "worst"). original, decoded: uint8 [H, W, 3].
    """
    height, width, _ = original.shape
    encoded = classic.jpeg_of_size(original, round(point.bpp * height * width / 8))
    jpeg = classic.decode(encoded)
    window = busiest(original)
    return {
        "key": key, "rank": rank, "height": height, "width": width,
        "model": dataclasses.asdict(point),
        "jpeg": dataclasses.asdict(rate_distortion.compare(original, jpeg, len(encoded))),
        "crops": {n: data_uri(p[window]) for n, p in (("original", original), ("model", decoded), ("jpeg", jpeg))},
    }  # fmt: skip


def measure(model_dir: str, files: Sequence[str], count: int) -> dict[str, Any]:
    """Measures a pushed codec and the classic ones on the first pictures of record files.

    Args:
      model_dir: SavedModel. files: record files. count: how many pictures at most.

    Returns:
      "each": a point for every picture with its key; "mean": their mean; "classic": name -> [{"bpp", "psnr_db"}];
      "about": name -> encoder settings; "pictures": best, median and worst by PSNR, with crops.

    Raises:
      ServedCodecError: the model cannot be loaded or refuses a picture.
      FileNotFoundError: no record files.
    """
    keys, pictures = choose_pictures(files, count)
    if not pictures:
        raise FileNotFoundError("the test split holds no picture")
    codec = served_codec.ServedCodec(model_dir)
    results = [codec.measure(picture) for picture in pictures]
    order = sorted(range(len(pictures)), key=lambda i: -results[i][0].psnr_db)
    # With fewer than three pictures the same one would be shown under several titles.
    ranks = {order[0]: "best", order[-1]: "worst"} | {order[len(order) // 2]: "median"}
    ranks = {i: ranks[i] for i in order if i in ranks}
    return {
        "each": [{"key": k, **dataclasses.asdict(p)} for k, (p, _) in zip(keys, results, strict=True)],
        "mean": dataclasses.asdict(rate_distortion.mean(p for p, _ in results)),
        "classic": {c.name: _curve(c, pictures) for c in classic.CODECS},
        "about": {c.name: c.about for c in classic.CODECS},
        "pictures": [shown(keys[i], rank, pictures[i], *results[i][::-1]) for i, rank in ranks.items()],
    }


def _curve(codec: classic.ClassicCodec, pictures: Sequence[np.ndarray]) -> list[dict[str, float]]:
    short = dataclasses.replace(codec, settings=codec.settings[_SETTINGS])
    points = rate_distortion.classic_curve(short, pictures, structural=False)
    return [{"bpp": p.bpp, "psnr_db": p.psnr_db} for p in points]


def measure_mean(model_dir: str, files: Sequence[str], count: int) -> dict[str, float]:
    """The mean point of another model on the pictures that `measure` takes; raises as it does."""
    _, pictures = choose_pictures(files, count)
    codec = served_codec.ServedCodec(model_dir)
    return dataclasses.asdict(rate_distortion.mean(codec.measure(p)[0] for p in pictures))


def earlier_versions(model_dir: pathlib.Path, recipe: str, limit: int = 3) -> Iterator[pathlib.Path]:
    """Version folders beside a pushed model, newest first: older pushes of the same recipe."""
    older = [p for n, p in reversed(pushed.versions(model_dir.parent).items()) if n < int(model_dir.name)]
    yield from [p for p in older if served_codec.describe(p).get("recipe") == recipe][:limit]


def _value_cards(values: Mapping[str, float]) -> list[dict[str, str]]:
    cards = []
    if "bpp" in values:
        rate = f"{values['bpp']:.3f}"
        cards.append({"label": "Rate", "value": rate, "unit": "bpp", "about": "all bytes of the stream"})
    if "psnr_db" in values:
        cards.append({"label": "PSNR", "value": number(values["psnr_db"]), "unit": "dB", "about": "RGB, peak 255"})
    if "ms_ssim" in values:
        cards.append({"label": "MS-SSIM", "value": f"{values['ms_ssim']:.4f}", "unit": "", "about": "1 is identical"})
    if values.get("estimated_bpp") and "bpp" in values:
        excess = 100 * (values["bpp"] / values["estimated_bpp"] - 1)
        told = f"estimated {values['estimated_bpp']:.3f} bpp"
        shown = f"{excess:+.2f}".replace("-", "−")
        cards.append({"label": "Real over estimated", "value": shown, "unit": "%", "about": told})
    return cards


def _jpeg_cards(measured: Mapping[str, Any]) -> list[dict[str, str]]:
    changes = [row["change"] for row in rates(measured)["rows"] if row["name"] == "JPEG" and row["change"] != "–"]
    return [
        {"label": "Against JPEG", "value": change.removesuffix(" %"), "unit": "%", "about": "rate at equal PSNR"}
        for change in changes
    ]


def _plot(measured: Mapping[str, Any], recipe: str) -> str:
    learned = {f"{recipe}, this run": [measured["mean"]]}
    if measured.get("earlier"):
        learned["earlier pushes"] = measured["earlier"]
    fig, (ax,) = plots.axes((6.4, 4.3))
    plots.rate_distortion(ax, measured["classic"], learned)
    return plots.to_svg(fig, "rate-distortion")


def rates(measured: Mapping[str, Any]) -> dict[str, Any]:
    """What each classic codec needs for the model's PSNR, and how much more or less the model needs.

    Args:
      measured: "mean", "classic" and "about" of `measure`.

    Returns:
      "quality", the model's PSNR in dB, and "rows" of texts, the last of them the model's.
    """
    mean = measured["mean"]
    rows = []
    for name, curve in measured["classic"].items():
        rate = rate_distortion.rate_at([(p["bpp"], p["psnr_db"]) for p in curve], mean["psnr_db"])
        change = 100 * (mean["bpp"] / rate - 1) if rate else None
        rows.append({
            "name": name, "about": measured.get("about", {}).get(name, ""),
            "bpp": f"{rate:.3f}" if rate else "outside its curve",
            "change": "–" if change is None else f"{change:+.0f} %".replace("-", "−"),
            "kind": "" if change is None or abs(change) < 0.5 else "good" if change < 0 else "bad",
        })  # fmt: skip
    rows.append({"name": "this model", "about": "", "bpp": f"{mean['bpp']:.3f}", "change": "", "kind": ""})
    return {"quality": f"{mean['psnr_db']:.2f}", "rows": rows}


def _picture(picture: Mapping[str, Any]) -> dict[str, Any]:
    def told(point: Mapping[str, float]) -> str:
        return f"{point['bpp']:.3f} bpp · {point['psnr_db']:.2f} dB · MS-SSIM {point['ms_ssim']:.4f}"

    columns = [{"title": "original", "src": picture["crops"]["original"], "text": "24 bpp before any coding"}]
    for title, key in (("this model", "model"), ("JPEG", "jpeg")):
        columns.append({"title": title, "src": picture["crops"][key], "text": told(picture[key])})
    rank = {"best": "Best PSNR", "median": "Median", "worst": "Worst PSNR"}.get(picture["rank"], picture["rank"])
    return {**picture, "rank": rank, "columns": columns}


def _point(point: Mapping[str, float]) -> list[str]:
    return [f"{point['bpp']:.4f}", f"{point['psnr_db']:.2f}", f"{point['ms_ssim']:.4f}"]
