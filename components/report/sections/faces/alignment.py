"""What the report shows of an alignment: raw and aligned figures side by side, the bank, the estimators, controls."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.evaluation import verification as evaluation
from components.report import face_plots
from components.report.markup import number, template
from components.report.section import Run, Section
from components.report.sections.faces.verification import seen, triple
from components.serving.served_faces import ServedFaces
from models.contract.errors import KompaktError
from models.faces import bank, verification
from models.faces.alignment import ESTIMATORS
from models.publishing import pushed

_NAMES = {"eer": "equal error rate", "accuracy": "accuracy of the listed pairs", "rank1": "1:N rank 1"}
_BINS = 80
_HTML = """\
<section><h2>Alignment</h2>
{% if m %}<p>{{ told }}</p>
<figure>{{ scores|safe }}</figure>
<p class="caption">Aligned scores of all pairs of the test split. They are no cosines: thresholds and groupings of raw scores do not hold for them.</p>
<div class="scroll"><table><thead><tr><th>figure<th class="n">raw<th class="n">aligned<th class="n">difference<th class="n">95 % interval<th class="n">permuted control</thead>
<tbody>{% for row in rows %}<tr><td>{{ row[0] }}{% for v in row[1:] %}<td class="n">{{ v }}{% endfor %}{% endfor %}</tbody></table></div>
<p class="caption">Intervals of the difference: {{ draws }} draws of persons, the same for both scores. Permuted control: the same difference with every face given another's discrepancy; what is gained must be gone.</p>
<table class="narrow"><tbody>{% for name, value in facts %}<tr><th>{{ name }}<td>{{ value }}{% endfor %}</tbody></table>
{% else %}<p class="missing">Nothing could be aligned in this run.</p>{% endif %}</section>
"""  # noqa: E501


class AlignmentError(KompaktError, ValueError):
    """A model that aligns nothing; the message is one line."""


class AlignmentSection(Section):
    """Measured on all of the test split."""

    what = "alignment"
    training_about = (
        "What is trained is the estimator of the discrepancy. Its r2 on the validation is of persons that "
        "neither it nor the network has seen."
    )

    def measure(self, run: Run) -> dict[str, Any]:
        """As of the function `measure`."""
        return measure(run.model_dir, run.files)

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """Both scores' figures, their differences, and what they rest on."""
        del data
        if not measured:
            return template(_HTML).render(m=None)
        threshold = measured["decision"]["threshold"]
        return template(_HTML).render(
            m=measured, told=_told(measured), draws=evaluation.DRAWS, rows=[_row(*row) for row in _rows(measured)],
            scores=face_plots.histograms(measured["histogram"], threshold, "aligned score of two faces", math.inf),
            facts=_facts(measured),
        )  # fmt: skip

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """What the alignment changes."""
        if not measured:
            return []
        raw, new, _, _ = measured["figures"]["eer"]
        return [("alignment", f"{measured['mode']}, strength {measured['strength']:g}: equal error rate "
                 f"{number(new[0], 3)}, {number(raw[0], 3)} raw")]  # fmt: skip


SECTION = AlignmentSection()


def measure(model_dir: str, files: Sequence[str]) -> dict[str, Any]:
    """Figures of both scores on record files, fit for JSON (None where undefined).

    Returns:
      "figures" and "tar" (by text of the FAR): name -> [raw, aligned, difference, permuted difference], each [value,
      low, high]. "mode", "strength", "average", "estimator"; "candidates", "source" and "belongs_to" of the bank;
      "spread": standard deviation of the discrepancy by each estimator, "correlation" of both; "histogram" of aligned
      scores, "decision": "threshold", "far" and "tar" of the aligned threshold on these records, "raw_far" and
      "raw_tar" of the raw one; "multiply_adds" of both estimators.

    Raises:
      AlignmentError: the model is not an aligned one. FaceError, ServedModelError: as of the section "verification".
    """
    model = ServedFaces(model_dir)
    found = seen(model, files)
    if found.faces.align is None:
        raise AlignmentError("the model aligns nothing: serving_default gives no 'support'")
    faces, (mode, strength, average) = found.faces, found.faces.align.form
    rates = tuple(verification.RATES.values())
    order = np.random.default_rng(1).permutation(len(faces.persons))
    permuted = faces.align._replace(mean=faces.align.mean[order], spread=faces.align.spread[order])
    raw, new, control = (
        evaluation.figures(faces._replace(align=align), rates) for align in (None, faces.align, permuted)
    )

    def row(pick) -> list[list[float | None]]:
        first, second, third = map(pick, (raw, new, control))
        return [triple(f) for f in (first, second, evaluation.change(first, second), evaluation.change(first, third))]

    said = model.verify(found.encoded[0], found.encoded[0])
    means = found.support[:, [0, 2]]
    pairs = verification.all_pairs(faces.embeddings, faces.persons, align=faces.align)
    edges = np.histogram_bin_edges(pairs.scores, _BINS)
    counts = {name: np.histogram(pairs.scores[kind], edges)[0].tolist()
              for name, kind in (("genuine", pairs.same), ("impostors", ~pairs.same))}  # fmt: skip
    decided = evaluation.decided(faces, said.aligned_threshold)
    before = evaluation.decided(faces._replace(align=None), said.threshold)
    decision = {"threshold": said.aligned_threshold, **decided, **{f"raw_{name}": v for name, v in before.items()}}
    return {
        "figures": {name: row(lambda f, n=name: f[n]) for name in _NAMES},
        "tar": {text: row(lambda f, far=far: f["tar"][far]) for text, far in verification.RATES.items()},
        "mode": mode, "strength": strength, "average": average, "estimator": ESTIMATORS[found.estimator],
        "spread": dict(zip(ESTIMATORS, means.std(axis=0).tolist(), strict=True)),
        "correlation": _correlation(*means.T), "histogram": {"edges": edges.tolist()} | counts,
        "decision": {name: None if math.isnan(v) else float(v) for name, v in decision.items()},
        **_bank(model.directory),
    }  # fmt: skip


def _bank(directory: pathlib.Path) -> dict[str, Any]:
    """What the bank beside a model is, and what asking it costs a face, next to the estimator."""
    with np.load(pathlib.Path(directory) / pushed.EXTRA / bank.FILE) as file:
        count, width = file["embeddings"].shape
        told = {"source": str(file["source"]), "belongs_to": str(file["fingerprint"])}
    hidden = max(4, width // 4)
    return told | {"candidates": count, "multiply_adds": [count * width, hidden * (width + 2)]}


def _correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson's, None where one side is constant."""
    if min(first.std(), second.std()) < 1e-9:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _rows(measured: Mapping[str, Any]) -> list[tuple]:
    named = [(title, measured["figures"][name]) for name, title in _NAMES.items()]
    return named[:2] + [(f"TAR at FAR {far}", row) for far, row in measured["tar"].items()] + named[2:]


def _row(name: str, row: Sequence[Sequence[float | None]]) -> list[str]:
    raw, new, difference, permuted = row
    interval = "" if None in difference[1:] else f"{difference[1]:+.3f} to {difference[2]:+.3f}"
    signed = ["" if d[0] is None else f"{d[0]:+.3f}" for d in (difference, permuted)]
    return [name, number(raw[0]), number(new[0]), signed[0], interval, signed[1]]


def _told(measured: Mapping[str, Any]) -> str:
    chosen = measured["decision"]
    text = f"Scores are aligned by '{measured['mode']}', with the discrepancy of the {measured['estimator']}"
    if measured["mode"] in ("subtract", "one_sided"):
        text += f" at the strength {measured['strength']:g}"
        text += ": on the validation's persons no alignment gained anything" if not measured["strength"] else ""
    return (
        f"{text}. The aligned score's threshold, {number(chosen['threshold'])}, accepts {number(chosen['far'], 3)} "
        f"of the test's impostor pairs and {number(chosen['tar'], 3)} of the genuine ones, that of the raw score "
        f"{number(chosen['raw_far'], 3)} and {number(chosen['raw_tar'], 3)}; both were chosen on the validation."
    )


def _facts(measured: Mapping[str, Any]) -> list[tuple[str, str]]:
    spread, costs = measured["spread"], measured["multiply_adds"]
    names = {"prototypes": "prototypes of training persons", "mixed": "mixtures of two training pictures' embeddings",
             "file": "of a file that was given"}  # fmt: skip
    return [
        ("bank", f"{measured['candidates']:,} {names[measured['source']]}; belongs to the network "
         f"{measured['belongs_to']}"),
        ("discrepancy", f"standard deviation {number(spread['bank'], 3)} by the bank, {number(spread['learned'], 3)} "
         f"by the estimator; correlation of both on the test's persons {number(measured['correlation'], 3)}"),
        ("cost of a face", f"{costs[0]:,} multiply-adds by the bank, {costs[1]:,} by the estimator"),
        ("method", "After IDA (arXiv:2103.01559), whose formulas could not be read: the operators are our own."),
        ("not for", "Scores are no cosines any more: programs that take them for such must be told. Else as below."),
    ]  # fmt: skip
