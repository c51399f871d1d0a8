"""How the four algorithms get to the optimum on a dictionary and patches of the test split."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.report import plots
from components.report.markup import template
from components.report.section import Run, Section
from components.report.sections.atoms import vectors
from models.publishing import pushed

PATCHES, STEPS = 64, 300
_LEAST = 1e-12  # of the signals' squares: below it all is rounding
_HTML = """\
<section><h2>Convergence</h2>
{% if plot %}<figure class="wide">{{ plot|safe }}</figure>
<table class="narrow"><thead><tr><th>algorithm{% for h in heads %}<th class="n">{{ h }}{% endfor %}</thead>
<tbody>{% for name, values in rows %}<tr><td>{{ name }}{% for v in values %}<td class="n">{{ v }}{% endfor %}{% endfor %}</tbody></table>
<p class="caption">Left and in the table: how far the objective is from the optimum after so many steps, over the squares of what is coded, mean over {{ patches }} patches of the test split, with no bound on the atoms. Right: what FCMP leaves with so many atoms.</p>
{% else %}<p class="missing">No patch was coded in this run.</p>{% endif %}</section>
"""  # noqa: E501


class Convergence(Section):
    """Measured on the first patches of the test split, in float64."""

    what = "convergence"

    def measure(self, run: Run) -> dict[str, Any]:
        """ "patches": how many; "curves": mean suboptimality before each step and at the end, by algorithm; "left":
        what FCMP leaves likewise.
        """
        import tensorflow as tf

        from models.pursuit.atoms import normalised
        from models.pursuit.problems import OnGram
        from models.pursuit.pursuit import ALGORITHMS, pursue

        _, config, model = pushed.load(run.model_dir)
        atoms = tf.constant(normalised(np.array(model.atoms))[0])
        signals = vectors(run.files, config, PATCHES)
        signals = tf.constant(signals[np.square(signals).sum(1) > 0])  # black ones are coded before the first step
        energy, histories = 0.5 * np.square(signals).sum(1), {}
        for name in ALGORITHMS:
            solve = tf.function(
                lambda s, n=name: pursue(OnGram.of(atoms, s), n, steps=STEPS, tolerance=1e-12, history=True).history,
                autograph=False,
            )
            histories[name] = solve(signals).numpy() / energy
        best = np.min([h[-1] for h in histories.values()], axis=0)
        return {
            "patches": len(signals),
            "curves": {name: (h - best).mean(1).tolist() for name, h in histories.items()},
            "left": histories["fcmp"].mean(1)[: config.atoms + 1].tolist(),
        }

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """The curves in log scale, and a table of some of their points."""
        del data
        if not measured or not measured["patches"]:
            return template(_HTML).render(plot="")
        shown = (1, 10, 30, 100, STEPS)
        rows = [(name.upper(), [f"{max(c[t], 0.0):.1e}" for t in shown]) for name, c in measured["curves"].items()]
        return template(_HTML).render(
            plot=draw(measured), rows=rows, heads=[f"{t} steps" for t in shown], patches=measured["patches"]
        )


SECTION = Convergence()


def draw(measured: Mapping[str, Any]) -> str:
    """The curves of `Convergence.measure` as SVG."""
    fig, (curves, left) = plots.axes((8.4, 3.2), columns=2)
    for color, (name, values) in zip(plots.SERIES, measured["curves"].items(), strict=False):
        values = np.array(values)
        values = np.where(values > _LEAST, values, np.nan)  # a line ends where it is at the optimum
        curves.plot(np.arange(len(values)) + 1, values, color=color, linewidth=1.8, label=name.upper())
    curves.set_xscale("log")
    curves.set_yscale("log")
    curves.set_xlabel("step", color=plots.INK, fontsize=9)
    curves.set_ylabel("distance to the optimum", color=plots.INK, fontsize=9)
    curves.legend(frameon=False, labelcolor=plots.INK, fontsize=9)
    errors = np.maximum(measured["left"], _LEAST)
    left.plot(np.arange(len(errors)), errors, color=plots.SERIES[3], linewidth=1.8)
    left.set_yscale("log")
    left.set_xlabel("atoms (steps of FCMP)", color=plots.INK, fontsize=9)
    left.set_ylabel("squared error, share", color=plots.INK, fontsize=9)
    return plots.to_svg(fig, "convergence")
