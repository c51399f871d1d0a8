"""What the page says of any model that tells classes apart: who is taken for whom, and how sure it is."""

from collections.abc import Mapping
from typing import Any

from components.report import plots
from components.report.markup import template

EVALUATION_ABOUT = "Over the test split, from the exported model. The calibration error has 15 bins."
_PAIRS = 20  # the most frequent confusions; a matrix of more classes than that is left out
_HTML = """\
<section><h2>Confusions and confidence</h2>
{% if confusion %}<div class="split"><figure>{{ calibration|safe }}</figure>
<div>{% if confusion.rows %}<div class="scroll"><table class="confusion"><thead><tr><th>{% for n in confusion.names %}<th class="n">{{ n }}{% endfor %}</thead>
<tbody>{% for r in confusion.rows %}<tr><th>{{ r.name }}{% for count, shade in r.cells %}<td class="n" style="background:color-mix(in srgb, var(--series-0) {{ (shade * 60)|int }}%, transparent)">{{ count or "" }}{% endfor %}{% endfor %}</tbody></table></div>
<p class="caption">Rows: what a {{ thing }} of the test split is. Columns: what it is taken for.</p>{% endif %}
{% if confusion.pairs %}<details{% if not confusion.rows %} open{% endif %}><summary>Most frequent confusions</summary><table><tbody>{% for n, is, taken in confusion.pairs %}<tr><td>{{ is }}<td>taken for {{ taken }}<td class="n">{{ n }}{% endfor %}</tbody></table></details>{% endif %}</div></div>
{% else %}<p class="missing">No {{ thing }} was classified in this run.</p>{% endif %}
{{ more|safe }}</section>
"""  # noqa: E501


def render(classified: Mapping[str, Any] | None, noun: str, more: str = "") -> str:
    """A section of confusions and reliability.

    Args:
      classified: "names", "confusion" (counts [K][K]) and "reliability" (bins of `calibration_error.reliability`).
      noun: what the examples are. more: HTML that stands at the end of the section.
    """
    return template(_HTML).render(
        confusion=_confusion(classified) if classified else None,
        calibration=plots.calibration(classified["reliability"]) if classified else "",
        thing=noun.removesuffix("s"),
        more=more,
    )


def _confusion(classified: Mapping[str, Any]) -> dict[str, Any]:
    """The confusion matrix as rows of (count, shade 0 to 1); past _PAIRS classes only the worst pairs."""
    names, counts = classified["names"], classified["confusion"]
    pairs = [(n, names[i], names[j]) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j]
    rows = [
        {"name": name, "cells": [(n, round(n / max(1, sum(row)), 2)) for n in row]}
        for name, row in zip(names, counts, strict=True)
    ]
    return {
        "names": names,
        "rows": rows if len(names) <= _PAIRS else [],
        "pairs": sorted(pairs, reverse=True)[:_PAIRS],
    }
