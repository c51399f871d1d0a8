"""The algorithm for a matrix product that a run has found, written out."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from components.report.markup import template
from components.report.section import Run, Section
from models.publishing import pushed
from models.strassen import algorithm as algorithms
from models.strassen.bilinear import FILE

_HTML = """\
<section><h2>The algorithm</h2>
<p>{{ said }}</p>
<pre>{% for line in lines %}{{ line }}
{% endfor %}</pre>
<p class="caption">Verified over the integers: the tensor of the algorithm is compared with that of the product in each of its places. Additions are counted without reuse. {{ restarts }}</p></section>
"""  # noqa: E501


class AlgorithmSection(Section):
    """Read from the file beside the model, and verified anew."""

    what = "algorithm"

    def measure(self, run: Run) -> dict[str, Any]:
        """ "sizes", "products", "additions", "nonzeros", "wrong" (places of the tensor), "lines" (formulas),
        "restarts" and "exact_restarts".
        """
        said = (pathlib.Path(run.model_dir) / pushed.EXTRA / FILE).read_text(encoding="utf-8")
        found = algorithms.loads(said)
        facts = {name: getattr(found, name) for name in ("sizes", "products", "additions", "nonzeros", "wrong")}
        searches = {name: json.loads(said)[name] for name in ("restarts", "exact_restarts")}
        return facts | {"lines": algorithms.text(found)} | searches

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """The formulas."""
        del data
        if not measured:
            return ""
        return template(_HTML).render(said=_said(measured), lines=measured["lines"], restarts=_searches(measured))

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """What the searches came to."""
        return [("searches", _searches(measured))] if measured else []

    def lines(self, measured: Mapping[str, Any] | None) -> list[str]:
        """The same as text."""
        return ["", _said(measured), *(f"  {line}" for line in measured["lines"])] if measured else []


SECTION = AlgorithmSection()


def _said(measured: Mapping[str, Any]) -> str:
    m, k, n = measured["sizes"]
    counts = f"{measured['products']} multiplications and {measured['additions']} additions"
    wrong = measured["wrong"]
    exact = "exact over the integers" if not wrong else f"NOT exact: wrong in {wrong} places of its tensor"
    return f"{m}x{k} by {k}x{n} with {counts} ({m * k * n} multiplications plainly), {exact}:"


def _searches(measured: Mapping[str, Any]) -> str:
    return f"{measured['exact_restarts']} of {measured['restarts']} searches ended at an exact algorithm"
