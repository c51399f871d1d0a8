"""Teacher, students and controls side by side, of a run that compares models."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.report.markup import counted, number, template
from components.report.section import Section

_HTML = """\
<section><h2>Side by side</h2>
<div class="scroll"><table><thead><tr><th>{% for h in heads %}<th class="n">{{ h }}{% endfor %}</thead>
<tbody>{% for name, values in rows %}<tr><td>{{ name }}{% for v in values %}<td class="n">{{ v }}{% endfor %}{% endfor %}</tbody></table></div>
<p class="caption">On the test split. The control is the student on labels alone, at the same number of steps; ± is the standard deviation over seeds. Agreement and KL are with and to the teacher; multiply-adds are of convolutions and dense layers.</p></section>
"""  # noqa: E501


class Comparison(Section):
    """The table of `components.evaluation.comparison.summary`, which the end of a run puts into the report."""

    def render(self, measured: Any, data: Mapping[str, Any]) -> str:
        """The section; nothing before the run has ended."""
        rows = data.get("comparison") or ()
        return template(_HTML).render(_table(rows)) if rows else ""


SECTION = Comparison()


def _table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A figure a row, a role a column."""
    names = [n for n in rows[0] if n not in ("role", "models")]
    heads = [f"{r['role']} ({counted(r['models'], 'model')})" for r in rows]
    return {"heads": heads, "rows": [(n.replace("_", " "), [_text(*r[n]) for r in rows]) for n in names]}


def _text(mean: float | None, spread: float | None) -> str:
    if mean is not None and mean >= 1000:  # counts
        return f"{mean:,.0f}" + (f" ± {spread:,.0f}" if spread is not None else "")
    return number(mean) + (f" ± {number(spread, 3)}" if spread is not None else "")
