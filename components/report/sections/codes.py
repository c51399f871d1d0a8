"""What it takes from a stream to its classes, with and without the codec's decoder."""

import functools
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from components.report.markup import template
from components.report.section import Run, Section
from models.publishing import pushed
from models.records import pictures as picture_records
from models.understanding import codecs, cost
from models.understanding.reader import Reader

_STREAMS = 24  # whose times are measured
_HTML = """\
<section><h2>From a stream to its classes</h2>
<p>{{ told }}</p>
<div class="scroll"><table><thead><tr><th>step<th class="n">million multiply-adds<th class="n">ms a stream<th>taken</thead>
<tbody>{% for r in rows %}<tr><td>{{ r[0] }}<td class="n">{{ r[1] }}<td class="n">{{ r[2] }}<td>{{ r[3] }}{% endfor %}</tbody></table></div>
<p class="caption">Multiply-adds are of convolutions and matrix products, counted in the graphs; those of the entropy decoder's networks, which every receiver runs, are left out, and so is the encoder. Times are medians of {{ count }} streams of the test split on {{ cores }} cores of the machine that wrote this page, one stream at a time.</p></section>
"""  # noqa: E501
_STEPS = {"read": "entropy decoder", "draw": "decoder to pixels", "network": "network"}


class Codes(Section):
    """Counted and measured on the model as it is pushed."""

    what = "cost of codes"

    def measure(self, run: Run) -> dict[str, Any]:
        """ "multiply_adds", "ms": of "draw", "network" and, of time, "read"; "rgb": whether "draw" is needed; "bpp";
        "sides": of a picture in pixels, "grid": in latents; "count": streams; "cores". Pictures are of training's size.
        """
        _, config, model = pushed.load(run.model_dir, "float32")
        recipe, of_codec = codecs.of_about(config.codec_about)
        reader, sides = Reader(recipe, model.codec, of_codec, config.quality), config.sides
        grid = tuple(-(-side // model.codec.stride) for side in sides)
        records = list(picture_records.records(run.files).take(_STREAMS))
        streams, codes = zip(*(reader.write(config.prepared(record)) for record in records), strict=True)
        graph = functools.partial(tf.function, autograph=False)
        # The time of convolutions does not depend on what they are given.
        held = tf.zeros([1, *grid, of_codec.latents])
        any_sides = [tf.TensorSpec([1, None, None, of_codec.latents])]
        draw = graph(lambda values: reader.payload.synthesise(values, *map(tf.constant, sides)), any_sides)
        network = graph(lambda seen: model.network(seen, training=False))
        seen = tf.zeros([1, *sides, 3]) if config.rgb else codes[0][None]
        return {
            "multiply_adds": {
                "draw": cost.multiply_adds(reader.payload.synthesise_tile, tf.TensorSpec(held.shape)),
                "network": cost.multiply_adds(network, tf.TensorSpec(seen.shape)),
            },
            "ms": {
                "read": cost.milliseconds(reader.read, list(streams)),
                "draw": cost.milliseconds(draw, [held] * len(streams)),
                "network": cost.milliseconds(network, [seen] * len(streams)),
            },
            "rgb": config.rgb, "sides": sides, "grid": grid, "count": len(streams), "cores": os.cpu_count(),
            "bpp": float(np.mean([8 * len(s.numpy()) for s in streams]) / math.prod(sides)),
        }  # fmt: skip

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """A sentence and a row a step; nothing without figures."""
        del data
        if not measured:
            return ""
        adds, ms = measured["multiply_adds"], measured["ms"]
        rows = [
            (about, f"{adds[name] / 1e6:,.1f}" if name in adds else "", f"{ms[name]:.2f}",
             "yes" if measured["rgb"] or name != "draw" else "no")
            for name, about in _STEPS.items()
        ]  # fmt: skip
        return template(_HTML).render(
            told=_told(measured), rows=rows, count=measured["count"], cores=measured["cores"]
        )  # fmt: skip

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """Multiply-adds and time, with and without the decoder."""
        if not measured:
            return []
        adds, ms = measured["multiply_adds"], measured["ms"]
        both = f"{(adds['network'] + adds['draw']) / 1e6:,.1f} M with the decoder"
        time = f"{sum(ms.values()):.2f} ms with the decoder"
        return [
            ("multiply-adds", f"{adds['network'] / 1e6:,.1f} M without, {both}"),
            ("a stream's time", f"{ms['read'] + ms['network']:.2f} ms without, {time}"),
        ]


SECTION = Codes()


def _told(measured: Mapping[str, Any]) -> str:
    (height, width), (rows, columns), adds = measured["sides"], measured["grid"], measured["multiply_adds"]
    seen = "decoded pictures" if measured["rgb"] else f"latents of {rows} x {columns} places"
    share = (adds["network"] + adds["draw"]) / adds["network"]
    return (
        f"Pictures of {height} x {width} pixels at {measured['bpp']:.3f} bits a pixel, header included; the network "
        f"sees {seen}. Decoder and network together take {share:.2f} times the multiply-adds of the network alone."
    )
