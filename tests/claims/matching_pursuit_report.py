"""Judges the lines of `tests.claims.matching_pursuit` and draws their rates."""

import statistics
from collections.abc import Sequence

import numpy as np

from components.report import plots
from models.pursuit.pursuit import ALGORITHMS
from tests.claims.verdicts import DOES_NOT, HOLDS

LEAST = 20  # seeds without which nothing is said to hold


def found(lines: Sequence[dict], part: str) -> list[dict]:
    """What a part gave, by seed."""
    return [line["found"] for line in sorted(lines, key=lambda line: line["seed"]) if line["part"] == part]


def claims(lines: Sequence[dict]) -> str:
    """A Markdown table: each claim, its verdict, the figures."""
    rows = ["| | claim | verdict | found |", "| ---: | --- | --- | --- |"]
    for number, (text, part, judge) in enumerate(JUDGES, 1):
        seeds = found(lines, part)
        if len(seeds) < LEAST:
            said, figures = "not shown", f"{len(seeds)} of {LEAST} seeds are there"
        else:
            holds, figures = judge(seeds, lines)
            said = HOLDS if holds else DOES_NOT
        rows.append(f"| {number} | {text} | {said} | {figures} |")
    return "\n".join(rows)


def _rates(seeds, lines):
    fits = {name: [s[name]["r2"] or 0.0 for s in seeds] for name in ("amp", "pwmp")}
    spread = statistics.median(s["nnmp"]["spread"] for s in seeds)
    said = ", ".join(f"R^2 of {n}: least {min(v):.3f}, median {statistics.median(v):.3f}" for n, v in fits.items())
    holds = all(min(v) >= 0.98 for v in fits.values()) and spread <= 1
    return holds, f"{said}; eps*t of nnmp spans {spread:.2f} decades (median)"


def _order(seeds, lines):
    counts = [[s[n]["reached"] if s[n]["reached"] is not None else 1e9 for n in ALGORITHMS] for s in seeds]
    right = sum(f < p < a < n for n, a, p, f in counts)
    medians = ", ".join(
        f"{n} {m:g}" if (m := statistics.median(c)) < 1e9 else f"{n} not in 3,000"
        for n, c in zip(ALGORITHMS, zip(*counts, strict=True), strict=True)
    )
    return right >= 18, f"order FCMP < PWMP < AMP < NNMP on {right} of {len(seeds)}; median steps to 1e-6: {medians}"


def _optimum(seeds, lines):
    worst = {n: max(abs(s[n]["apart"]) for s in seeds) for n in ALGORITHMS}
    slopes = {n: max(max(-s[n]["lowest"], abs(s[n]["along"])) for s in seeds) for n in ALGORITHMS}
    said = ", ".join(f"{n} {worst[n]:.1e} (slopes {slopes[n]:.1e})" for n in ALGORITHMS)
    return all(v <= (1e-2 if n == "nnmp" else 1e-6) for n, v in worst.items()), f"furthest from NNLS: {said}"


def _good_steps(seeds, lines):
    both = [s for part in ("open", "inside", "low") for s in found(lines, part)]
    share = [1 - s["amp"]["drops"] / max(1, s["amp"]["steps"]) for s in both]
    most = max(s["amp"]["drops"] for s in both)
    said = f"least share of good steps of AMP {min(share):.3f} on {len(both)} runs, at most {most} drops"
    return min(share) >= 0.5, said


def _convex(seeds, lines):
    worst = {n: max(s[n]["late"] for s in seeds) for n in ALGORITHMS}
    said = ", ".join(f"{n} {v:.2g}" for n, v in worst.items())
    return all(v <= 1 for v in worst.values()), f"largest eps*t from step 300 on over that before, worst seed: {said}"


def _factors(seeds, lines):
    said, holds = [], True
    for rank in seeds[0]:
        mean = {n: statistics.fmean(s[rank][n]["error"] for s in seeds) for n in seeds[0][rank]}
        against = {n: sum(s[rank]["greedy"]["error"] <= s[rank][n]["error"] for s in seeds) for n in mean}
        holds &= all(mean["greedy"] <= mean[n] for n in mean if n.startswith("mu"))
        seconds = statistics.fmean(s[rank]["greedy"]["seconds"] for s in seeds)
        said.append(f"rank {rank} ({seconds:.2f} s): greedy {mean['greedy']:.1f}, " + ", ".join(
            f"{n} {mean[n]:.1f} ({against[n]} of {len(seeds)})" for n in mean if n != "greedy"))  # fmt: skip
    return holds, "; ".join(said) + " (in brackets: seeds on which greedy is no worse)"


def _garrote(seeds, lines):
    rows = {n: np.concatenate([s[n] for s in seeds]) for n in seeds[0]}
    said = ", ".join(f"{n} {np.median(v[:, 0]):.4f} ({np.mean(v[:, 1]):.1f} features)" for n, v in rows.items())
    near = [abs((rows[n] - rows["descent"])[:, 0].mean()) for n in ("nnmp", "pwmp", "fcmp")]
    noise = rows["descent"][:, 0].std()
    return max(near) <= noise, f"{len(rows['plain'])} splits, median accuracy: {said}; spread over splits {noise:.4f}"


def _sparsity(seeds, lines):
    counts, said, holds = [k for k in seeds[0] if k != "NNLS"], [], True
    for k in counts:
        mean = {n: statistics.fmean(s[k][n] for s in seeds) for n in seeds[0][k]}
        others = [v for n, v in mean.items() if n not in ALGORITHMS]
        holds &= mean["fcmp"] <= min(others) * (1 + 1e-9)  # the first atoms are the same, but for rounding
        said.append(f"{k} atoms: " + ", ".join(f"{n} {v:.4f}" for n, v in mean.items()))
    whole = statistics.fmean(s["NNLS"]["error"] for s in seeds), statistics.fmean(s["NNLS"]["atoms"] for s in seeds)
    return holds, "; ".join(said) + f"; NNLS {whole[0]:.5f} with {whole[1]:.1f}"


JUDGES = (  # each claim, the part that it is judged by, and how
    ("AMP and PWMP converge linearly (R^2 of log error at least 0.98), NNMP as 1/t", "open", _rates),
    ("Steps to 1e-6: FCMP < PWMP < AMP < NNMP on 18 of 20 seeds", "open", _order),
    ("All come to the optimum of NNLS: 1e-6, NNMP 1e-2", "open", _optimum),
    ("At least half of AMP's steps are good ones", "open", _good_steps),
    ("Merely convex: every algorithm is O(1/t)", "low", _convex),
    ("Greedy rank-one factorisation is no worse than multiplicative updates", "factors", _factors),
    ("The garrote is as accurate as coordinate descent's, within the spread", "garrote", _garrote),
    ("Nothing has less error than FCMP at equal numbers of atoms", "sparsity", _sparsity),
)


def draw(lines: Sequence[dict], steps: Sequence[int], path) -> None:
    """The mean suboptimality of the four algorithms, a panel each kind of problem, as a PNG file."""
    titles = {"open": "y = |normal|", "inside": "y in the cone, with noise", "low": "signals of rank 20"}
    fig, panels = plots.axes((11, 3.4), columns=3)
    for ax, (part, title) in zip(panels, titles.items(), strict=True):
        seeds = found(lines, part)
        for color, name in zip(plots.SERIES, ALGORITHMS, strict=False):
            mean = np.mean([np.maximum(s[name]["curve"], 0) for s in seeds], axis=0)
            mean = np.where(mean > 1e-13, mean, np.nan)
            ax.plot(np.array(steps) + 1, mean, color=color, linewidth=1.8, label=name.upper())
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_title(f"{title}, mean of {len(seeds)} seeds", color=plots.INK, fontsize=10, loc="left")
        ax.set_xlabel("step", color=plots.INK, fontsize=9)
    panels[0].set_ylabel("f - f*", color=plots.INK, fontsize=9)
    panels[0].legend(frameon=False, labelcolor=plots.INK, fontsize=9)
    plots.save_png(fig, path)
