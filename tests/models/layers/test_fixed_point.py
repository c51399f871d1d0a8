"""Exact networks: against integer arithmetic in NumPy, against the float network, in any order of channels."""

import keras
import numpy as np
import pytest

from models.layers import fixed_point
from models.layers.conv import MaskedConv2D
from models.layers.hyper import LEAK, hyper_analysis, hyper_synthesis

RNG = np.random.default_rng(0)
ONE = 2**fixed_point.VALUE_BITS


def randomised(network: keras.Sequential, scale: float = 0.2) -> keras.Sequential:
    """Gives every weight, biases too, a random value."""
    for variable in network.variables:
        variable.assign(RNG.normal(size=variable.shape) * scale)
    return network


def integer_round(values: np.ndarray, bits: int) -> np.ndarray:
    """values / 2^bits to the nearest integer, ties to even, on Python-exact int64."""
    quotient, rest = values >> bits, values & ((1 << bits) - 1)
    half = 1 << (bits - 1)
    return quotient + ((rest > half) | ((rest == half) & (quotient % 2 == 1)))


def integer_convolution(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Convolution with padding "same": int64 [H, W, C] by [K, K, C, D] -> [ceil(H/s), ceil(W/s), D]."""
    side, sizes = kernel.shape[0], [-(-n // stride) for n in x.shape[:2]]
    total = [max((o - 1) * stride + side - n, 0) for o, n in zip(sizes, x.shape[:2], strict=True)]
    x = np.pad(x, [(t // 2, t - t // 2) for t in total] + [(0, 0)])
    out = np.zeros((*sizes, kernel.shape[3]), np.int64)
    for i, j in np.ndindex(*sizes):
        window = x[i * stride : i * stride + side, j * stride : j * stride + side]
        out[i, j] = np.tensordot(window, kernel, 3)
    return out


def integer_transposed(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Transposed convolution, stride 2, "same": int64 [H, W, C] by [K, K, D, C] -> [2H, 2W, D]."""
    height, width, side = *x.shape[:2], kernel.shape[0]
    full = np.zeros((2 * height + side, 2 * width + side, kernel.shape[2]), np.int64)
    for i, j in np.ndindex(height, width):
        full[2 * i : 2 * i + side, 2 * j : 2 * j + side] += kernel @ x[i, j]
    begin = (side - 2) // 2
    return full[begin : begin + 2 * height, begin : begin + 2 * width]


def integer_network(network: keras.Sequential, x: np.ndarray) -> np.ndarray:
    """What `apply` promises, in int64 alone: [H, W, C] in units of 2^-12."""
    sums = None
    for layer in network.layers:
        if isinstance(layer, keras.layers.LeakyReLU):
            # A slope of 2^-2 on units of 2^-26 is one on units of 2^-28 where it is negative.
            sums = np.where(sums < 0, sums, sums * 4) if layer.negative_slope == 0.25 else np.maximum(sums, 0) * 4
            continue
        if sums is not None:
            x = np.clip(integer_round(sums, fixed_point.WEIGHT_BITS + 2), -(2**24), 2**24)
        kernel = np.rint(np.float64(layer.kernel) * 2**14).astype(np.int64)
        bias = np.rint(np.float64(layer.bias) * 2**26).astype(np.int64)
        transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        sums = integer_transposed(x, kernel) if transposed else integer_convolution(x, kernel, layer.strides[0])
        sums = sums + bias
    return np.clip(integer_round(sums, fixed_point.WEIGHT_BITS), -(2**24), 2**24)


NETWORKS = {
    "leaky synthesis": lambda: hyper_synthesis(6, (8, 6, 10), LEAK),
    "relu synthesis": lambda: hyper_synthesis(6, (8, 6, 10), 0.0),
    "leaky analysis": lambda: hyper_analysis(6, 8, LEAK),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("spread", [3, 900])
def test_equals_integer_arithmetic(name, spread):
    network = randomised(NETWORKS[name]())
    fixed_point.check(network)
    x = RNG.integers(-spread * ONE, spread * ONE, (5, 3, 6))
    y = np.array(fixed_point.apply(network, x[None].astype(np.float64)))[0]
    assert np.array_equal(y, y.round()) and np.array_equal(y.astype(np.int64), integer_network(network, x))


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_the_float_network_but_for_rounding(name):
    """Weights are rounded to 2**-14 and values to 2**-12: half a thousandth in the mean over eight networks.

    The largest error is an extreme of the draw; that the arithmetic is exact is what the tests above say.
    """
    squares = []
    for seed in range(8):
        keras.utils.set_random_seed(seed)
        network = NETWORKS[name]()
        x = np.random.default_rng(seed).integers(-8, 9, (1, 6, 5, 6)).astype("float32")
        exact = fixed_point.from_fixed(fixed_point.apply(network, fixed_point.to_fixed(x)))
        assert exact.dtype == "float32"
        squares.append(np.square(np.array(exact) - np.array(network(x))).mean())
    assert np.sqrt(np.mean(squares)) < 5e-4


def test_order_of_the_sums_does_not_matter():
    network = randomised(hyper_synthesis(40, (64, 48, 32), LEAK), 0.1)
    x = RNG.integers(-3000, 3000, (1, 6, 6, 40)) * 1.0
    order = RNG.permutation(40)
    shuffled = hyper_synthesis(40, (64, 48, 32), LEAK)
    shuffled.set_weights(network.get_weights())
    first = shuffled.layers[0]
    first.kernel.assign(np.array(network.layers[0].kernel)[..., order])
    a, b = fixed_point.apply(network, x), fixed_point.apply(shuffled, x[..., order])
    assert np.array_equal(a, b)


def test_masks_count():
    layer = MaskedConv2D(4, 5)
    network = randomised(keras.Sequential([keras.Input((None, None, 3)), layer]))
    x = RNG.integers(-4, 5, (1, 6, 6, 3)).astype("float32")
    exact = fixed_point.from_fixed(fixed_point.apply(network, fixed_point.to_fixed(x)))
    errors = np.array(exact) - np.array(network(x))
    assert np.sqrt(np.mean(errors**2)) < 1e-3


def test_conversion_rounds_and_clips():
    values = np.array([0.5 / ONE, 1.5 / ONE, -1e9, 1e9, 3.25])
    assert np.array_equal(fixed_point.to_fixed(values), [0, 2, -(2**24), 2**24, 3.25 * ONE])
    assert np.array_equal(fixed_point.from_fixed(np.array([1.0, -(2.0**24)])), np.float32([1 / ONE, -4096]))


def small() -> keras.Sequential:
    return keras.Sequential([keras.Input((None, None, 2)), keras.layers.Conv2D(3, 3, padding="same", name="c")])


@pytest.mark.parametrize("weight", [1e6, np.nan, np.inf])
def test_weights_that_leave_the_exact_range_are_refused(weight):
    network = small()
    network.layers[-1].bias.assign([0, weight * 1000, 0])
    with pytest.raises(ValueError, match="^c: its weights are too large"):
        fixed_point.check(network)
    network = small()
    network.layers[-1].kernel.assign(np.full((3, 3, 2, 3), weight))
    with pytest.raises(ValueError, match="^c: its weights are too large"):
        fixed_point.check(network)


def test_layers_without_an_exact_form_are_refused():
    with pytest.raises(ValueError, match="Dense has no exact form"):
        fixed_point.check(keras.Sequential([keras.Input((None, None, 2)), keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match="0.3 is no power of two"):
        fixed_point.check(keras.Sequential([keras.Input((None, None, 2)), keras.layers.LeakyReLU(0.3)]))
