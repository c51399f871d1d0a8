"""Verdicts: what noise passes, what bounds are worth, several claims on a page."""

import numpy as np
import pytest
from scipy import stats

from tests.claims import verdicts
from tests.claims.verdicts import DOES_NOT, HOLDS, NOT_SHOWN, Difference


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(verdicts, "RESAMPLES", 200)


def noise(draw, runs, examples=0, of_run=1.0, of_example=1.0, rest=1.0, mean=0.0):
    """Differences with an effect of each run, of each example, and of both."""
    if not examples:
        return Difference(mean + of_run * draw.normal(size=runs))
    parts = of_run * draw.normal(size=(runs, 1)) + of_example * draw.normal(size=(1, examples))
    return Difference(mean + parts + rest * draw.normal(size=(runs, examples)), of_examples=True)


@pytest.mark.parametrize(
    "sizes", [{"runs": 3}, {"runs": 5}, {"runs": 3, "examples": 60, "rest": 5.0},
              {"runs": 5, "examples": 40, "of_run": 0.02, "rest": 1.0}, {"runs": 3, "examples": 60, "of_run": 0.2}],
)  # fmt: skip
def test_noise_passes_in_five_per_cent_at_most(sizes):
    draw, times = np.random.default_rng(7), 400
    said = [verdicts.verdicts([noise(draw, **sizes)])[0] for _ in range(times)]
    for wrong in (HOLDS, DOES_NOT):  # 2.5 % each; 4.6 % is what 400 trials stay below in 99 % of cases
        assert said.count(wrong) <= 0.046 * times
    assert said.count(NOT_SHOWN) >= 0.92 * times


def test_noise_passes_no_more_often_on_a_page_of_many_claims():
    draw, times = np.random.default_rng(8), 300
    pages = [verdicts.verdicts([noise(draw, 5) for _ in range(12)]) for _ in range(times)]
    assert sum(HOLDS in page for page in pages) <= 0.055 * times


def test_what_is_there_is_found_as_often_as_said():
    draw, times = np.random.default_rng(9), 300
    visible = np.median([noise(draw, 5).visible() for _ in range(times)])
    found = [verdicts.verdicts([noise(draw, 5, mean=visible)])[0] for _ in range(times)]
    assert 0.65 <= found.count(HOLDS) / times <= 0.95


def test_of_runs_alone_the_interval_is_students():
    values = np.random.default_rng(3).normal(size=6)
    claim = Difference(values)
    want = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    # The bootstrap's own error at 200 draws is 5 % of the half width.
    assert np.allclose(claim.interval(), want, atol=0.2 * (want[1] - want[0]) / 2)
    assert claim.freedom == pytest.approx(5)


def test_a_shared_test_set_is_no_more_evidence_with_more_runs():
    """A hundred runs on ten pictures know the pictures, not pictures."""
    draw = np.random.default_rng(4)
    claim = noise(draw, 100, 10, of_run=0.01, rest=0.01)
    spread = np.std(claim.values.mean(0), ddof=1) / 10**0.5
    assert claim.error == pytest.approx(spread, rel=0.2) and claim.freedom == pytest.approx(9, rel=0.1)


def test_teachers_count_as_teachers_however_many_students_they_have():
    draw = np.random.default_rng(5)
    values = draw.normal(size=(3, 1)) + 0.01 * draw.normal(size=(3, 50))
    claim = Difference(values)
    assert claim.runs == 150 and claim.freedom == pytest.approx(2)
    assert claim.error == pytest.approx(np.std(values.mean(1), ddof=1) / 3**0.5, rel=0.2)


@pytest.mark.parametrize(
    "values, least, said",
    [
        ((0.02, 0.021, 0.019), 0.0, HOLDS),
        ((0.02, 0.021, 0.019), 0.01, HOLDS),
        ((0.02, 0.021, 0.019), 0.02, NOT_SHOWN),
        ((0.02, 0.021, 0.019), 0.03, DOES_NOT),
        ((-0.001, 0.001, 0.0), -0.01, HOLDS),  # not worse by more
        ((0.08, -0.05, 0.01), 0.0, NOT_SHOWN),
        ((0.08,), 0.0, NOT_SHOWN),  # one run
        ((0.5, 0.5), 0.0, HOLDS),
        ((0.0, 0.0), 0.0, NOT_SHOWN),  # no better, no worse
        ((0.0, 0.0), 0.1, DOES_NOT),
    ],
)
def test_a_claim_is_judged_by_its_margin(values, least, said):
    assert verdicts.verdicts([Difference(np.array(values), least)]) == [said]


def test_holm_goes_on_until_one_is_too_likely():
    assert verdicts._rejected([0.04, 0.001, 0.02, 0.012], 0.05) == [True] * 4
    assert verdicts._rejected([0.04, 0.001, 0.03, 0.012], 0.05) == [False, True, False, True]


def test_what_is_shown():
    claim = Difference(np.array([0.02, 0.03, 0.01]))
    low, high = claim.interval()
    assert verdicts.shown(claim) == f"+0.0200 ({low:+.4f} to {high:+.4f})" and low < 0 < high
    assert verdicts.shown(Difference(np.array([-0.1])), 2) == "-0.10"


@pytest.mark.parametrize("values", [[], [[]], [float("nan"), 1.0], 0.5])
def test_what_is_no_experiment_is_refused(values):
    with pytest.raises(ValueError, match="wanted are finite numbers"):
        Difference(np.array(values)).mean  # noqa: B018
