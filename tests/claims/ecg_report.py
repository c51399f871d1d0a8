"""The tables of `tests.claims.ecg`, from the lines of finished runs, with the paper's figure beside them."""

import statistics
from collections.abc import Mapping, Sequence

from models.records.ecg_units import CLASSES

PAPER = 0.821  # of the CRNN on the hidden test set, 3,658 recordings (arXiv:1710.06122, abstract)


def table(rows: Sequence[Mapping]) -> str:
    """Markdown: means over seeds beside the paper's figure, what augmentation is worth, and every run.

    Args:
      rows: lines of finished runs.
    """
    if not rows:
        return "no run has ended yet"
    heads = ["model", "seeds", "minutes", "challenge F1", *(f"F1 {title}" for title in CLASSES.values()), "accuracy",
             "calibration error"]  # fmt: skip
    lines = _head(heads, 1)
    for model in dict.fromkeys(row["model"] for row in rows):
        for long in (False, True):
            found = [r for r in rows if r["model"] == model and r["augmented"] and r["run"].endswith("long") == long]
            if found:
                cells = [spread([r["f1"].get(name) for r in found]) for name in CLASSES]
                told = [spread([r[key] for r in found]) for key in ("accuracy", "calibration_error")]
                lines.append(_line([f"{model}{', long' * long}", len(found), f"{found[0]['minutes']:g}",
                                    spread([r["challenge_f1"] for r in found]), *cells, *told]))  # fmt: skip
    lines.append(_line(["paper's CRNN, hidden test set", "", "", f"{PAPER:.3f}", *[""] * (len(heads) - 4)]))
    lines += ["", *augmentation(rows), "", *_head(["run", "steps", "step, ms", "trained, min", "best epoch",
              "validation F1", "challenge F1", "95 % interval", *(f"F1 {name}" for name in CLASSES), "accuracy",
              "calibration error"], 1)]  # fmt: skip
    for row in rows:
        best = max((value for _, value in row["validation_f1"]), default=None)
        lines.append(_line([
            row["run"], row["steps"], f"{row['step_ms']:.0f}", f"{row['seconds'] / 60:.1f}", row["best_epoch"] or "",
            number(best), number(row["challenge_f1"]), " to ".join(number(b) for b in row["interval"]),
            *(number(row["f1"].get(name)) for name in CLASSES), number(row["accuracy"]),
            number(row["calibration_error"]),
        ]))  # fmt: skip
    lines += ["", *_confusions(rows)]
    return "\n".join(lines)


def augmentation(rows: Sequence[Mapping]) -> list[str]:
    """What augmentation adds to the score of the same model and seed; nothing where one of the two runs is missing."""
    lines = _head(["model, seed 1", "with augmentation", "without", "difference"], 1)
    by_run = {row["run"]: row["challenge_f1"] for row in rows}
    for model in dict.fromkeys(row["model"] for row in rows):
        both = [by_run.get(f"{model}-1"), by_run.get(f"{model}-plain")]
        if None not in both:
            lines.append(_line([model, *map(number, both), f"{both[0] - both[1]:+.3f}"]))
    return lines if len(lines) > 2 else []


def _confusions(rows: Sequence[Mapping]) -> list[str]:
    """The confusion matrix of the run with the best score on the validation split."""
    best = max(rows, key=lambda row: max((value for _, value in row["validation_f1"]), default=0.0))
    lines = _head([f"{best['run']}: is", *(f"taken for {name}" for name in best["names"])], 1)
    return lines + [_line([name, *row]) for name, row in zip(best["names"], best["confusion"], strict=True)]


def spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation; a dash without values."""
    known = [v for v in values if v is not None]
    if not known:
        return "–"
    return number(statistics.fmean(known)) + (f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else "")


def number(value: float | None) -> str:
    """Three decimals; a dash for what is not defined."""
    return "–" if value is None else f"{value:.3f}"


def _head(titles: Sequence[str], left: int) -> list[str]:
    return [_line(titles), _line(["---"] * left + ["---:"] * (len(titles) - left))]


def _line(cells: Sequence) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
