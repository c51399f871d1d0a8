"""What a joint training did to codec and classifier: the same pictures before and after."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.report.markup import number, template
from components.report.section import Run, Section
from models.codecs import distortion
from models.publishing import pushed
from models.records import pictures as picture_records
from models.understanding import codecs
from models.understanding.reader import Reader

_MOST = 256  # pictures
_NAMES = {"accuracy": "accuracy", "bpp": "bits a pixel", "psnr_db": "PSNR, dB", "ms_ssim": "MS-SSIM"}
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
            for name, about in _NAMES.items()
        ]  # fmt: skip
        return template(_HTML).render(rows=rows, told=_told(measured))

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """Each number before and after."""
        if not measured:
            return []
        return [
            (about, f"{number(measured['before'][name], 4)} before, {number(measured['after'][name], 4)} after")
            for name, about in _NAMES.items()
        ]


SECTION = JointSection()


def measured(path: str, records: Sequence[tf.Tensor]) -> dict[str, float]:
    """Means over serialised records with labels of a pushed classifier of codes, and of the codec in it."""
    _, config, model = pushed.load(str(pushed.newest(path)), "float32")
    recipe, of_codec = codecs.of_about(config.codec_about)
    reader, sums = Reader(recipe, model.codec, of_codec, config.quality), []
    for record in records:
        pixels, label = config.prepared(record), int(picture_records.parse(record)[picture_records.LABEL])
        stream, codes = reader.write(pixels)
        drawn = reader.payload.synthesise(codes[None], *map(tf.constant, config.sides))
        answer = int(np.argmax(model.network(codes[None], training=False)[0]))
        bpp = 8 * len(stream.numpy()) / (config.sides[0] * config.sides[1])
        both = pixels[None], drawn[None]
        sums.append((answer == label, bpp, float(distortion.psnr_db(*both)[0]), float(distortion.ms_ssim(*both)[0])))
    return dict(zip(_NAMES, np.mean(sums, axis=0).tolist(), strict=True))


def _told(measured: Mapping[str, Any]) -> str:
    before, after = measured["before"]["bpp"], measured["after"]["bpp"]
    within = "within" if abs(after / before - 1) <= 0.05 else "not within"
    return (
        f"{measured['count']} pictures of the test split, real streams. The rate moved by {after / before - 1:+.1%}, "
        f"{within} the 5 % in which results count. Estimated bits above {measured['target_bpp']:.3f} a pixel were "
        f"charged; distortion and rate weighed {measured['gamma']:.3g} of the codec's own loss."
    )
