"""Hyper-transforms: sizes that 4 does not divide, depths, and slopes that fixed-point arithmetic takes."""

import numpy as np
import pytest

from models.layers import fixed_point
from models.layers.hyper import LEAK, hyper_analysis, hyper_synthesis


@pytest.mark.parametrize("height, width", [(1, 1), (4, 8), (5, 7), (9, 3)])
@pytest.mark.parametrize("leak", [0.0, LEAK])
def test_shapes(height, width, leak):
    down, up = hyper_analysis(6, 5, leak), hyper_synthesis(5, (7, 8, 12), leak)
    y = np.random.default_rng(0).normal(size=(2, height, width, 6)).astype("float32")
    z = down(y)
    assert z.shape == (2, -(-height // 4), -(-width // 4), 5)
    assert up(z).shape == (2, 4 * z.shape[1], 4 * z.shape[2], 12)


@pytest.mark.parametrize("leak", [0.0, LEAK])
def test_both_have_an_exact_form(leak):
    fixed_point.check(hyper_analysis(6, 5, leak))
    fixed_point.check(hyper_synthesis(5, (7, 8, 12), leak))


def test_the_leak_lets_negative_values_through():
    y = -np.ones((1, 8, 8, 4), "float32")
    for leak, passes in ((0.0, False), (LEAK, True)):
        network = hyper_synthesis(4, (4, 4, 4), leak)
        for layer in network.layers:
            if layer.weights:
                layer.kernel.assign(np.abs(np.array(layer.kernel)))
        assert bool(np.any(network(y))) == passes
