"""What the report shows of a codec of clips: H.264 and H.265 on the same frames, all frames by themselves, the parts.

Written against the signatures `compress`, `compress_at` where there are several rates, `decompress`, and `flow` where a
model shows its motion; of parts the metrics of the evaluation whose names end in "_bpp".
"""

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from components.evaluation import rate_distortion
from components.report import video_plots
from components.report.markup import counted, number, template
from components.report.section import Cards, Run, Section
from components.report.sections.rate_distortion import busiest, data_uri
from components.video import classic_video, measured
from components.video.served_video import ServedVideo
from models.records import clips as clip_records
from models.records import pictures as picture_records

_PIXELS = 2_500_000  # of all frames together that are measured, but at least a group
_WINDOW = 192  # pixels, side of what is coded again and again for the bits of each frame, and of flows
_ALONE = "this model, every frame by itself"
_WHOLE = ("bpp", "estimated_bpp")
_HTML = """\
<section><h2>Rate and distortion of clips</h2>
{% if plot %}<figure>{{ plot|safe }}</figure>
<table><thead><tr><th>codec<th class="n">bpp for {{ quality }} dB<th class="n">this model needs</thead>
<tbody>{% for r in rows %}<tr><td>{{ r.name }}<div class="faint">{{ r.about }}</div><td class="n">{{ r.bpp }}<td class="n {{ r.kind }}">{{ r.change }}{% endfor %}</tbody></table>
<p class="caption">All codecs coded the same {{ frames }} of {{ clips }} of the test split in this run, an intra frame every {{ group }} frames; every byte of the streams counts, without a container. PSNR and MS-SSIM are over RGB, means over the frames. A classic codec's rate is interpolated on its curve at this model's PSNR; it codes YUV 4:2:0.</p>
{% else %}<p class="missing">No clip was coded in this run, so there is nothing to compare.</p>{% endif %}</section>
{% if plot %}
<section><h2>Along a group</h2><figure>{{ group_plot|safe }}</figure>
<p class="caption">Left: mean PSNR of the frames at each place of their groups. Right: what each frame of one group adds to its stream, on a window of {{ window }} pixels a side at most.</p>
{% if parts %}<table class="narrow"><thead><tr><th>part<th class="n">bpp<th class="n">share</thead><tbody>{% for p in parts %}<tr><td>{{ p.name }}<td class="n">{{ p.bpp }}<td class="n">{{ p.share }}{% endfor %}</tbody></table>
<p class="caption">Bits by part, means over the records that are measured here.</p>{% endif %}</section>
<section><h2>Frames</h2>
{% for p in pictures %}<h3>{{ p.title }}</h3><div class="row">{% for c in p.columns %}<figure><img src="{{ c.src }}" alt="{{ c.title }}, {{ p.title }}"><figcaption><b>{{ c.title }}</b><br>{{ c.text }}</figcaption></figure>{% endfor %}</div>{% endfor %}
<p class="caption">Crops of at most 256 × 256 pixels, where the frame has most detail. The H.264 is the largest of its curve in at most as many bits as the model's, else the smallest.</p>
{% if flow %}<figure><img src="{{ flow.src }}" alt="flow"></figure><p class="caption">Motion of frame {{ flow.frame }} from the one before: hue says the direction, strength the length, up to {{ flow.strongest }} pixels; white stands still.</p>{% endif %}
<details><summary>All measured frames</summary><div class="scroll"><table><thead><tr><th>frame<th class="n">PSNR, dB<th class="n">MS-SSIM</thead>
<tbody>{% for name, values in each %}<tr><td>{{ name }}{% for v in values %}<td class="n">{{ v }}{% endfor %}{% endfor %}</tbody></table></div></details></section>
{% endif %}"""  # noqa: E501


class Video(Section):
    """Measured on the first clips of the test split."""

    what = "clips"
    training_about = "Training values are of noisy latents on crops, validation values of the validation split."
    evaluation_about = (
        "Means over the records of the test split, each coded as one group, measured by the signature that really "
        "codes and decodes. “estimated” is what the model's own probabilities promise."
    )

    def measure(self, run: Run) -> dict[str, Any]:
        """ "clips": what was coded; "curve": points of the model with "quality"; "mean": that of its own quality;
        "alone": of groups of one frame; "classic", "about": of the classic codecs; "positions", "bits", "parts",
        "each", "pictures", "flow".

        Raises:
          ServedModelError: the model cannot be loaded or refuses frames. FileNotFoundError: no records.
        """
        codec = ServedVideo(run.model_dir)
        clips, records = choose(run.files, codec.group)
        if not clips:
            raise FileNotFoundError("the test split holds no clip")
        own = measured.learned(codec, clips, codec.group)
        classic = {c.name: _curve(c, clips, codec.group) for c in classic_video.CODECS}
        window = _window(clips[0].frames[: codec.group])
        return {
            "group": codec.group,
            "clips": [{"name": c.name, "frames": len(c.frames), "height": c.frames.shape[1],
                       "width": c.frames.shape[2], "rate": float(c.rate)} for c in clips],
            "mean": _point(own.point),
            "curve": _rates(codec, clips, own, int(run.config.get("rates", 1))),
            "alone": _point(measured.learned(codec, clips, 1).point),
            "classic": classic,
            "about": {c.name: c.about for c in classic_video.CODECS},
            "positions": own.positions(),
            "bits": measured.bits_by_frame(codec, window),
            "parts": run.notes.attempt("parts of the bits", lambda: _parts(codec, records)) or {},
            "each": {"psnr_db": own.psnr_db, "ms_ssim": own.ms_ssim},
            "pictures": _pictures(clips[0], own, codec.group),
            "flow": run.notes.attempt("flow", lambda: _flow(codec, window)),
        }  # fmt: skip

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """The curves and rates at equal quality; quality and bits along a group; frames and motion."""
        if not measured:
            return template(_HTML).render(plot="")
        learned = {f"{data['recipe']}, this run": measured["curve"], _ALONE: [measured["alone"]]}
        total = sum(measured["parts"].values())
        names = [f"{c['name']} {n}" for c in measured["clips"] for n in range(c["frames"])]
        each = zip(measured["each"]["psnr_db"], measured["each"]["ms_ssim"], strict=True)
        return template(_HTML).render(
            plot=video_plots.curves(measured["classic"], learned),
            group_plot=video_plots.along_group(measured["positions"], measured["bits"]),
            rows=_rows(measured), quality=f"{measured['mean']['psnr_db']:.2f}", group=measured["group"],
            frames=counted(len(names), "frame"), clips=counted(len(measured["clips"]), "clip"), window=_WINDOW,
            parts=[{"name": name.removesuffix("_bpp"), "bpp": f"{bpp:.4f}", "share": f"{100 * bpp / total:.1f} %"}
                   for name, bpp in measured["parts"].items() if total],
            pictures=measured["pictures"], flow=measured["flow"],
            each=[(name, [f"{p:.2f}", f"{s:.4f}"]) for name, (p, s) in zip(names, each, strict=True)],
        )  # fmt: skip

    def cards(self, measured: Mapping[str, Any] | None, values: Mapping[str, float], examples: int | None) -> Cards:
        """Rate, quality, and the rate against frames by themselves and the fair H.264 at equal quality."""
        del examples
        mean = values if "bpp" in values and "psnr_db" in values else (measured or {}).get("mean", {})
        cards = []
        if mean:
            cards = [
                {"label": "Rate", "value": f"{mean['bpp']:.3f}", "unit": "bpp", "about": "all bytes of the streams"},
                {"label": "PSNR", "value": number(mean["psnr_db"]), "unit": "dB", "about": "RGB, mean over frames"},
            ]
        for row in _rows(measured) if measured else ():
            if row["name"] == "H.264, medium" and row["kind"]:
                about = "rate at equal PSNR, preset medium"
                change = row["change"].removesuffix(" %")
                cards.append({"label": "Against H.264", "value": change, "unit": "%", "about": about})
        return Cards(cards, "Means over the records of the test split." if values else "")

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """What the model needs against each codec."""
        rows = _rows(measured) if measured else []
        return [(f"vs {row['name']}", row["change"]) for row in rows if row["kind"]]


SECTION = Video()


def choose(files: Sequence[str], group: int) -> tuple[list[measured.Run], list[bytes]]:
    """The first clips of record files, up to _PIXELS, and their records; runs that follow one another are one.

    Whole groups are taken, but where a record holds no more.
    """
    runs: list[measured.Run] = []
    taken, pixels, end = [], 0, ("", 0)
    for record in picture_records.records(files):
        found = clip_records.parse(record)
        name, start = found[clip_records.NAME].numpy().decode("utf-8", "replace"), int(found[clip_records.START])
        frames = clip_records.decode(found[clip_records.FRAMES]).numpy()
        frames = frames[: max(group, len(frames) // group * group)]
        if runs and pixels + frames.size // 3 > _PIXELS:
            break
        pixels += frames.size // 3
        taken.append(record.numpy())
        if (name, start) == end and frames.shape[1:] == runs[-1].frames.shape[1:]:
            runs[-1] = runs[-1]._replace(frames=np.concatenate([runs[-1].frames, frames]))
        else:
            rate = Fraction(float(found[clip_records.FRAME_RATE])).limit_denominator(1001)
            runs.append(measured.Run(name, frames, rate))
        end = (name, start + len(frames))
    return runs, taken


def _point(point: rate_distortion.Point) -> dict[str, float]:
    return dataclasses.asdict(point) | {"ms_ssim_db": rate_distortion.decibels(point.ms_ssim)}


def _curve(codec: classic_video.ClassicVideo, clips, group: int) -> list[dict[str, float]]:
    return [_point(measured.classic(codec, clips, group, s).point) | {"crf": s} for s in codec.settings]


def _rates(codec: ServedVideo, clips, own: measured.Result, rates: int) -> list[dict[str, float]]:
    """The points of the model at its rates, "quality" 0 to 100; of one rate its own."""
    if not codec.is_variable:
        return [_point(own.point)]
    qualities = np.rint(np.linspace(0, 100, max(2, rates))).astype(int).tolist()
    points = [measured.learned(codec, clips, codec.group, quality).point for quality in qualities]
    return [_point(point) | {"quality": quality} for point, quality in zip(points, qualities, strict=True)]


def _parts(codec: ServedVideo, records: Sequence[bytes]) -> dict[str, float]:
    """Mean bits per pixel of each part that the model's evaluation tells."""
    numbers = [codec.numbers(record) for record in records]
    names = [name for name in numbers[0] if name.endswith("_bpp") and name not in _WHOLE]
    return {name: float(np.mean([found[name] for found in numbers])) for name in names}


def _window(frames: np.ndarray) -> np.ndarray:
    """The piece of frames, at most _WINDOW a side, where most changes from the first to the last."""
    change = np.abs(frames[0].astype(np.int16) - frames[-1]).astype(np.uint8)
    rows, columns = busiest(change, _WINDOW)
    return frames[:, rows, columns]


def _pictures(clip: measured.Run, own: measured.Result, group: int) -> list[dict[str, Any]]:
    """First, middle and last frame of the first group: the original, the model's, and H.264's of at most its bits."""
    frames = clip.frames[:group]
    codec = next(c for c in classic_video.CODECS if c.name == "H.264, medium")
    streams = [codec.encode(frames, clip.rate, group, setting) for setting in codec.settings]
    fitting = [stream for stream in streams if 8 * len(stream) <= own.bits[0]] or streams[:1]
    other = codec.decode(fitting[-1], *frames.shape[1:3])
    bits = {"this model": own.bits[0], codec.name: 8 * len(fitting[-1])}
    shown = []
    for place in sorted({0, len(frames) // 2, len(frames) - 1}):
        original, window = frames[place], busiest(frames[place])
        columns = [{"title": "original", "src": data_uri(original[window]), "text": "24 bpp before any coding"}]
        for title, decoded in (("this model", own.decoded[place]), (codec.name, other[place])):
            rate = f"{bits[title] / (frames.size // 3):.3f} bpp of the group"
            told = f"{rate} · {rate_distortion.psnr_db(original, decoded):.2f} dB"
            columns.append({"title": title, "src": data_uri(decoded[window]), "text": told})
        shown.append({"title": f"{clip.name}, frame {place + 1} of a group of {len(frames)}", "columns": columns})
    return shown


def _flow(codec: ServedVideo, window: np.ndarray) -> dict[str, Any] | None:
    """The motion of the middle frame as a picture; None of a model that does not show it."""
    flows = codec.flow(window) if len(window) > 1 else None
    if flows is None:
        return None
    place = len(flows) // 2
    colours, strongest = video_plots.flow_colours(flows[place])
    return {"src": data_uri(colours), "strongest": number(strongest, 3), "frame": place + 2}


def _rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """What each codec needs for the model's PSNR, and how much more or less the model needs."""
    mean, rows = found["mean"], []
    for name, curve in found["classic"].items():
        rate = rate_distortion.rate_at([(p["bpp"], p["psnr_db"]) for p in curve], mean["psnr_db"])
        change = 100 * (mean["bpp"] / rate - 1) if rate else None
        rows.append({
            "name": name, "about": found["about"].get(name, ""), "bpp": f"{rate:.3f}" if rate else "outside its curve",
            "change": "–" if change is None else f"{change:+.0f} %".replace("-", "−"),
            "kind": "" if change is None else "good" if change < 0 else "bad",
        })  # fmt: skip
    alone = found["alone"]
    about = f"{alone['psnr_db']:.2f} dB; the first frames' codec for all of them"
    rows.append({"name": _ALONE, "about": about, "bpp": f"{alone['bpp']:.3f}", "change": "", "kind": ""})
    rows.append({"name": "this model", "about": "", "bpp": f"{mean['bpp']:.3f}", "change": "", "kind": ""})
    return rows
