"""The page of a sweep: its trials as a table, as lines over all options, and how each option goes with the score."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from components.report import plots
from components.report.markup import counted, number, template
from models.contract.training import Judge
from models.files import write_text

_HERE = pathlib.Path(__file__).parent
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sweep of {{ recipe }}</title><style>{{ style | safe }}</style></head><body>
<p class="over">sweep</p><h1>{{ recipe }}</h1>
<p class="meta">{{ count }}, {{ algorithm }}; {{ judge }}, {{ better }} is better. Data: {{ data }}.</p>
{% if bounds %}<p class="meta">Bounds: {{ bounds }}; trials outside come last.</p>{% endif %}
<h2>Trials</h2><div class="scroll"><table><thead><tr><th class="n">trial</th><th class="n">{{ judge }}</th>
{% for name in measured + names %}<th class="n">{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for row in rows %}<tr>{% for cell in row %}<td class="n">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% if lines %}<h2>Options and score</h2><figure>{{ lines | safe }}<figcaption>A line a trial, the best strong; each axis
goes from the least to the greatest value that was tried, upwards to the better score on the last.</figcaption></figure>
<h2>Importance</h2><figure>{{ bars | safe }}<figcaption>Rank correlation (Spearman) of each option with the score, over
{{ count }}: to the right, greater values did better. It sees one option at a time, and few trials say little.
</figcaption></figure>{% endif %}</body></html>
"""


def write(path: pathlib.Path, found: Mapping[str, Any]) -> None:
    """Writes the page; `found` is what a sweep's results file holds, the best trial first."""
    write_text(path, render(found))


def render(found: Mapping[str, Any]) -> str:
    """The page as text, which needs nothing from outside; drawings are left out where fewer than three trials are."""
    trials, judge = found["trials"], found["judge"]
    names, measured = list(trials[0]["values"]), list(trials[0].get("measured", {}))
    drawn = len(trials) > 2
    score = Judge(**judge).title
    return template(_PAGE).render(
        recipe=found["recipe"],
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        count=counted(len(trials), "trial"),
        algorithm=found["plan"]["algorithm"],
        judge=score,
        better=judge["better"],
        data=found["data"]["folder"] or found["data"]["dataset"],
        names=names,
        measured=measured,
        bounds=", ".join(_bounds(found["plan"])),
        rows=[
            [
                one["trial"],
                number(one["score"], 5),
                *(number(one.get("measured", {})[name], 5) for name in measured),
                *(number(one["values"][name]) for name in names),
            ]
            for one in trials
        ],  # fmt: skip
        lines=_lines(trials, names, score, judge["better"]) if drawn else "",
        bars=_bars(importance(found)) if drawn else "",
    )


def _bounds(plan: Mapping[str, Any]) -> list[str]:
    """The bounds as people write them; files of before have none."""
    low, high = plan.get("at_least", {}), plan.get("at_most", {})
    return [f"{n} ≥ {x:g}" for n, x in low.items()] + [f"{n} ≤ {x:g}" for n, x in high.items()]


def importance(found: Mapping[str, Any]) -> dict[str, float]:
    """Of each option Spearman's rank correlation of its values with how good the trials were; 0 if it had one value."""
    trials = found["trials"]
    sign = 1 if found["judge"]["better"] == "higher" else -1
    scores = [sign * one["score"] for one in trials]
    columns = {name: _numbers([one["values"][name] for one in trials]) for name in trials[0]["values"]}
    varied = np.ptp(scores) > 0
    return {
        name: float(stats.spearmanr(column, scores).statistic) if varied and np.ptp(column) else 0.0
        for name, column in columns.items()
    }


def _numbers(column: Sequence[Any]) -> np.ndarray:
    """Values as floats; text by its place in order."""
    values = np.array(column)
    return values.astype(float) if values.dtype.kind in "biuf" else np.unique(values, return_inverse=True)[1] * 1.0


def _lines(trials: Sequence[Mapping[str, Any]], names: Sequence[str], score: str, better: str) -> str:
    """Parallel coordinates."""
    columns = [[one["values"][name] for one in trials] for name in names] + [[one["score"] for one in trials]]
    heights = np.array([_heights(column) for column in columns])
    if better == "lower":
        heights[-1] = 1 - heights[-1]
    fig, (ax,) = plots.axes((max(7.0, 1.5 * len(columns)), 3.2))
    ax.grid(False)
    for n in reversed(range(len(trials))):
        style = {"color": plots.SERIES[0], "linewidth": 2.4} if n == 0 else {"color": plots.SERIES[1], "alpha": 0.45}
        ax.plot(range(len(columns)), heights[:, n], **style)
    for n, column in enumerate(columns):
        ax.axvline(n, color=plots.FAINT, linewidth=1)
        low, high = (max(column), min(column)) if n == len(names) and better == "lower" else (min(column), max(column))
        ax.text(n, -0.06, number(low), color=plots.INK, fontsize=8, ha="center", va="top")
        ax.text(n, 1.04, number(high), color=plots.INK, fontsize=8, ha="center")
    ax.set_xticks(range(len(columns)), [*names, score])
    ax.tick_params(axis="x", pad=16)
    ax.set_yticks([])
    ax.set_ylim(-0.02, 1.02)
    ax.spines["bottom"].set_visible(False)
    return plots.to_svg(fig, "sweep-lines")


def _spreads(column: Sequence[Any]) -> bool:
    """Whether values are better seen by their logarithms, as those of a rate are."""
    return all(isinstance(value, float) and value > 0 for value in column) and max(column) > 20 * min(column)


def _heights(column: Sequence[Any]) -> list[float]:
    """Values as heights from 0 to 1, in the middle where all are the same; text by its order."""
    values = _numbers(column)
    values = np.log(values) if _spreads(column) else values
    span = values.max() - values.min()
    return list((values - values.min()) / span) if span else [0.5] * len(values)


def _bars(correlations: Mapping[str, float]) -> str:
    rows = sorted(correlations.items(), key=lambda item: abs(item[1]))
    fig, (ax,) = plots.axes((6.4, 0.9 + 0.34 * len(rows)))
    ax.barh([name for name, _ in rows], [value for _, value in rows], color=plots.SERIES[1], height=0.6)
    ax.axvline(0, color=plots.INK, linewidth=0.8)
    ax.set_xlim(-1, 1)
    return plots.to_svg(fig, "sweep-importance")
