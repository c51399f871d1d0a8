"""What the report shows of a lossless codec: its rate beside the classic ones', by scale, and where bits go."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from components.evaluation import classic_lossless
from components.report.markup import counted, template
from components.report.section import Cards, Run, Section
from components.report.sections.rate_distortion import busiest, choose_pictures, data_uri
from components.serving.served_codec import ServedCodec, png
from models.publishing import pushed

_HTML = """\
<section><h2>Bits per sub-pixel</h2>
{% if rows %}<table><thead><tr><th>codec<th class="n">bits per sub-pixel<th class="n">this model takes</thead>
<tbody>{% for r in rows %}<tr><td>{{ r.name }}<div class="faint">{{ r.about }}</div><td class="n">{{ r.rate }}<td class="n {{ r.kind }}">{{ r.change }}{% endfor %}</tbody></table>
<p class="caption">All codecs coded the same {{ count }} in this run, without loss: every value was read back and compared. Every byte of the file or stream counts; means of the pictures' values. A picture whose PNG is smaller is kept as that ({{ kept }} here).</p>
{% if scales %}<h3>By scale</h3><table><thead><tr><th>values<th class="n">bits per sub-pixel<th class="n">of all</thead>
<tbody>{% for s in scales %}<tr><td>{{ s.name }}<td class="n">{{ s.rate }}<td class="n">{{ s.share }}{% endfor %}</tbody></table>
<p class="caption">What the model expects of its own values; the coder adds {{ overhead }}.</p>{% endif %}
{% if maps %}<h3>Where bits go</h3><div class="row">{% for m in maps %}<figure><img src="{{ m.picture }}" alt="{{ m.key }}"><img src="{{ m.bits }}" alt="bits of {{ m.key }}"><figcaption><b>{{ m.key }}</b><br>a pixel takes {{ m.mean }} bits in the mean; white are {{ m.most }} and more</figcaption></figure>{% endfor %}</div>{% endif %}
{% else %}<p class="missing">No picture was coded in this run, so there is nothing to compare.</p>{% endif %}</section>
"""  # noqa: E501
_SHOWN = 2  # pictures whose bits are drawn
_BRIGHTEST = 24.0  # bits a pixel that are drawn white: those of the pixel as it is


class Lossless(Section):
    """Measured on the first pictures of the test split."""

    what = "pictures"
    training_about = "Bits per sub-pixel that the model expects, of crops: all, of the pixels (0) and of each scale."
    evaluation_about = "Means over the test split, measured by the signature that really codes and decodes."

    def measure(self, run: Run) -> dict[str, Any]:
        """As of the function `measure`."""
        return measure(run.model_dir, run.files, run.count)

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """The table of codecs, of scales, and the pictures."""
        if not measured:
            return template(_HTML).render(rows=[])
        total = measured["estimated"]
        scales = [
            {"name": _name(n, len(measured["scales"])), "rate": f"{rate:.3f}", "share": f"{100 * rate / total:.1f} %"}
            for n, rate in enumerate(measured["scales"])
        ]
        maps = [m | {"mean": f"{m['mean']:.2f}", "most": f"{_BRIGHTEST:g}"} for m in measured["maps"]]
        return template(_HTML).render(
            rows=_rows(measured), count=counted(measured["count"], "picture"), kept=measured["kept"], scales=scales,
            maps=maps, overhead=f"{100 * (measured['coded'] / total - 1):.2f} %",
        )  # fmt: skip

    def cards(self, measured: Mapping[str, Any] | None, values: Mapping[str, float], examples: int | None) -> Cards:
        """The rate, and what it is against WebP's."""
        cards = []
        if "bpsp" in values:
            cards.append({"label": "Rate", "value": f"{values['bpsp']:.3f}", "unit": "bpsp", "about": "of the streams"})
        if measured:
            change = 100 * (measured["rate"] / measured["classic"]["WebP"] - 1)
            shown = f"{change:+.1f}".replace("-", "−")
            cards.append({"label": "Against WebP", "value": shown, "unit": "%", "about": "lossless, method 6"})
        count = f" ({counted(examples, 'example')})" if examples else ""
        return Cards(cards, f"Bits per sub-pixel: means over the test split{count}.")

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """The rates of all codecs."""
        return [(f"{r['name']}, bits per sub-pixel", r["rate"]) for r in _rows(measured)] if measured else []


SECTION = Lossless()


def measure(model_dir: str, files: Sequence[str], count: int) -> dict[str, Any]:
    """Measures a pushed lossless codec and the classic ones on the first pictures of record files.

    Args:
      model_dir: SavedModel. files: record files. count: how many pictures at most.

    Returns:
      "count"; "rate": mean bits per sub-pixel of the streams; "kept": pictures that are kept as a PNG; "coded" and
      "estimated": of the codec itself, what it takes and what the model expects; "scales": the latter by scale, the
      pixels first; "classic": name -> rate; "maps": keys, crops and where their bits go.

    Raises:
      ServedCodecError: the model cannot be loaded or refuses a picture.
      FileNotFoundError: no record files.
      ValueError: a picture came back as another.
    """
    keys, pictures = choose_pictures(files, count)
    if not pictures:
        raise FileNotFoundError("the test split holds no picture")
    from models.entropy.coder import header

    codec, rates, kept, numbers = ServedCodec(model_dir), [], 0, []
    for key, picture in zip(keys, pictures, strict=True):
        stream = codec.compress(png(picture))
        if not np.array_equal(_decoded(codec.decompress(stream)), picture):
            raise ValueError(f"{key} came back as another picture")
        rates.append(classic_lossless.bits_per_sub_pixel(len(stream), picture))
        kept += header.is_stored(stream)
        numbers.append(codec.numbers(picture))
    mean = {name: float(np.mean([n[name] for n in numbers])) for name in numbers[0]}
    scales = [mean[name] for name in sorted(mean) if name.startswith("estimated_bpsp_")]
    return {
        "count": len(pictures), "rate": float(np.mean(rates)), "kept": kept, "coded": mean["bpsp"],
        "estimated": mean["estimated_bpsp"], "scales": scales, "classic": classic_lossless.rates(pictures),
        "maps": maps(model_dir, keys[:_SHOWN], pictures[:_SHOWN]),
    }  # fmt: skip


def maps(model_dir: str, keys: Sequence[str], pictures: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """The busiest crops of pictures and what the model expects each pixel of them to take; none if it cannot say."""
    recipe, config, model = pushed.load(model_dir)
    payload = recipe.signatures(model, config).payload
    if not hasattr(payload, "bit_maps"):
        return []
    found = []
    for key, picture in zip(keys, pictures, strict=True):
        crop = picture[busiest(picture)]
        bits = np.asarray(payload.bit_maps(crop))
        drawn = np.repeat(np.clip(255 * bits / _BRIGHTEST, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
        found.append({"key": key, "picture": data_uri(crop), "bits": data_uri(drawn), "mean": float(bits.mean())})
    return found


def _decoded(image_bytes: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(image_bytes)) as image:
        return np.asarray(image.convert("RGB"))


def _rows(measured: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a codec, this one first: name, about, rate, how much more or less this model takes."""
    rows = [{"name": "this model", "about": "", "rate": f"{measured['rate']:.3f}", "change": "", "kind": ""}]
    for name, rate in measured["classic"].items():
        change = 100 * (measured["rate"] / rate - 1)
        rows.append({
            "name": name, "about": classic_lossless.CODECS[name][0], "rate": f"{rate:.3f}",
            "change": f"{change:+.1f} %".replace("-", "−"), "kind": "good" if change < 0 else "bad",
        })  # fmt: skip
    return rows


def _name(scale: int, count: int) -> str:
    if scale == 0:
        return "pixels"
    return f"scale {scale}, sides divided by {2**scale}" + (" (uniform)" if scale == count - 1 else "")
