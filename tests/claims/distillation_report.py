"""The tables of `tests.claims.distillation` and the verdicts on the papers' claims, from figures of finished runs."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from components.evaluation.classifier_answers import scores
from tests.claims.verdicts import Difference, shown, verdicts

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

    A bound below zero claims that it is not worse by more than that. A check is of what a term of the loss minimises
    by definition: that it does says that the training works, not that the paper is right.
    """

    text: str
    run: str
    other: str
    figure: str = "accuracy"
    sign: int = 1
    least: float = 0.0
    is_check: bool = False


CLAIMS = (
    Claim(
        "KD lowers the softened divergence from the teacher (1503.02531)",
        "kd",
        "alone",
        "kl_softened",
        -1,
        is_check=True,
    ),
    Claim("KD lowers the divergence from the teacher at temperature 1", "kd", "alone", "kl_to_teacher", -1),
    Claim("KD is more accurate than labels alone", "kd", "alone"),
    Claim(
        "CCKD, Taylor kernel, lowers its own error by 30 % against KD",
        "cckd_taylor",
        "kd",
        "cckd_error",
        -1,
        0.3,
        is_check=True,
    ),
    Claim(
        "CCKD, Taylor kernel, at ten times the weight: the same",
        "cckd_heavy",
        "kd",
        "cckd_error",
        -1,
        0.3,
        is_check=True,
    ),
    Claim("CCKD, bilinear, lowers the same error by 30 %", "cckd_bilinear", "kd", "cckd_error", -1, 0.3, is_check=True),
    Claim("CCKD, Taylor kernel, costs KD at most half a point", "cckd_taylor", "kd", least=-0.005),
    Claim("CCKD at ten times the weight: the same", "cckd_heavy", "kd", least=-0.005),
    Claim("CCKD, Taylor kernel, is more accurate than KD (1904.01802)", "cckd_taylor", "kd"),
    Claim("CCKD, bilinear, costs KD at most half a point", "cckd_bilinear", "kd", least=-0.005),
    Claim("RKD lowers its own error against KD (1904.05068)", "rkd", "kd", "rkd_error", -1, is_check=True),
    Claim(
        "attention transfer lowers its own error against KD (1612.03928)",
        "attention",
        "kd",
        "attention_error",
        -1,
        is_check=True,
    ),
    Claim(
        "hints lower what no linear map explains of the teacher's maps (1412.6550)",
        "hint",
        "kd",
        "hint_error",
        -1,
        is_check=True,
    ),
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
    """A line a claim and a check, each a table: the mean paired difference with its interval, and the verdict.

    Differences of errors are relative to the other run's, of accuracies and divergences absolute. `visible` is how far
    from its bound a difference must be for four of five such experiments to show it, among all claims of the page.
    """
    lines = []
    for is_check in (False, True):
        if not (asked := [claim for claim in CLAIMS if claim.is_check == is_check]):
            continue
        found = {claim: Difference(np.array(gains), claim.least) for claim in asked if (gains := _gains(claim, runs))}
        said = dict(zip(found, verdicts(list(found.values())), strict=True))
        lines += [f"| {'check' if is_check else 'claim'} | difference (95 % interval) | visible | seeds | verdict |",
                  "| --- | ---: | ---: | ---: | --- |"]  # fmt: skip
        for claim in asked:
            if claim not in found:
                lines.append(f"| {claim.text} | | | 0 | not run |")
                continue
            gains = found[claim]
            seen = gains.visible(len(found))
            as_measured = dataclasses.replace(gains, values=claim.sign * gains.values)
            cells = shown(as_measured), "" if seen is None else f"{seen:.4f}", gains.runs
            lines.append(f"| {claim.text} | {' | '.join(map(str, cells))} | {said[claim]} |")
        lines.append("")
    return lines[:-1]


def _gains(claim: Claim, runs: dict[str, dict[int, dict]]) -> list[float]:
    """What the claimed run has more than the other on the claim's side, for each seed that both have."""
    one, other = (runs.get(name, {}) for name in (claim.run, claim.other))
    pairs = [(one[s][claim.figure], other[s][claim.figure]) for s in one
             if all(claim.figure in by_seed.get(s, {}) for by_seed in (one, other))]  # fmt: skip
    return [claim.sign * (a - b) / (b if claim.figure.endswith("error") else 1.0) for a, b in pairs]
