"""The tables of `tests.claims.distillation` and the verdicts on the papers' claims, from figures of finished runs."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from components.evaluation.classifier_answers import scores

GENERATIONS = 3
EARLY = 2  # position on the route of the first of four anchors


def ensemble(answers: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """Accuracy and cross-entropy of the mean of several runs' probabilities, and the members' means of both."""
    each, together = [scores(p, labels, p) for p in answers], scores(np.mean(answers, 0), labels, answers[0])
    names = ("accuracy", "cross_entropy")
    return {k: together[k] for k in names} | {f"members_{k}": float(np.mean([m[k] for m in each])) for k in names}


def report(done: Mapping[tuple[str, int], dict], answers: Callable[[str, int], np.ndarray], labels: np.ndarray) -> str:
    """The tables and the claims, as Markdown.

    Args:
      done: figures by run and seed. answers: (run, seed) -> probabilities [N, K] for the test pictures.
      labels: theirs, int [N].
    """
    runs: dict[str, dict[int, dict]] = {}
    for (name, seed), entry in done.items():
        runs.setdefault(name, {})[seed] = entry
    figures = ("accuracy", "cross_entropy", "calibration_error", "agreement", "kl_to_teacher", "kl_softened",
               "hint_error", "attention_error", "rkd_error", "cckd_error")  # fmt: skip
    lines = ["| run | seeds | " + " | ".join(figures) + " |", "| --- | ---: |" + " ---: |" * len(figures)]
    for name, by_seed in runs.items():
        cells = [spread([entry[f] for entry in by_seed.values() if f in entry]) for f in figures]
        lines.append(f"| {name} | {len(by_seed)} | " + " | ".join(cells) + " |")
    lines += ["", "| ensemble of | seeds | accuracy | of its members | cross-entropy | of its members |",
              "| --- | ---: |" + " ---: |" * 4]  # fmt: skip
    for what in ("clean", "noisy"):
        for kind in ("generation", "retrained"):
            names = [f"{what}_{kind}{k}" for k in range(1, GENERATIONS + 1)]
            seeds = [s for s in runs.get(names[0], {}) if all((name, s) in done for name in names)]
            if found := [ensemble([answers(name, s) for name in names], labels) for s in seeds]:
                parts = ("accuracy", "members_accuracy", "cross_entropy", "members_cross_entropy")
                cells = [spread([m[f] for m in found]) for f in parts]
                lines.append(f"| {what} {kind}s 1 to {GENERATIONS} | {len(found)} | " + " | ".join(cells) + " |")
    if along := [r["route_kl"] for r in runs.get("early", {}).values()]:
        means = ", ".join(f"{v:.3f}" for v in np.mean(along, 0))
        lines += ["", f"KL(checkpoint || student of checkpoint {EARLY + 1}), epoch by epoch: {means}"]
    if sure := list(runs.get("noisy_generation0", {}).values()):
        right, wrong = (spread([r[f"sure_of_{w}"] for r in sure]) for w in ("right", "wrong"))
        lines += ["", f"Confidence of the noisy generation 0 where labels are right: {right}, wrong: {wrong}"]
    return "\n".join([*lines, "", *claims(runs)])


def spread(values: list[float]) -> str:
    """Mean and standard deviation; empty without values."""
    if not values:
        return ""
    digits = 1 if abs(values[0]) >= 10 else 4
    text = f"{statistics.fmean(values):.{digits}f}"
    return text + (f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


@dataclasses.dataclass(frozen=True)
class Claim:
    """What is claimed of a run against another: a figure is higher (sign 1) or lower (-1) by at least so much.

    A bound below zero claims that it is not worse by more than that.
    """

    text: str
    run: str
    other: str
    figure: str = "accuracy"
    sign: int = 1
    least: float = 0.0


CLAIMS = (
    Claim("KD lowers the softened divergence from the teacher (1503.02531)", "kd", "alone", "kl_softened", -1),
    Claim("KD lowers the divergence from the teacher at temperature 1", "kd", "alone", "kl_to_teacher", -1),
    Claim("KD is more accurate than labels alone", "kd", "alone"),
    Claim("CCKD, Taylor kernel, lowers its own error by 30 % against KD", "cckd_taylor", "kd", "cckd_error", -1, 0.3),
    Claim("CCKD, Taylor kernel, at ten times the weight: the same", "cckd_heavy", "kd", "cckd_error", -1, 0.3),
    Claim("CCKD, bilinear, lowers the same error by 30 %", "cckd_bilinear", "kd", "cckd_error", -1, 0.3),
    Claim("CCKD, Taylor kernel, costs KD at most half a point", "cckd_taylor", "kd", least=-0.005),
    Claim("CCKD at ten times the weight: the same", "cckd_heavy", "kd", least=-0.005),
    Claim("CCKD, Taylor kernel, is more accurate than KD (1904.01802)", "cckd_taylor", "kd"),
    Claim("CCKD, bilinear, costs KD at most half a point", "cckd_bilinear", "kd", least=-0.005),
    Claim("RKD lowers its own error against KD (1904.05068)", "rkd", "kd", "rkd_error", -1),
    Claim("attention transfer lowers its own error against KD (1612.03928)", "attention", "kd", "attention_error", -1),
    Claim("hints lower what no linear map explains of the teacher's maps (1412.6550)", "hint", "kd", "hint_error", -1),
    Claim("hints make KD more accurate", "hint", "kd"),
    Claim("RCO's premise: an early checkpoint is easier to follow than the last", "early", "kd", "kl_to_own", -1),
    Claim("RCO, equal intervals, is more accurate than KD at equal cost (1904.09149)", "rco_equal", "kd"),
    Claim("RCO, greedy search, is more accurate than KD at equal cost", "rco_greedy", "kd"),
    Claim("RCO lowers the divergence from the final teacher", "rco_equal", "kd", "kl_to_teacher", -1),
    Claim("generation 1 beats the re-trained control (1805.04770)", "clean_generation1", "clean_retrained1"),
    Claim("generation 3 beats its control", "clean_generation3", "clean_retrained3"),
    Claim("30 % wrong labels: generation 1 wins by a point", "noisy_generation1", "noisy_retrained1", least=0.01),
    Claim("30 % wrong labels: generation 3 beats its control", "noisy_generation3", "noisy_retrained3"),
    Claim("CWTM beats the re-trained control", "clean_cwtm", "clean_retrained1"),
    Claim("DKPP beats the re-trained control", "clean_dkpp", "clean_retrained1"),
)


def claims(runs: dict[str, dict[int, dict]]) -> list[str]:
    """A line a claim: holds if the mean paired difference is on its side, by more than its standard error and bound.

    Of a bound below zero the standard error does not matter. Seeds are on a claim's side beyond its bound.

    Differences of errors are relative to the other run's, of accuracies and divergences absolute.
    """
    lines = ["| claim | difference | seeds on its side | verdict |", "| --- | ---: | ---: | --- |"]
    for text, run, other, figure, sign, least in map(dataclasses.astuple, CLAIMS):
        both = [runs.get(name, {}) for name in (run, other)]
        seeds = [s for s in both[0] if all(figure in by_seed.get(s, {}) for by_seed in both)]
        if not seeds:
            lines.append(f"| {text} | | 0 | not run |")
            continue
        pairs = [(runs[run][s][figure], runs[other][s][figure]) for s in seeds]
        gains = [sign * (a - b) / (b if figure.endswith("error") else 1.0) for a, b in pairs]
        mean, error = statistics.fmean(gains), statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else None
        right = sum(g > least for g in gains)
        holds = error is not None and mean >= least and (least < 0 or mean > error)
        verdict = "one seed says nothing" if error is None else "holds here" if holds else "does not hold here"
        shown = f"{sign * mean:+.4f}" + (f" ± {error:.4f}" if error is not None else "")
        lines.append(f"| {text} | {shown} | {right} of {len(seeds)} | {verdict} |")
    return lines
