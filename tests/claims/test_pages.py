"""The pages of systems show what the lines of their claims' files give."""

import json
import pathlib

import pytest

from models.layers.ternary import FORMS
from tests.claims import faces_report, generative_report, matching_pursuit_report, strassen_report

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def by_run(rows) -> dict:
    return {(row["run"], row["seed"]): row for row in rows}


REPORTS = {
    "faces": lambda rows: faces_report.report(by_run(rows)),
    "generative": lambda rows: generative_report.report(by_run(rows)),
    "matching_pursuit": matching_pursuit_report.claims,
    "strassen": lambda rows: strassen_report.report(by_run(rows), FORMS),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_page_shows_what_its_lines_give(name):
    text = (DOCS / f"{name}_claims.jsonl").read_text(encoding="utf-8")
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8").splitlines()
    report = REPORTS[name]([json.loads(line) for line in text.splitlines()])
    missing = [line for line in report.splitlines() if line and line not in page]
    assert report and not missing
