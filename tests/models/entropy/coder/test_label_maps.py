"""Maps as runs: there and back, cheap where rows are alike, damage found."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.coder import label_maps


def shapes(height, width):
    rows, columns = np.mgrid[:height, :width]
    found = np.where((rows - height / 2) ** 2 + (columns - width / 2) ** 2 < height**2 / 9, 3, 0)
    return np.where(columns > 3 * width // 4, 255, found).astype("int32")


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (40, 33), (257, 20)])
def test_there_and_back(size):
    rng = np.random.default_rng(size[0])
    for numbers in (shapes(*size), rng.integers(0, 256, size), np.zeros(size), np.full(size, 255)):
        string = label_maps.write(tf.constant(numbers, tf.int32))
        assert np.array_equal(label_maps.read(string, *map(tf.constant, size), 256), numbers)


def test_upright_edges_cost_one_row():
    numbers = np.zeros((500, 300), "int32")
    numbers[:, 100:] = 7
    assert len(label_maps.write(tf.constant(numbers)).numpy()) < 12
    assert len(label_maps.write(tf.constant(shapes(96, 128))).numpy()) < 96 * 128 / 40


def test_damage_is_found():
    string, size = label_maps.write(tf.constant(shapes(40, 33))).numpy(), (tf.constant(40), tf.constant(33))
    for damaged in (b"", string[:-2], string + b"\0", b"\xff\xff\xff\xff\x7f" + string):
        with pytest.raises(tf.errors.InvalidArgumentError, match="damaged stream: a map"):
            label_maps.read(tf.constant(damaged), *size, 256)
    for height, numbers in ((41, 256), (40, 4)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="not of the picture's size"):
            label_maps.read(tf.constant(string), tf.constant(height), size[1], numbers)
