"""The mean of one output."""

import numpy as np
import pytest

from components.evaluation.aggregates.mean import Mean


def test_parts_weigh_by_their_examples():
    mean = Mean("psnr_db")
    parts = [mean.add(mean.empty(), {"psnr_db": np.array(values)}) for values in ([[1.0], [2.0]], [[6.0]], [])]
    assert mean.result(mean.of_parts(parts)) == 3.0
    assert np.isnan(mean.result(mean.empty()))


def test_an_output_of_another_name_can_be_taken():
    assert Mean("hits", output="accuracy").of({"accuracy": np.array([1.0, 0.0])}) == 0.5


def test_what_has_no_mean_is_named():
    with pytest.raises(KeyError, match="serving_default gives no 'x'; it gives a, b"):
        Mean("x").of({"a": np.ones(1), "b": np.ones(1)})
    with pytest.raises(ValueError, match=r"'x' has the shape \(3,\) an example; wanted is one number"):
        Mean("x").of({"x": np.ones((2, 3))})
