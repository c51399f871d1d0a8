"""What the report shows of a classifier: confusions, reliability, and how its int8 file does."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.evaluation import class_scores
from components.evaluation.aggregates.calibration_error import reliability
from components.evaluation.classifier_answers import ClassifierError, probabilities
from components.report import classified
from components.report.markup import template
from components.report.section import Run, Section

_INT8 = "{% if told %}<p>{{ told }}</p>{% endif %}"


class Confusions(Section):
    """Measured on all of the test split that has a label."""

    what = "confusions"
    evaluation_about = classified.EVALUATION_ABOUT

    def measure(self, run: Run) -> dict[str, Any]:
        """ "classified": as of `measure`; "int8": as of `measure_int8`; None what cannot be measured."""
        return {
            "classified": run.notes.attempt(self.what, lambda: measure(run.model_dir, run.files, run.class_names)),
            "int8": run.notes.attempt("int8 file", lambda: measure_int8(run.model_dir, run.files)),
        }

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """The matrix beside the reliability, and a sentence on the int8 file."""
        measured = measured or {}
        more = template(_INT8).render(told=_told(measured.get("int8")))
        return classified.render(measured.get("classified"), data["noun"], more)

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """The accuracy and size of the int8 file, if there is one."""
        found = (measured or {}).get("int8")
        return [("int8 accuracy", f"{found['accuracy']:.4f} ({found['size_bytes']:,} bytes)")] if found else []


SECTION = Confusions()


def measure(model_dir: str, files: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Confusions and reliability of a pushed classifier on record files.

    Returns:
      "names": of the classes; "confusion": counts [K][K], rows are what a picture is, columns what it is taken for;
      "reliability": as of the function.

    Raises:
      ClassifierError: as `probabilities`, or no picture has a class that the model knows.
    """
    p, labels = probabilities(model_dir, files)
    known = (labels >= 0) & (labels < p.shape[1])
    if not known.any():
        raise ClassifierError("no picture of the test split has a class that the model knows")
    p, labels = p[known], labels[known]
    return {
        "names": list(names) or [str(c) for c in range(p.shape[1])],
        "confusion": class_scores.counted(labels, p.argmax(1), p.shape[1]).tolist(),
        "reliability": reliability(p.max(1), p.argmax(1) == labels),
    }


def measure_int8(model_dir: str, files: Sequence[str]) -> dict[str, float] | None:
    """How the int8 TFLite file beside a SavedModel does on record files beside that.

    Returns:
      None without such a file; else "accuracy" and "float_accuracy" (of the SavedModel) on the pictures with a label,
      "agreement" (share of all pictures with the same answer), "size_bytes" (of the file).

    Raises:
      ClassifierError: as `probabilities`, or no picture has a label.
    """
    from models.classifiers import int8
    from models.publishing import pushed

    path = pathlib.Path(model_dir) / pushed.EXTRA / int8.FILE
    if not path.is_file():
        return None
    p, labels = probabilities(model_dir, files)
    served, quantized = p.argmax(1), int8.probabilities(path, files).argmax(1)
    known = labels >= 0
    if not known.any():
        raise ClassifierError("no picture of the test split has a label")
    return {
        "accuracy": float(np.mean(quantized[known] == labels[known])),
        "float_accuracy": float(np.mean(served[known] == labels[known])),
        "agreement": float((quantized == served).mean()),
        "size_bytes": path.stat().st_size,
    }


def _told(measured: Mapping[str, float] | None) -> str:
    """A sentence on the int8 file; empty without one."""
    if not measured:
        return ""
    return (
        f"The int8 TFLite file ({measured['size_bytes'] / 1e3:.0f} kB) is right on {measured['accuracy']:.2%} of the "
        f"test split, the SavedModel on {measured['float_accuracy']:.2%}; they agree on {measured['agreement']:.2%}."
    )
