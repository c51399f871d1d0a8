"""The verdicts on matching pursuit follow from the lines, and need all seeds."""

import pytest

from tests.claims import matching_pursuit_report as report


def lines(drops, seeds):
    """Runs of AMP with 100 steps."""
    parts = [(part, seed) for part in ("open", "inside", "low") for seed in range(seeds)]
    return [{"part": p, "seed": s, "found": {"amp": {"steps": 100, "drops": drops}}} for p, s in parts]


@pytest.mark.parametrize(
    "drops, seeds, said", [(40, 20, "holds"), (60, 20, "does not hold"), (40, 19, "not shown"), (40, 0, "not shown")]
)
def test_good_steps_are_counted_over_all_seeds(monkeypatch, drops, seeds, said):
    (judge,) = [judge for judge in report.JUDGES if judge[2] is report._good_steps]
    monkeypatch.setattr(report, "JUDGES", (judge,))
    row = report.claims(lines(drops, seeds)).splitlines()[-1]
    assert row.split(" | ")[2] == said


@pytest.mark.parametrize("late, said", [(0.9, "holds"), (1.1, "does not hold")])
def test_the_worst_seed_decides_on_convex_problems(monkeypatch, late, said):
    (judge,) = [judge for judge in report.JUDGES if judge[1] == "low"]
    monkeypatch.setattr(report, "JUDGES", (judge,))
    seeds = [{n: {"late": 0.5} for n in report.ALGORITHMS} for _ in range(20)]
    seeds[7]["nnmp"] = {"late": late}
    rows = report.claims([{"part": "low", "seed": s, "found": f} for s, f in enumerate(seeds)])
    assert rows.splitlines()[-1].split(" | ")[2] == said
