"""The page of a sweep from its results: the table, the drawings, the rank correlations."""

import re

import pytest

from components.report import sweep


def results(count: int, better: str = "lower") -> dict:
    """A sweep whose score goes with the rate, against the width, and not with the optimizer."""
    trials = [
        {"trial": n + 1, "score": 0.1 * n + 0.05, "values": {
            "learning_rate": 1e-4 * 3.0**n, "width": 64 - 8 * n, "optimizer": ("adam", "sgd")[n in (1, 2)],
            "<b>": 3,
        }}
        for n in range(count)
    ]  # fmt: skip
    return {
        "recipe": "small_cnn", "judge": {"name": "val_loss", "better": better}, "trials": trials,
        "plan": {"algorithm": "random"}, "data": {"dataset": "digits", "folder": "", "digest": "d"},
    }  # fmt: skip


@pytest.mark.parametrize(("better", "sign"), [("lower", -1), ("higher", 1)])
def test_importance_is_the_rank_correlation_with_how_good_a_trial_was(better, sign):
    found = sweep.importance(results(4, better))
    assert found == pytest.approx({"learning_rate": sign, "width": -sign, "optimizer": 0, "<b>": 0})


def test_the_page_shows_every_trial_and_asks_nothing_from_outside():
    page = sweep.render(results(5))
    assert page.count("<tr>") == 6 and page.count("<svg") == 2 and "&lt;b&gt;" in page
    assert "5 trials, random; validation loss, lower is better" in page
    assert re.findall(r"<td class=\"n\">(\d)</td><td class=\"n\">0\.05", page) == ["1"]
    assert not re.search(r"(src|href)=\"(?!#)", page)


def test_few_trials_are_a_table_alone():
    assert "<svg" not in sweep.render(results(2)) and sweep.render(results(2)).count("<tr>") == 3
