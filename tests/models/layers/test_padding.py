"""Continuing arrays: what NumPy calls "edge", for sides known while tracing or not."""

import numpy as np
import pytest
import tensorflow as tf

from models.layers.padding import pad_to_multiple


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16"])
@pytest.mark.parametrize("known", [True, False])
def test_the_edge_is_repeated(dtype, known):
    shape = (None, None, None, 3)
    padded = tf.function(lambda x: pad_to_multiple(x, 4), None if known else [tf.TensorSpec(shape, dtype)])
    for height, width in ((1, 1), (4, 8), (5, 7), (2, 3)):
        x = tf.cast(np.random.default_rng(height).integers(0, 200, (2, height, width, 3)), dtype)
        expected = np.pad(x.numpy(), [(0, 0), (0, -height % 4), (0, -width % 4), (0, 0)], mode="edge")
        for found, wanted in ((padded(x), expected), (pad_to_multiple(x[0], 4), expected[0])):
            assert found.dtype == dtype and np.array_equal(found, wanted)


def test_known_sides_that_need_nothing_cost_nothing():
    x = tf.zeros((2, 8, 4, 3))
    assert pad_to_multiple(x, 4) is x
    graph = tf.function(lambda x: pad_to_multiple(x, 4)).get_concrete_function(x).graph
    assert {op.type for op in graph.get_operations()} == {"Placeholder", "Const", "Identity"}
