"""What a classifier with a budget of multiplications takes for one picture, layer by layer, beside plain layers."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from components.report.markup import number, template
from components.report.section import Run, Section
from models.classifiers import ternary_file
from models.layers import cost
from models.publishing import pushed

_HTML = """\
<section><h2>Operations of one picture</h2>
<p>{{ told }}</p>
<div class="scroll"><table><thead><tr><th>layer<th>kind<th class="n">multiplications<th class="n">of the plain layer<th class="n">additions<th class="n">not zero</thead>
<tbody>{% for r in rows %}<tr><td>{{ r[0] }}<td>{{ r[1] }}{% for v in r[2:] %}<td class="n">{{ v }}{% endfor %}{% endfor %}</tbody></table></div>
<p class="caption">Exact counts; a normalisation is a factor and a shift an output, pooling and activations are left out. Plain hardware does not turn fewer multiplications into time.</p></section>
"""  # noqa: E501


class OperationsSection(Section):
    """Counted on the network as it is exported; of networks without a budget there is no section."""

    what = "operations"

    def measure(self, run: Run) -> dict[str, Any] | None:
        """ "layers": rows of `cost.operations`; "total": their sums; "plain": sums of the network with plain layers;
        "bytes": of the weights, packed and not, and of the packed file.
        """
        if not pushed.describe(run.model_dir)["config"].get("budget"):
            return None
        recipe, config, model = pushed.load(run.model_dir)
        found = cost.operations(model.network)
        plain = cost.operations(recipe.build(dataclasses.replace(config, budget=0.0)).network)
        file = pathlib.Path(run.model_dir) / pushed.EXTRA / ternary_file.FILE
        sizes = ternary_file.size_bytes(model.network) | {"file": file.stat().st_size if file.is_file() else 0}
        return {
            "layers": [row._asdict() for row in found], "total": _totals(found), "plain": _totals(plain), "bytes": sizes
        }  # fmt: skip

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """A table of the layers; nothing without a budget."""
        del data
        if not measured:
            return ""
        rows = [
            (r["name"], r["kind"], *(f"{r[name]:,}" for name in ("multiplications", "plain", "additions")),
             number(r["density"], 3))
            for r in measured["layers"]
        ]  # fmt: skip
        return template(_HTML).render(told=_told(measured), rows=rows)

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """The sums, beside those of plain layers."""
        if not measured:
            return []
        total, plain, sizes = measured["total"], measured["plain"], measured["bytes"]
        return [
            *((name, f"{total[name]:,} ({plain[name]:,} with plain layers)") for name in total),
            ("ternary weights", f"{sizes['ternary']:,} bytes packed ({sizes['float32']:,} as float32)"),
        ]


SECTION = OperationsSection()


def _totals(rows) -> dict[str, int]:
    return {name: sum(getattr(row, name) for row in rows) for name in ("multiplications", "additions")}


def _told(measured: Mapping[str, Any]) -> str:
    total, plain, sizes = measured["total"], measured["plain"], measured["bytes"]
    saved = 1 - total["multiplications"] / plain["multiplications"]
    return (
        f"{total['multiplications']:,} multiplications, {saved:.2%} fewer than the {plain['multiplications']:,} of the "
        f"same network with plain layers; {total['additions']:,} additions to {plain['additions']:,}. The weights take "
        f"{sizes['ternary']:,} bytes with two bits a ternary value, {sizes['float32']:,} as float32."
    )
