"""Verdicts on weighting: intervals over seeds, shares of the head-room."""

import pytest

from tests.claims import weighting_report as report


def entry(run, seed, test, **more):
    return {"run": run, "seed": seed, "test": test, "seconds": 1.0} | more


def test_shares_are_paired_by_seed():
    pairs = {"uniform": (0.8, 0.7), "oracle": (0.9, 0.9), "law": (0.85, 0.7)}
    done = {(r, s): entry(r, s, v[s], weights={"auc_all": 0.5}) for r, v in pairs.items() for s in (0, 1)}
    assert report.recovered(done, "law") == pytest.approx([0.5, 0.0])
    lines = report.table(done)
    assert len(lines) == 5 and any(line.startswith("| law | 2 | 0.775 (") for line in lines)


@pytest.mark.parametrize(
    "values, said",
    [
        ((0.83, 0.831, 0.832), "holds"),
        ((0.81, 0.811, 0.812), "does not hold"),
        ((0.81, 0.85, 0.83), "not shown"),
        ((0.89,), "not shown"),
    ],
)
def test_the_head_room_is_claimed_by_seed(values, said):
    """A quarter of the way from 0.8 to 0.9 is 0.825."""
    weights = {"auc_all": 0.8, "by_loss": [[1.0] * 10] * 3, "histogram": [[4]], "highest": 2.0}
    search = {"errors": [[1.0], [1.0]]}
    done = {(r, s): entry(r, s, v) for r, v in (("uniform", 0.8), ("oracle", 0.9)) for s in range(3)}
    done |= {("law", s): entry("law", s, v, weights=weights, search=search) for s, v in enumerate(values)}
    (line,) = [line for line in report.claims(done) if "recovers at least 0.25" in line]
    assert line.endswith(f"| {said} |")


def test_weights_of_high_losses_and_distances():
    weights = {"by_loss": [[1.0] * 10, [1.2] * 7 + [0.5] * 3, [1.4] * 7 + [0.1] * 3], "histogram": [[0, 0, 4, 4]],
               "highest": 2.0}  # fmt: skip
    assert report.falls({"weights": weights}) == pytest.approx(0.9)
    assert report.distance({"weights": weights}) == pytest.approx(0.5)
