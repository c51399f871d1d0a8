"""The page on weights: drawn from what a training leaves beside the model."""

import json

import numpy as np

from components.report import page
from components.report.section import Notes, Run
from components.report.sections import weighting
from models.publishing import pushed
from models.weighting.record import FILE, Record

LOGITS = np.log(np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.6, 0.4]], "float32"))
LABELS = np.eye(2, dtype="float32")[[0, 0, 1, 1]]
SEARCH = {"rewards": [[0.1, 0.2], [0.3, -0.1]], "scores": [[-1.0, -0.9], [-0.8, -0.7]], "errors": [[0, 0], [1, 1]],
          "best": -0.7, "change": [0.1]}  # fmt: skip


def summary(wrong, search=None):
    record = Record(2)
    record.add(0, np.array([1.5, 0.5, 1.0, 1.0], "float32"), np.array(wrong, "float32"), LOGITS, LABELS)
    return {"weighting": "law", "weights": record.summary(), "search": search}


def drawn(measured):
    return page.render({"recipe": "law", "noun": "pictures", "slices": [], "metrics": [],
                        "sections": {"weighting": json.loads(json.dumps(measured))}})  # fmt: skip


def test_policy_noise_and_search_are_drawn():
    html = drawn(summary([0, 1, 0, 0], SEARCH))
    assert "Weights of the examples" in html and "with a chance of 1.000" in html
    assert "wrong labels" in html and "stage 1" in html and "reward" in html and "effective size" in html
    assert weighting.SECTION.rows(summary([0, 1, 0, 0])) == [("AUC of weights", "1.0000")]


def test_clean_data_and_a_given_policy_have_less():
    html = drawn(summary([0, 0, 0, 0]))
    assert "Weights of the examples" in html and "with a chance" not in html and "The search" not in html
    assert weighting.SECTION.rows(summary([0, 0, 0, 0])) == []


def test_it_is_read_beside_the_model(tmp_path):
    run = Run("law", {}, str(tmp_path), "", [], 0, "", Notes())
    assert weighting.SECTION.measure(run) is None and "Weights of" not in drawn(None)
    (tmp_path / pushed.EXTRA).mkdir()
    (tmp_path / pushed.EXTRA / FILE).write_text(json.dumps(summary([0, 1, 0, 0])))
    assert weighting.SECTION.measure(run)["weighting"] == "law"
