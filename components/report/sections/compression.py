"""What a compressed classifier takes, part by part, and how it does beside others of its size and of none."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from components.report import plots
from components.report.markup import template
from components.report.plots import FAINT, INK, SERIES
from components.report.section import Run, Section
from models.classifiers import inputs as classifier_inputs
from models.classifiers import int8
from models.compressed import archive, original
from models.compressed.coded import Coded, as_half, fill, kernels_of, rest_of
from models.compressed.compressed_network import SUMMARY, UNCOMPRESSED
from models.layers.vector_quantizer import assigned, kmeans
from models.publishing import pushed
from models.records import pictures as picture_records

COUNTS = (4, 8, 16, 32, 64)  # centres of plain k-means, and as many as the model has
_BATCH = 256
_HTML = """\
<section><h2>Compression</h2>
<p>{{ told }}</p>
<figure>{{ plot|safe }}</figure>
<div class="scroll"><table><thead><tr><th>part<th class="n">bytes<th class="n">share</thead>
<tbody>{% for r in parts %}<tr><td>{{ r[0] }}<td class="n">{{ r[1] }}<td class="n">{{ r[2] }}{% endfor %}</tbody></table></div>
<div class="scroll"><table><thead><tr><th>model<th class="n">bytes<th class="n">times smaller<th class="n">accuracy</thead>
<tbody>{% for r in points %}<tr><td>{{ r[0] }}{% for v in r[1:] %}<td class="n">{{ v }}{% endfor %}{% endfor %}</tbody></table></div>
<p class="caption">Factors are against 32-bit floats of all weights, normalisation and its statistics included. k-means: values of the uncompressed model's kernels without training, coded by the same coder. int8: the TFLite file, graph included.</p></section>
"""  # noqa: E501
_NAMES = {"about": "recipe and options", "codebook": "codebook", "tables": "frequency tables", "indices": "indices",
          "rest": "biases and normalisation", "head": "head"}  # fmt: skip


class Compression(Section):
    """Read from what lies beside the model; accuracies are measured on the test split."""

    what = "compression"

    def measure(self, run: Run) -> dict[str, Any] | None:
        """ "bytes": by part; "archive", "float32": bytes; "weights", "values"; "points": dicts of "name", "bytes" and
        "accuracy": of the model, of the one before, of its int8 file and of plain k-means.

        The model's own accuracy is that of what its archive holds.
        """
        folder = pathlib.Path(run.model_dir) / pushed.EXTRA
        said = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        _, config, model, _ = archive.unpack((folder / archive.FILE).read_bytes())
        pixels, labels = pictures_of(run.files, config.image_size)
        points = [{"name": "compressed", "bytes": said["archive"], "accuracy": accuracy(model.network, pixels, labels)}]
        if found := run.notes.attempt("uncompressed model", lambda: original.load(said["model"])):
            points += before(*found, said, pixels, labels)
        file = folder / UNCOMPRESSED / int8.FILE
        if file.is_file():
            right = int8.probabilities(file, run.files).argmax(1)
            known = np.array([r >= 0 for r in labels_of(run.files)])
            hits = right[known] == labels
            points.append({"name": "int8", "bytes": file.stat().st_size, "accuracy": float(hits.mean())})
        return {name: said[name] for name in ("bytes", "archive", "float32", "weights", "values")} | {"points": points}

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """A sentence, a drawing of size against accuracy, and two tables; nothing without figures."""
        del data
        if not measured:
            return ""
        parts = [(_NAMES[n], f"{b:,}", f"{b / measured['archive']:.1%}") for n, b in measured["bytes"].items()]
        points = [
            (p["name"], f"{p['bytes']:,}", f"{measured['float32'] / p['bytes']:.1f}", f"{p['accuracy']:.4f}")
            for p in measured["points"]
        ]
        return template(_HTML).render(told=_told(measured), plot=draw(measured), parts=parts, points=points)

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """The archive's size and what the accuracy became."""
        if not measured:
            return []
        by_name = {p["name"]: p["accuracy"] for p in measured["points"]}
        earlier = f", {by_name['uncompressed']:.4f} before" if "uncompressed" in by_name else ""
        factor = measured["float32"] / measured["archive"]
        return [
            ("archive", f"{measured['archive']:,} bytes, {factor:.1f} times smaller than {measured['float32']:,}"),
            ("archive accuracy", f"{by_name['compressed']:.4f}{earlier}"),
        ]


SECTION = Compression()


def before(recipe, config, model: keras.Model, said: Mapping[str, Any], pixels, labels) -> list[dict[str, Any]]:
    """Points of the model as it was, and of its kernels after plain k-means."""
    found = [{"name": "uncompressed", "bytes": said["float32"], "accuracy": accuracy(model.network, pixels, labels)}]
    kernels, rest = kernels_of(model.network), [as_half(np.array(w)) for w in rest_of(model.network)]
    flat = np.concatenate([np.ravel(k) for k in kernels])[:, None]
    sizes = [int(np.prod(k.shape)) for k in kernels]
    for count in sorted({*COUNTS, said["centres"]}):
        centres = kmeans(flat, count)
        coded = Coded(centres[:, 0], assigned(flat, centres).astype(np.int32), sizes, rest, True)
        fill(model.network, coded)
        content, _ = archive.pack(coded, recipe, config, "0" * 8)
        found.append({"name": f"k-means, {count} values", "bytes": len(content),
                      "accuracy": accuracy(model.network, pixels, labels)})  # fmt: skip
    return found


def labels_of(files: Sequence[str]) -> list[int]:
    """Labels of record files, -1 where there is none."""
    return [int(picture_records.parse(record)[picture_records.LABEL]) for record in picture_records.records(files)]


def pictures_of(files: Sequence[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels float32 [N, S, S, 3] in [0, 1] and labels [N] of all pictures of record files that have a label."""
    pixels, labels = [], []
    for record in picture_records.records(files):
        features = picture_records.parse(record)
        if (label := int(features[picture_records.LABEL])) >= 0:
            pixels.append(classifier_inputs.prepare(features[picture_records.ENCODED], size).numpy())
            labels.append(label)
    return np.stack(pixels).astype(np.float32) / np.float32(255.0), np.array(labels)


def accuracy(network: keras.Model, pixels: np.ndarray, labels: np.ndarray) -> float:
    """Share of pictures [N, S, S, 3] that a network of logits gets right."""
    parts = [
        np.array(network(pixels[n : n + _BATCH], training=False)).argmax(-1) for n in range(0, len(pixels), _BATCH)
    ]
    return float((np.concatenate(parts) == labels).mean())


def draw(measured: Mapping[str, Any]) -> str:
    """Accuracy over bytes, as SVG."""
    fig, (ax,) = plots.axes((5.6, 3.2))
    means = sorted((p["bytes"], p["accuracy"]) for p in measured["points"] if p["name"].startswith("k-means"))
    if means:
        ax.plot(*zip(*means, strict=True), color=SERIES[1], linewidth=1.8, marker="o", markersize=3, label="k-means")
    for colour, name in ((SERIES[0], "compressed"), (SERIES[2], "int8"), (INK, "uncompressed")):
        for point in (p for p in measured["points"] if p["name"] == name):
            ax.scatter([point["bytes"]], [point["accuracy"]], color=colour, s=28, label=name, zorder=3)
    ax.set_xscale("log")
    ax.set_xlabel("bytes", color=INK, fontsize=9)
    ax.set_ylabel("accuracy", color=INK, fontsize=9)
    ax.legend(frameon=False, labelcolor=INK, fontsize=9)
    ax.grid(color=FAINT, linewidth=0.7)
    return plots.to_svg(fig, "compression")


def _told(measured: Mapping[str, Any]) -> str:
    factor, bits = measured["float32"] / measured["archive"], 8 * measured["bytes"]["indices"] / measured["weights"]
    return (
        f"The archive takes {measured['archive']:,} bytes, {factor:.1f} times fewer than the {measured['weights']:,} "
        f"weights as 32-bit floats. Kernels have {measured['values']} distinct values, coded in {bits:.2f} bits each."
    )
