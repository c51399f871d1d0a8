"""Models side by side: on the page and in the terminal."""

import json

import pytest

from components.evaluation import comparison as table_of
from components.report import page
from components.report.section import Notes, Run
from components.report.sections import comparison

ROWS = [
    {"role": "teacher", "seed": 1, "accuracy": 0.95, "parameters": 272474, "latency_ms": None},
    *({"role": "student", "seed": n, "accuracy": a, "parameters": 4854, "latency_ms": 1.5}
      for n, a in enumerate((0.888, 0.9, 0.912))),
]  # fmt: skip


@pytest.fixture
def measured(tmp_path):
    """What the section measures of ROWS."""
    (tmp_path / table_of.FILE).write_text(json.dumps(ROWS))
    run = Run("distill", {}, "", "", [], 8, str(tmp_path), Notes())
    return json.loads(json.dumps(comparison.SECTION.measure(run)))


def test_models_stand_side_by_side_with_their_spread(measured):
    html = page.render({"recipe": "distill", "sections": {"comparison": measured}})
    assert "Side by side" in html and "student (3 models)" in html and "teacher (1 model)" in html
    assert "0.9000 ± 0.012" in html and "272,474" in html


def test_the_terminal_has_the_same_table(measured):
    lines = [line.split() for line in comparison.SECTION.lines(measured)]
    assert lines[1] == ["teacher", "student"] and lines[-1] == ["models", "1", "3"]
    assert ["accuracy", "0.9500", "0.9000", "±", "0.0120"] in lines
    assert ["parameters", "272,474", "4,854", "±", "0"] in lines
    assert ["latency_ms", "-", "1.5000", "±", "0.0000"] in lines


def test_a_run_that_compares_nothing_shows_nothing():
    assert comparison.SECTION.measure(Run("resnet", {}, "", "", [], 8, "", Notes())) is None
    assert comparison.SECTION.lines(None) == [] and comparison.SECTION.render(None, {}) == ""
