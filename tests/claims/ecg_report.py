"""The page of `tests.claims.ecg`, from the lines of finished folds: pooled scores with intervals, and verdicts."""

import itertools
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from components.evaluation import class_scores
from models.records.ecg_units import CLASSES
from tests.claims.verdicts import Difference, shown, verdicts

PAPER = 0.821  # of the CRNN on the hidden test set, 3,658 recordings (arXiv:1710.06122, abstract)
DRAWS = 1000
# What is claimed: a run answers better than another, and in which ways.
MODELS = ("ecg_cnn", "ecg_crnn", "ecg_resnet")
CLAIMS = [
    ("the CRNN is better than the CNN", ("ecg_crnn-preset", "once"), ("ecg_cnn-preset", "once")),
    *((f"{said} {m}", (f"{m}-{better}", "once"), (f"{m}-{than}", "once"))
      for said, better, than in (("augmentation helps", "preset", "unaugmented"),
                                 ("averaged weights help", "averaged", "preset"),
                                 ("a frame each 37 ms helps", "fine", "preset"))
      for m in MODELS),
    *((f"5 speeds help {m}", (f"{m}-preset", "5 speeds"), (f"{m}-preset", "once")) for m in MODELS),
    *((f"offsets help {m}", (f"{m}-preset", "5 speeds, offsets"), (f"{m}-preset", "5 speeds")) for m in MODELS),
]  # fmt: skip


def page(rows: Sequence[Mapping]) -> str:
    """Markdown.

    Args:
      rows: lines of finished folds; a run whose folds are not all there is said to be unfinished.
    """
    if not rows:
        return "no fold of a run has ended yet"
    by_run: dict[str, list[Mapping]] = {}
    for row in sorted(rows, key=lambda row: row["fold"]):
        by_run.setdefault(row["run"], []).append(row)
    whole = {run: found for run, found in by_run.items() if len(found) == found[0]["folds"]}
    lines = [f"Unfinished: {run}, {len(by_run[run])} of {by_run[run][0]['folds']} folds." for run in by_run
             if run not in whole]  # fmt: skip
    heads = ["run", "answers", "recordings", "challenge F1, pooled", "95 % interval",
             *(f"F1 {title}" for title in CLASSES.values()), "accuracy", "mean and deviation of folds"]  # fmt: skip
    lines += ["", *_head(heads, 2)]
    for run, found in whole.items():
        lines += [_line([run, way, *_pooled(found, way)]) for way in found[0]["confusion"]]
    lines.append(_line(["paper's CRNN", "hidden test set", "3658", f"{PAPER:.3f}", *[""] * (len(heads) - 4)]))
    lines += ["", *_claims(whole), "", *_costs(whole)]
    return "\n".join(lines).strip()


def _pooled(rows: Sequence[Mapping], way: str) -> list[str]:
    """Of all folds together: number of recordings, score, interval, F1 of each class, accuracy, spread over folds."""
    names, counts = pooled(rows, way)
    by_class = dict(zip(names, class_scores.class_scores(counts)["f1"], strict=True))
    low, high = interval(counts, names)
    of_folds = [row["challenge_f1"][way] for row in rows]
    return [
        str(counts.sum()), _number(class_scores.challenge_f1(counts, names)), f"{low:.3f} to {high:.3f}",
        *(_number(by_class[name]) if name in by_class else "–" for name in CLASSES),
        _number(np.trace(counts) / counts.sum()),
        f"{statistics.fmean(of_folds):.3f} ± {statistics.stdev(of_folds):.3f}",
    ]  # fmt: skip


def pooled(rows: Sequence[Mapping], way: str) -> tuple[list[str], np.ndarray]:
    """Classes, and the confusions of all folds together, int [K, K]."""
    names = list(dict.fromkeys(itertools.chain(*(row["names"] for row in rows))))
    counts = np.zeros((len(names), len(names)), int)
    for row in rows:
        places = [names.index(name) for name in row["names"]]
        counts[np.ix_(places, places)] += np.array(row["confusion"][way])
    return names, counts


def interval(counts: np.ndarray, names: Sequence[str], draws: int = DRAWS) -> tuple[float, float]:
    """95 % of the score over recordings drawn anew with replacement: cells of the confusion matrix are drawn."""
    random = np.random.default_rng(1)
    drawn = random.multinomial(counts.sum(), counts.ravel() / counts.sum(), size=draws).reshape(draws, *counts.shape)
    scores = [class_scores.challenge_f1(one, names) for one in drawn]
    return tuple(float(bound) for bound in np.nanpercentile(scores, (2.5, 97.5)))


def _claims(whole: Mapping[str, Sequence[Mapping]]) -> list[str]:
    """What is claimed of pairs of runs that are there, paired by fold, with verdicts for the page."""
    asked, differences = [], []
    for said, (run, way), (other, than) in CLAIMS:
        if run in whole and other in whole and len(whole[run]) == len(whole[other]):
            pairs = zip(whole[run], whole[other], strict=True)
            scores = [a["challenge_f1"][way] - b["challenge_f1"][than] for a, b in pairs]
            differences.append(Difference(np.array(scores)))
            asked.append(said)
    if not asked:
        return []
    lines = _head(["claimed", "difference of challenge F1 (95 % interval over folds)", "verdict"], 1)
    judged = zip(asked, differences, verdicts(differences), strict=True)
    lines += [_line([said, shown(difference, 3), verdict]) for said, difference, verdict in judged]
    return [*lines, "", "Folds share most of what is learned from: intervals over them are somewhat too narrow."]


def _costs(whole: Mapping[str, Sequence[Mapping]]) -> list[str]:
    heads = ["run", "weights", "step, ms", "steps", "minutes a fold", "trained and validated, min", "offsets"]
    lines = _head(heads, 1)
    for run, rows in whole.items():
        mean = statistics.fmean(row["seconds"] / 60 for row in rows)
        offsets = " ".join(f"{value:+.2f}" for value in np.mean([row["offsets"] for row in rows], axis=0))
        lines.append(_line([run, rows[0]["parameters"], f"{rows[0]['step_ms']:.0f}", rows[0]["steps"],
                            f"{rows[0]['minutes']:g}", f"{mean:.1f}", offsets]))  # fmt: skip
    return lines


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"


def _head(titles: Sequence[str], left: int) -> list[str]:
    return [_line(titles), _line(["---"] * left + ["---:"] * (len(titles) - left))]


def _line(cells: Sequence) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
