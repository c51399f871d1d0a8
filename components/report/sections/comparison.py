"""Teacher, students and controls side by side, of a run that compares models."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluation import comparison
from components.report.markup import counted, number, template
from components.report.section import Run, Section

_HTML = """\
<section><h2>Side by side</h2>
<div class="scroll"><table><thead><tr><th>{% for h in heads %}<th class="n">{{ h }}{% endfor %}</thead>
<tbody>{% for name, values in rows %}<tr><td>{{ name }}{% for v in values %}<td class="n">{{ v }}{% endfor %}{% endfor %}</tbody></table></div>
<p class="caption">On the test split. The control is the student on labels alone, at the same number of steps; ± is the standard deviation over seeds. Agreement and KL are with and to the teacher; multiply-adds are of convolutions and dense layers.</p></section>
"""  # noqa: E501


class Comparison(Section):
    """The table of `components.evaluation.comparison`, one column a role."""

    what = "comparison"

    def measure(self, run: Run) -> list[dict[str, Any]] | None:
        """The rows of `comparison.summary`; None of a run that compares nothing."""
        if not run.comparison:
            return None
        path = pathlib.Path(run.comparison) / comparison.FILE
        return comparison.summary(json.loads(path.read_text(encoding="utf-8")))

    def render(self, measured: Sequence[Mapping[str, Any]] | None, data: Mapping[str, Any]) -> str:
        """The section; nothing without a table."""
        del data
        return template(_HTML).render(_table(measured)) if measured else ""

    def lines(self, measured: Sequence[Mapping[str, Any]] | None) -> list[str]:
        """The table as text: a figure a line, a role a column."""
        if not measured:
            return []
        lines = ["", " " * 18 + "".join(f"{row['role']:>20}" for row in measured)]
        for name in (n for n in measured[0] if n not in ("role", "models")):
            lines.append(f"{name:18}" + "".join(f"{_figure(*row[name]):>20}" for row in measured))
        return lines + [f"{'models':18}" + "".join(f"{row['models']:>20}" for row in measured)]


SECTION = Comparison()


def _figure(mean: float | None, spread: float | None) -> str:
    if mean is None:
        return "-"
    digits = ",.0f" if mean >= 1000 else ".4f"
    return f"{mean:{digits}} ± {spread:{digits}}" if spread is not None else f"{mean:{digits}}"


def _table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A figure a row, a role a column."""
    names = [n for n in rows[0] if n not in ("role", "models")]
    heads = [f"{r['role']} ({counted(r['models'], 'model')})" for r in rows]
    return {"heads": heads, "rows": [(n.replace("_", " "), [_text(*r[n]) for r in rows]) for n in names]}


def _text(mean: float | None, spread: float | None) -> str:
    if mean is not None and mean >= 1000:  # counts
        return f"{mean:,.0f}" + (f" ± {spread:,.0f}" if spread is not None else "")
    return number(mean) + (f" ± {number(spread, 3)}" if spread is not None else "")
