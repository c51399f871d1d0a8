"""The expected calibration error and the bins that the report draws."""

import numpy as np
import pytest

from components.evaluation.aggregates.calibration_error import CalibrationError, reliability


def test_it_is_that_of_its_bins_however_they_are_merged():
    """Against the direct formula; bins are (0, 1/15], (1/15, 2/15], ..."""
    random = np.random.default_rng(1)
    confidence = random.uniform(0.1, 1.0, 200)
    accuracy = (random.uniform(size=200) < confidence**2).astype(float)
    error = CalibrationError()
    parts = [
        error.add(error.empty(), {"confidence": confidence[n::3, None], "accuracy": accuracy[n::3, None]})
        for n in range(3)
    ]
    found = error.result(error.of_parts(parts))
    places = np.ceil(confidence * 15)
    groups = [places == b for b in range(1, 16)]
    expected = sum(g.sum() * abs(accuracy[g].mean() - confidence[g].mean()) for g in groups if g.any()) / 200
    assert abs(found - expected) < 1e-12 and found > 0.05
    assert np.isnan(error.result(error.empty()))


def test_the_bins_of_the_report_are_the_same():
    confidence, hit = np.array([0.95, 0.95, 0.95, 0.55, 0.05]), np.array([1, 1, 0, 1, 0])
    expected = (3 * abs(2 / 3 - 0.95) + abs(1 - 0.55) + 0.05) / 5
    assert CalibrationError().of({"confidence": confidence, "accuracy": hit}) == pytest.approx(expected)
    bins = reliability(confidence, hit)
    assert [b["count"] for b in bins] == [1, 1, 3]
    assert bins[2]["accuracy"] == pytest.approx(2 / 3) and bins[2]["confidence"] == pytest.approx(0.95)
