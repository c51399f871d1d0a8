"""What the report measures of a model of electrocardiograms: confusions, scores by class, and its worst mistakes."""

import base64
import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from components.evaluation import class_scores, confusions
from components.serving.served_ecg import ServedEcg
from models.contract.errors import KompaktError
from models.records import ecg_units
from models.records import recordings as ecg_records

MISTAKES = 6
_BATCH = 16
_LONGEST = 60 * ecg_units.RATE  # samples of a mistake that are kept for its drawing


class EcgError(KompaktError, ValueError):
    """Recordings that tell nothing of a model; the message is one line."""


def measure(model_dir: str, files: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Confusions, reliability, scores and worst mistakes of a served model on ingest records with labels.

    Args:
      model_dir: SavedModel. files: of records. names: of the model's classes, in its order.

    Returns:
      "names", "confusion" and "reliability" as of `classified.measure`; "scores": for each class "name", "title",
      "recordings", "f1", "precision", "recall" (None where undefined); "mistakes": the MISTAKES wrong answers of the
      highest probability, each with "id", "is", "taken", "probability" (of the wrong class), "own_probability",
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
        "reliability": confusions.reliability(p.max(1), p.argmax(1) == labels),
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
