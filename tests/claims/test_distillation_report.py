"""The verdicts on the papers' claims: what holds and what does not; the documents show the runs' own figures."""

import json
import pathlib

import numpy as np
import pytest

from tests.claims import distillation_report as report

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def verdicts(runs: dict, monkeypatch, *claims: report.Claim) -> list[list[str]]:
    """Cells of the lines on these claims."""
    monkeypatch.setattr(report, "CLAIMS", claims)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in report.claims(runs)[2:]]


def runs_of(**figures) -> dict:
    """Runs with one accuracy a seed."""
    return {name: {seed: {"accuracy": v} for seed, v in enumerate(values)} for name, values in figures.items()}


@pytest.mark.parametrize(
    "gains, sign, least, verdict",
    [
        ((0.02, 0.021, 0.019), 1, 0.0, "holds"),
        ((0.02, 0.021, 0.019), -1, 0.0, "does not hold"),
        ((0.02, 0.021, 0.019), 1, 0.02, "not shown"),
        ((0.08, -0.05, 0.01), 1, 0.0, "not shown"),
        ((-0.001, 0.002, -0.002), 1, -0.02, "holds"),  # not worse by more than that
        ((-0.004,), 1, -0.005, "not shown"),
    ],
)
def test_a_claim_holds_if_the_paired_difference_says_so(monkeypatch, gains, sign, least, verdict):
    others = (0.5, 0.6, 0.55)[: len(gains)]
    runs = runs_of(one=[o + g for o, g in zip(others, gains, strict=True)], other=others)
    claim = report.Claim("c", "one", "other", sign=sign, least=least)
    ((text, difference, visible, seeds, said),) = verdicts(runs, monkeypatch, claim)
    assert (text, said, seeds) == ("c", verdict, f"{len(gains)}")
    assert difference.startswith(f"{np.mean(gains):+.4f}") and bool(visible) == (len(gains) > 1)


def test_errors_are_compared_relatively_and_seeds_without_the_figure_left_out(monkeypatch):
    runs = {
        "one": {1: {"x_error": 0.6}, 2: {"x_error": 0.3}, 3: {}, 4: {"x_error": 1.0}},
        "other": {1: {"x_error": 1.0}, 2: {"x_error": 0.4}, 3: {"x_error": 1.0}, 5: {"x_error": 1.0}},
    }
    found = verdicts(runs, monkeypatch, report.Claim("c", "one", "other", "x_error", -1, 0.3),
                     report.Claim("d", "one", "nobody"))  # fmt: skip
    assert found[0][1].startswith("-0.3250 (") and found[0][3] == "2" and found[1] == ["d", "", "", "0", "not run"]


def test_checks_stand_apart_and_cost_claims_nothing(monkeypatch):
    """What a loss minimises is no evidence for a paper, and does not make its claims harder to show."""
    runs = runs_of(one=[0.55, 0.58, 0.60], other=[0.5, 0.51, 0.55])
    claim, check = report.Claim("c", "one", "other"), report.Claim("e", "one", "other", is_check=True)
    alone = verdicts(runs, monkeypatch, claim)
    both = verdicts(runs, monkeypatch, claim, *[check] * 20)
    assert both[0] == alone[0] and [row[0] for row in both[1:4]] == ["", "check", "---"]


def test_the_documents_show_what_the_runs_gave():
    page = (DOCS / "distillation_claims.md").read_text(encoding="utf-8")
    runs = {}
    for line in (DOCS / "distillation_claims.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        runs.setdefault(entry["run"], {})[entry["seed"]] = entry
    lines = report.claims(runs)
    assert len(lines) == len(report.CLAIMS) + 5 and all(line in page.splitlines() for line in lines)
    for name, by_seed in runs.items():
        accuracy = report.spread([entry["accuracy"] for entry in by_seed.values()])
        assert f"| {name} | {len(by_seed)} | {accuracy} |" in page


def test_an_ensemble_is_measured_beside_its_members():
    labels = np.array([0, 1])
    answers = [np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([[0.4, 0.6], [0.1, 0.9]])]
    found = report.ensemble(answers, labels)
    assert found["accuracy"] == 1.0 and found["members_accuracy"] == 0.5
    assert found["cross_entropy"] == pytest.approx(-np.log(0.65))
    assert found["members_cross_entropy"] == pytest.approx(-np.log([0.9, 0.4, 0.4, 0.9]).mean())
