"""What a joint training did to a codec and the network on its codes: the same pictures before and after."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.evaluation.aggregates import iou
from components.report.markup import number, template
from components.report.section import Run, Section
from models.codecs import distortion
from models.publishing import pushed
from models.records import pictures as picture_records
from models.understanding import codecs
from models.understanding.reader import Reader

_MOST = 256  # pictures
_NAMES = {
    "accuracy": "accuracy",
    "mean_iou": "mean IoU",
    "bpp": "bits a pixel",
    "psnr_db": "PSNR, dB",
    "ms_ssim": "MS-SSIM",
}
_HTML = """\
<section><h2>Before and after</h2>
<table class="narrow"><thead><tr><th><th class="n">before<th class="n">after<th class="n">change</thead>
<tbody>{% for r in rows %}<tr><td>{{ r[0] }}{% for v in r[1:] %}<td class="n">{{ v }}{% endfor %}{% endfor %}</tbody>
</table>
<p class="caption">{{ told }}</p></section>
"""


class JointSection(Section):
    """Measured on the first pictures of the test split, by real streams."""

    what = "what a joint training did"

    def measure(self, run: Run) -> dict[str, Any]:
        """ "before", "after": means of `_NAMES`; "count": pictures; "target_bpp", "gamma": of the training."""
        said = json.loads((pathlib.Path(run.model_dir) / pushed.EXTRA / "joint.json").read_text(encoding="utf-8"))
        records = list(picture_records.records(run.files).take(_MOST))
        found = {name: measured(path, records) for name, path in (("before", said["model"]), ("after", run.model_dir))}
        return found | {"count": len(records), "target_bpp": said["target_bpp"], "gamma": said["gamma"]}

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """A row a number; nothing without figures."""
        del data
        if not measured:
            return ""
        rows = [
            (about, *(number(measured[when][name], 4) for when in ("before", "after")),
             number(measured["after"][name] - measured["before"][name], 2))
            for name, about in _names(measured)
        ]  # fmt: skip
        return template(_HTML).render(rows=rows, told=_told(measured))

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """Each number before and after."""
        if not measured:
            return []
        return [
            (about, f"{number(measured['before'][name], 4)} before, {number(measured['after'][name], 4)} after")
            for name, about in _names(measured)
        ]


SECTION = JointSection()


def measured(path: str, records: Sequence[tf.Tensor]) -> dict[str, float]:
    """Numbers of `_NAMES` over serialised records with labels, of a pushed network on codes and of the codec in it.

    Means over the records; of scenes accuracy is that of pixels, and the mean IoU, which classifiers have not, of all
    together. All pictures have the size of the training.
    """
    _, config, model = pushed.load(str(pushed.newest(path)), "float32")
    recipe, of_codec = codecs.of_about(config.codec_about)
    reader, found = Reader(recipe, model.codec, of_codec, config.quality), []
    confusion = np.zeros((config.classes, config.classes))
    for record in records:
        pixels = config.prepared(record)
        stream, codes = reader.write(pixels)
        drawn = reader.payload.synthesise(codes[None], *map(tf.constant, config.sides))
        own = _confusion(config, record, np.array(model.network(codes[None], training=False)[0]))
        confusion += own
        right = np.trace(own) / max(own.sum(), 1)
        bpp = 8 * len(stream.numpy()) / (config.sides[0] * config.sides[1])
        both = pixels[None], drawn[None]
        found.append((right, bpp, float(distortion.psnr_db(*both)[0]), float(distortion.ms_ssim(*both)[0])))
    means = dict(zip(("accuracy", "bpp", "psnr_db", "ms_ssim"), np.mean(found, axis=0).tolist(), strict=True))
    return means | ({"mean_iou": float(np.nanmean(iou.by_class(confusion)))} if _has_scenes(config) else {})


def _has_scenes(config) -> bool:
    return hasattr(config, "rows")


def _confusion(config, record: tf.Tensor, logits: np.ndarray) -> np.ndarray:
    """What a record shows by what it is taken for, counts [K, K]: the pixels of a scene, or a picture, that are of a
    known class."""
    labels = np.atleast_1d(config.classes_in(record))
    logits = logits[: config.rows, : config.columns] if _has_scenes(config) else logits[None]
    known = (labels >= 0) & (labels < config.classes)
    cells = np.zeros((config.classes, config.classes))
    np.add.at(cells, (labels[known], np.argmax(logits, axis=-1)[known]), 1)
    return cells


def _names(measured: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, about) for name, about in _NAMES.items() if name in measured["after"]]


def _told(measured: Mapping[str, Any]) -> str:
    before, after = measured["before"]["bpp"], measured["after"]["bpp"]
    within = "within" if abs(after / before - 1) <= 0.05 else "not within"
    return (
        f"{measured['count']} pictures of the test split, real streams. The rate moved by {after / before - 1:+.1%}, "
        f"{within} the 5 % in which results count. Estimated bits above {measured['target_bpp']:.3f} a pixel were "
        f"charged; distortion and rate weighed {measured['gamma']:.3g} of the codec's own loss."
    )
