"""What a segmenter makes of scenes: overlays, the ratio of each class, and who is taken for whom."""

import json
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import tensorflow as tf

from components.evaluation.aggregates.iou import IntersectionOverUnion, by_class
from components.report.markup import number, template
from components.report.section import Run, Section
from components.report.sections.rate_distortion import data_uri
from models.records import pictures as picture_records
from models.records import scenes as scene_records

_SHOWN = 4  # scenes
_BATCH = 8
_HTML = """\
<section><h2>Scenes</h2>
{% if pictures %}{% for p in pictures %}<div class="row">{% for c in p.columns %}<figure><img src="{{ c.src }}" alt="{{ c.title }}, {{ p.key }}"><figcaption><b>{{ c.title }}</b><br>{{ c.text }}</figcaption></figure>{% endfor %}</div>{% endfor %}
<p class="caption">Pixels without a class are not tinted. What is shown are the first scenes of the test split.</p>
<div class="split"><table class="narrow"><thead><tr><th>class<th class="n">IoU<th class="n">pixels<th>tint</thead>
<tbody>{% for r in classes %}<tr><td>{{ r[0] }}<td class="n">{{ r[1] }}<td class="n">{{ r[2] }}<td style="background:{{ r[3] }}">{% endfor %}</tbody></table>
<div><div class="scroll"><table class="confusion"><thead><tr><th>{% for n in names %}<th class="n">{{ n }}{% endfor %}</thead>
<tbody>{% for name, cells in rows %}<tr><th>{{ name }}{% for share in cells %}<td class="n" style="background:color-mix(in srgb, var(--series-0) {{ (share * 60)|int }}%, transparent)">{{ "%.0f"|format(100 * share) if share >= 0.005 else "" }}{% endfor %}{% endfor %}</tbody></table></div>
<p class="caption">Rows: what pixels of the test split are. Columns: what they are taken for, per cent of the row.</p></div></div>
{% else %}<p class="missing">No scene was segmented in this run.</p>{% endif %}</section>
"""  # noqa: E501


class Scenes(Section):
    """Measured on all of the test split."""

    what = "scenes"
    evaluation_about = (
        "Over the test split, from the exported model, at the scenes' own sizes. Intersection over union is of all "
        "pixels of the split together; its mean is over the classes that are there or were taken to be."
    )

    def measure(self, run: Run) -> dict[str, Any]:
        """ "names"; "confusion": pixels [K + 1][K]; "pictures": the first ones as URIs with "key" and "iou"."""
        model, confusion, shown = tf.saved_model.load(run.model_dir), None, []
        for records in picture_records.records(run.files).batch(_BATCH):
            found = model.signatures["serving_default"](examples=records)["confusion"].numpy()
            confusion = found.sum(0) if confusion is None else confusion + found.sum(0)
            for record, own in list(zip(records, found, strict=True))[: _SHOWN - len(shown)]:
                shown.append(_shown(model, record, own))
        return {"names": json.loads(run.config["class_names"]), "confusion": confusion.tolist(), "pictures": shown}

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """A row a scene, the ratios, and the confusions."""
        del data
        if not measured:
            return template(_HTML).render(pictures=[])
        names, confusion = measured["names"], np.array(measured["confusion"])
        totals = confusion.sum(1)
        classes = [
            (name, "" if np.isnan(ratio) else number(ratio, 3), f"{int(total):,}", matplotlib.colors.to_hex(tint))
            for name, ratio, total, tint in zip(names, by_class(confusion), totals, tints(len(names)), strict=False)
        ]
        shares = confusion[: len(names)] / np.maximum(totals[: len(names), None], 1)
        pictures = [
            {"key": p["key"], "columns": [
                {"title": "picture", "src": p["picture"], "text": p["key"]},
                {"title": "labels", "src": p["labels"], "text": ""},
                {"title": "answer", "src": p["answer"], "text": f"mean IoU {number(p['iou'], 3)}"},
            ]}
            for p in measured["pictures"]
        ]  # fmt: skip
        rows = list(zip(names, shares.tolist(), strict=True))
        return template(_HTML).render(pictures=pictures, classes=classes, names=names, rows=rows)


SECTION = Scenes()


def tints(count: int) -> np.ndarray:
    """A colour for each of so many classes, [count, 3] in 0 to 1."""
    return np.array([matplotlib.colormaps["tab20"](place % 20)[:3] for place in range(count)])


def overlay(pixels: np.ndarray, label_map: np.ndarray, count: int) -> np.ndarray:
    """Pixels uint8 [H, W, 3], tinted by their classes uint8 [H, W]; those without one stay as they are."""
    known = label_map < count
    colours = tints(count)[np.where(known, label_map, 0)]
    mixed = np.where(known[..., None], 0.4 * pixels / 255.0 + 0.6 * colours, pixels / 255.0)
    return np.rint(255 * mixed).astype(np.uint8)


def _shown(model, record: tf.Tensor, confusion: np.ndarray) -> dict[str, Any]:
    features = scene_records.parse(record)
    pixels = picture_records.decode(features[picture_records.ENCODED]).numpy()
    answer = model.signatures["segment"](image_bytes=features[picture_records.ENCODED][None])["class_map_bytes"][0]
    maps = [scene_records.decode_map(m).numpy() for m in (features[scene_records.LABEL_MAP], answer)]
    labels, answered = (data_uri(overlay(pixels, m, confusion.shape[1])) for m in maps)
    return {
        "key": features[picture_records.ID].numpy().decode("utf-8", "replace"), "picture": data_uri(pixels),
        "labels": labels, "answer": answered, "iou": IntersectionOverUnion().result(confusion),
    }  # fmt: skip
