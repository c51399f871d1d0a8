"""Pairs of matrices as a kind of data: drawn again the same, read back, refused from files."""

import numpy as np
import pytest
import tensorflow as tf

from components.kinds import registry
from components.kinds.files import DataError
from components.kinds.matrices.kind import drawn
from models.records import matrices as matrix_records

KIND = registry.get("matrices")


def test_pairs_are_the_same_each_time_and_read_back():
    (first,), (again,) = drawn(3), drawn(3)
    key, pair = first.value
    assert first.tag == again.tag and key == again.value[0]
    record = KIND.records.build(key, pair)
    left, right = matrix_records.parse(tf.constant(record.SerializeToString()))
    assert np.array_equal(left, pair["left"]) and np.array_equal(right, pair["right"])
    counts = KIND.count(record)
    assert counts["matrices"] == 1 and counts["bytes"] == 4 * (left.numpy().size + right.numpy().size)
    assert counts["products"] == left.shape[0] * left.shape[1] * right.shape[1]


def test_they_say_that_they_are_simulated_and_come_from_no_file():
    source = KIND.open("random_matrices")
    assert source.facts["simulated"] and source.digest and KIND.default_dataset("", False) == "random_matrices"
    with pytest.raises(DataError, match="matrices are simulated"):
        KIND.open("random_matrices", "/data")
    with pytest.raises(ValueError, match="cannot be multiplied"):
        matrix_records.pair_example(np.ones((2, 3)), np.ones((2, 3)), key="", format_name="")
