"""What the report shows of a model of electrocardiograms: confusions, scores by class, and its worst mistakes."""

import base64
import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from components.evaluation import class_scores
from components.evaluation.aggregates.calibration_error import reliability
from components.report import classified, recording_plots
from components.report.markup import number, template
from components.report.section import Run, Section
from components.serving.served_ecg import ServedEcg
from models.contract.errors import KompaktError
from models.records import ecg_units
from models.records import recordings as ecg_records

MISTAKES = 6
_BATCH = 16
_LONGEST = 60 * ecg_units.RATE  # samples of a mistake that are kept for its drawing
_COLUMNS = ("recordings", *class_scores.KINDS)
_SCORES = """\
{% if scores %}<h3>Scores of the classes</h3>
<table class="narrow"><thead><tr><th>class<th>name<th class="n">recordings<th class="n">F1<th class="n">precision<th class="n">recall</thead>
<tbody>{% for row in scores %}<tr>{% for v in row %}<td{% if loop.index > 2 %} class="n"{% endif %}>{{ v }}{% endfor %}{% endfor %}</tbody></table>
<p class="caption">F1 is twice the hits over the recordings of the class and those taken for it together. The challenge's score is the mean F1 of N, A and O; noise is left out of it.</p>{% endif %}
"""  # noqa: E501
_MISTAKES = """\
{% if mistakes %}<section><h2>Worst mistakes</h2>
{% for m in mistakes %}<h3>{{ m.id }} <span class="faint">{{ m.length }} · {{ m.told }}</span></h3>
<figure class="wide">{{ m.svg|safe }}</figure>{% endfor %}
<p class="caption">The wrong answers on the test split with the highest probability. Above: the signal at 300 Hz in millivolts. Below: the logarithm of its power spectral density in windows of 64 samples, which is what the model sees.</p></section>{% endif %}
"""  # noqa: E501


class Mistakes(Section):
    """Measured on all of the test split that has a label."""

    what = "confusions"
    evaluation_about = classified.EVALUATION_ABOUT

    def measure(self, run: Run) -> dict[str, Any]:
        """As of the function `measure`."""
        return measure(run.model_dir, run.files, run.class_names)

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """The matrix beside the reliability, the scores of the classes, and the drawings of the mistakes."""
        found = measured or {}
        scores = [[s["title"], s["name"], *(number(s[k]) for k in _COLUMNS)] for s in found.get("scores", ())]
        drawn = recording_plots.drawn(found.get("mistakes", ()))
        html = classified.render(measured, data["noun"], template(_SCORES).render(scores=scores))
        return html + template(_MISTAKES).render(mistakes=drawn)


SECTION = Mistakes()


class EcgError(KompaktError, ValueError):
    """Recordings that tell nothing of a model; the message is one line."""


def measure(model_dir: str, files: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Confusions, reliability, scores and worst mistakes of a served model on ingest records with labels.

    Args:
      model_dir: SavedModel. files: of records. names: of the model's classes, in its order.

    Returns:
      "names", "confusion" and "reliability" as `classified.render` takes them; "scores": for each class "name",
      "title", "recordings", "f1", "precision", "recall" (None where undefined); "mistakes": the MISTAKES wrong answers
      of the highest probability, each with "id", "is", "taken", "probability" (of the wrong class), "own_probability",
      "seconds", "rate" (samples a second) and "signal" (base64 of little-endian int16, microvolts, a minute at most).

    Raises:
      EcgError: no recording has a class that the model knows.
      ServedModelError: the model cannot be loaded or refuses a recording.
    """
    model, places = ServedEcg(model_dir), {name: place for place, name in enumerate(names)}
    labels, probabilities, worst = [], [], []
    for batch in _batches(files):
        known = [record for record in batch if record["label"] in places]
        if not known:
            continue
        answers = model.probabilities([record["samples"] for record in known])
        for record, p in zip(known, answers, strict=True):
            place = places[record["label"]]
            labels.append(place)
            probabilities.append(p)
            if p.argmax() != place:
                # The number decides between equals: records cannot be compared.
                heapq.heappush(worst, (float(p.max()), -len(labels), record | {"p": p, "place": place}))
                worst = heapq.nlargest(MISTAKES, worst)
                heapq.heapify(worst)
    if not labels:
        raise EcgError("no recording of the test split has a class that the model knows")
    p, labels = np.stack(probabilities), np.array(labels)
    confusion = class_scores.counted(labels, p.argmax(1), len(names))
    return {
        "names": list(names),
        "confusion": confusion.tolist(),
        "reliability": reliability(p.max(1), p.argmax(1) == labels),
        "scores": _scores(confusion, names),
        "mistakes": [_mistake(record, names) for _, _, record in sorted(worst, reverse=True)],
    }


def _batches(files: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """Records in batches: "id", "label" (name), "samples" (millivolts, float32 [T])."""
    from models.records import pictures as picture_records

    for records in picture_records.records(files).batch(_BATCH):
        features = {name: value.numpy() for name, value in ecg_records.parse(records).items()}
        columns = (features[name] for name in (ecg_records.ID, ecg_records.LABEL_NAME, ecg_records.SIGNAL))
        yield [
            {
                "id": key.decode("utf-8", "replace"),
                "label": label.decode(),
                "samples": ecg_records.decode(signal).numpy(),
            }
            for key, label, signal in zip(*columns, strict=True)
        ]


def _scores(confusion: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    by_kind, counts = class_scores.class_scores(confusion), confusion.sum(1)
    return [
        {"name": name, "title": ecg_units.CLASSES.get(name, name), "recordings": int(counts[place])}
        | {kind: None if np.isnan(values[place]) else float(values[place]) for kind, values in by_kind.items()}
        for place, name in enumerate(names)
    ]


def _mistake(record: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    p, samples = record["p"], record["samples"]
    volts = np.rint(samples[:_LONGEST] * ecg_units.MICROVOLTS).astype("<i2")
    return {
        "id": record["id"], "is": names[record["place"]], "taken": names[int(p.argmax())],
        "probability": float(p.max()), "own_probability": float(p[record["place"]]),
        "seconds": len(samples) / ecg_units.RATE, "rate": ecg_units.RATE,
        "signal": base64.b64encode(volts.tobytes()).decode("ascii"),
    }  # fmt: skip
