"""What the weights of a training were: the policy over its stages, right and wrong labels, and how it was searched."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.report import plots
from components.report.markup import template
from components.report.plots import FAINT, INK, SERIES
from components.report.section import Run, Section
from models.publishing import pushed
from models.weighting import record

_HTML = """\
<section><h2>Weights of the examples</h2>
<figure>{{ training|safe }}</figure>
<p class="caption">{{ about }} Left: mean weight by the loss, from the tenth of a batch with the smallest losses to that with the largest, for the first, a middle and the last stage. {% if noisy %}Middle: mean weights of right labels and of those that were made wrong. {% endif %}Right: effective size of a batch, (Σw)² / (B Σw²).</p>
{% if search %}<figure>{{ search|safe }}</figure>
<p class="caption">The search. Left: what a stage gained on clean examples over a duplicate with uniform weights, in the unit of the reward, one mark a stage; 0 is no gain. Right: what the target came to at the end of each episode (minus cross-entropy, or accuracy; more is better); the policy of the best one was kept.</p>{% endif %}
</section>
"""  # noqa: E501


class Weighting(Section):
    """Read from what the training left beside the model."""

    what = "weights of the examples"

    def measure(self, run: Run) -> dict[str, Any] | None:
        """What `models.weighting.record.FILE` beside the model holds; None if it is not there."""
        path = pathlib.Path(run.model_dir) / pushed.EXTRA / record.FILE
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """Two rows of drawings; nothing where there is nothing."""
        del data
        if not measured:
            return ""
        weights, search = measured["weights"], measured["search"]
        auc = weights["auc_all"]
        about = f"Weighed by: {measured['weighting']}."
        if auc is not None:
            about += f" A right label weighs more than a wrong one with a chance of {auc:.3f} (by chance: 0.5)."
        return template(_HTML).render(
            about=about, noisy=auc is not None, training=_training(weights), search=_search(search) if search else ""
        )

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """How well the weights tell right labels from wrong ones."""
        auc = measured["weights"]["auc_all"] if measured else None
        return [("AUC of weights", f"{auc:.4f}")] if auc is not None else []


SECTION = Weighting()


def _training(weights: Mapping[str, Any]) -> str:
    """Policy, right and wrong labels, effective sizes, as SVG."""
    noisy = weights["auc_all"] is not None
    fig, panels = plots.axes((10.5 if noisy else 7.5, 2.9), 3 if noisy else 2)
    stages = [n for n, size in enumerate(weights["effective"]) if size is not None]
    for colour, stage in zip(SERIES, _ends_and_middle(stages), strict=False):
        _line(panels[0], range(1, 11), weights["by_loss"][stage], colour, f"stage {stage + 1}")
    _name(panels[0], "tenth of the loss", "mean weight")
    if noisy:
        for colour, side in zip(SERIES, ("right", "wrong"), strict=False):
            _line(panels[1], range(1, len(weights[side]) + 1), weights[side], colour, f"{side} labels")
        _name(panels[1], "stage", "mean weight")
    _line(panels[-1], range(1, len(weights["effective"]) + 1), weights["effective"], SERIES[0])
    panels[-1].set_ylim(0, 1.05)
    _name(panels[-1], "stage", "effective size over B")
    return plots.to_svg(fig, "weights")


def _search(search: Mapping[str, Any]) -> str:
    """Rewards of the stages and scores of the episodes, as SVG."""
    fig, (left, right) = plots.axes((7.5, 2.9), 2)
    rewards = np.array(search["rewards"])
    left.axhline(0.0, color=FAINT, linewidth=1.5)
    middles = [rewards.shape[1] * (e + 0.5) for e in range(len(rewards))]
    left.scatter(range(1, rewards.size + 1), rewards.ravel(), s=9, color=SERIES[1], alpha=0.7)
    _line(left, middles, rewards.mean(1), SERIES[0], "episode's mean")
    _name(left, "stage of the search", "reward")
    _line(right, range(1, len(rewards) + 1), [episode[-1] for episode in search["scores"]], SERIES[0])
    _name(right, "episode", "clean examples")
    return plots.to_svg(fig, "search")


def _ends_and_middle(stages: Sequence[int]) -> list[int]:
    return sorted({stages[0], stages[len(stages) // 2], stages[-1]}) if stages else []


def _line(ax, xs, ys, colour: str, label: str = "") -> None:
    """A line through the numbers that there are."""
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None]
    if points:
        ax.plot(*zip(*points, strict=True), color=colour, linewidth=1.8, marker="o", markersize=3, label=label or None)


def _name(ax, x: str, y: str) -> None:
    ax.set_xlabel(x, color=INK, fontsize=9)
    ax.set_ylabel(y, color=INK, fontsize=9)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, labelcolor=INK, fontsize=9)
