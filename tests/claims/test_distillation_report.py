"""The figures of the distillation's claims, from answers made by hand."""

import numpy as np
import pytest

from tests.claims import distillation_report


def test_an_ensemble_is_measured_beside_its_members():
    labels = np.array([0, 1])
    answers = [np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([[0.4, 0.6], [0.1, 0.9]])]
    found = distillation_report.ensemble(answers, labels)
    assert found["accuracy"] == 1.0 and found["members_accuracy"] == 0.5
    assert found["cross_entropy"] == pytest.approx(-np.log(0.65))
    assert found["members_cross_entropy"] == pytest.approx(-np.log([0.9, 0.4, 0.4, 0.9]).mean())
