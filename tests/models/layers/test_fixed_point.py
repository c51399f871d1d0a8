"""Exact networks: against integer arithmetic in NumPy, against the float network, in any order of channels."""

import keras
import numpy as np
import pytest

from models.layers import fixed_point
from models.layers.conv import MaskedConv2D, MaskedConv3D, upsample
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


def integer_convolution(x: np.ndarray, kernel: np.ndarray, stride: int, same: bool) -> np.ndarray:
    """Convolution: int64 [H, W, C] by [K, K, C, D] -> [ceil(H/s), ceil(W/s), D], smaller where nothing is padded."""
    side, sizes = kernel.shape[0], [-(-n // stride) for n in x.shape[:2]]
    if not same:
        sizes = [-(-(n - side + 1) // stride) for n in x.shape[:2]]
    total = [max((o - 1) * stride + side - n, 0) for o, n in zip(sizes, x.shape[:2], strict=True)]
    x = np.pad(x, [(t // 2, t - t // 2) for t in total] + [(0, 0)])
    out = np.zeros((*sizes, kernel.shape[3]), np.int64)
    for i, j in np.ndindex(*sizes):
        window = x[i * stride : i * stride + side, j * stride : j * stride + side]
        out[i, j] = np.tensordot(window, kernel, 3)
    return out


def integer_transposed(x: np.ndarray, kernel: np.ndarray, stride: int, same: bool) -> np.ndarray:
    """Transposed convolution: int64 [H, W, C] by [K, K, D, C] -> [s * H, s * W, D], larger where nothing is cut."""
    (height, width), side = (stride * n for n in x.shape[:2]), kernel.shape[0]
    full = np.zeros((height + side, width + side, kernel.shape[2]), np.int64)
    for i, j in np.ndindex(*x.shape[:2]):
        full[stride * i : stride * i + side, stride * j : stride * j + side] += kernel @ x[i, j]
    if not same:
        return full[: height + side - stride, : width + side - stride]
    begin = (side - stride) // 2
    return full[begin : begin + height, begin : begin + width]


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
        bias = np.rint(np.float64(layer.bias) * 2**26).astype(np.int64) if layer.use_bias else 0
        transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        convolved = integer_transposed if transposed else integer_convolution
        sums = convolved(x, kernel, layer.strides[0], layer.padding == "same") + bias
    return np.clip(integer_round(sums, fixed_point.WEIGHT_BITS), -(2**24), 2**24)


def convolution(**options) -> keras.layers.Conv2D:
    """Of three filters, "same" and without bias, unless the options say otherwise."""
    options = {"padding": "same", "data_format": "channels_last", "use_bias": False} | options
    return keras.layers.Conv2D(3, 3, name="c", **options)


NETWORKS = {
    "leaky synthesis": lambda: hyper_synthesis(6, (8, 6, 10), LEAK),
    "relu synthesis": lambda: hyper_synthesis(6, (8, 6, 10), 0.0),
    "leaky analysis": lambda: hyper_analysis(6, 8, LEAK),
    "without bias": lambda: keras.Sequential(
        [keras.Input((None, None, 6)), upsample(5, use_bias=False), keras.layers.LeakyReLU(LEAK), convolution()]
    ),
    "without padding": lambda: keras.Sequential(
        [
            keras.Input((None, None, 6)),
            keras.layers.Conv2DTranspose(5, 5, 2, data_format="channels_last"),
            keras.layers.LeakyReLU(LEAK),
            convolution(padding="valid", strides=2),
        ]
    ),
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


def test_a_network_may_begin_with_a_leaky_relu_or_hold_nothing():
    values = np.float64([[[[-7, 6], [5, -4]]]])
    network = keras.Sequential([keras.Input((None, None, 2)), keras.layers.LeakyReLU(0.25)])
    fixed_point.check(network)
    assert np.array_equal(fixed_point.apply(network, values), [[[[-2, 6], [5, -1]]]])
    assert np.array_equal(fixed_point.apply(keras.Sequential([keras.Input((None, None, 2))]), values), values)


def test_conversion_rounds_and_clips():
    values = np.array([0.5 / ONE, 1.5 / ONE, -1e9, 1e9, 3.25, -np.inf, np.nan])
    assert np.array_equal(fixed_point.to_fixed(values), [0, 2, -(2**24), 2**24, 3.25 * ONE, -(2**24), 0])
    assert np.array_equal(fixed_point.from_fixed(np.array([1.0, -(2.0**24)])), np.float32([1 / ONE, -4096]))


def at_the_limit(excess: int = 0, transposed: bool = False) -> keras.Sequential:
    """One layer of 65 channels to one whose largest sum is 2^53 - 1 + excess, in units of 2^-26.

    Its weights are about 2^9 and odd in units of 2^-14, the first 32 positive and the next negative: with values of one
    sign the sum rises to 2^52, with odd last bits, and falls to nearly nothing.
    """
    kind = keras.layers.Conv2DTranspose if transposed else keras.layers.Conv2D
    layer = kind(1, 1, padding="same", data_format="channels_last", name="c")
    network = keras.Sequential([keras.Input((None, None, 65)), layer])
    weights = 2**23 - 1 - 2 * np.random.default_rng(1).integers(0, 2**8, 64)
    weights = np.append(weights, 2**29 - 1 - weights.sum()) * np.r_[np.ones(32), -np.ones(33)]
    layer.kernel.assign(np.float32(weights / 2**14).reshape(layer.kernel.shape))
    layer.bias.assign(np.float32([(2**24 - 1 + excess) / 2**26]))
    return network


def sum_of(layer, values: np.ndarray) -> int:
    """The one output of a layer of one position for int64 [65], in units of 2^-26, in Python's integers."""
    weights = [int(w) for w in np.rint(np.float64(layer.kernel).ravel() * 2**14)]
    return sum(w * int(v) for w, v in zip(weights, values, strict=True)) + round(float(layer.bias[0]) * 2**26)


def rounded(total: int) -> int:
    """total / 2^14 to the nearest integer, ties to even, clipped, in Python's integers."""
    quotient, rest = divmod(total, 2**14)
    return max(min(quotient + (rest > 2**13 or (rest == 2**13 and quotient % 2)), 2**24), -(2**24))


@pytest.mark.parametrize("transposed", [False, True])
def test_sums_up_to_the_limit_are_exact_and_beyond_it_refused(transposed):
    network = at_the_limit(0, transposed)
    fixed_point.check(network)
    layer, rng = network.layers[-1], np.random.default_rng(2)
    signs = np.sign(np.float64(layer.kernel).ravel()).astype(int)
    assert sum_of(layer, 2**24 * signs) == 2**53 - 1
    seen = []
    for _ in range(200):
        values = 2**24 - rng.integers(0, 2**9, 65)
        values[32:64] = rng.permutation(values[:32])
        values[64] = rng.integers(-9, 10)
        wanted = rounded(sum_of(layer, values))
        seen.append(abs(wanted))
        assert int(fixed_point.apply(network, values[None, None, None].astype(np.float64))[0, 0, 0, 0]) == wanted
    assert min(seen) < 2**22 and len(set(seen)) > 50  # few were clipped
    with pytest.raises(ValueError, match="^c: its weights are too large"):
        fixed_point.check(at_the_limit(1, transposed))


def test_masked_weights_do_not_count():
    layer = MaskedConv2D(1, 3, use_bias=False)
    keras.Sequential([keras.Input((None, None, 1)), layer])
    kernel = np.full((3, 3, 1, 1), 1e6)
    layer.kernel.assign(kernel * (1 - layer.mask))
    fixed_point.check_convolution(layer)
    layer.kernel.assign(kernel)
    with pytest.raises(ValueError, match="too large"):
        fixed_point.check_convolution(layer)


@pytest.mark.parametrize("weight", [1e6, np.nan, np.inf])
@pytest.mark.parametrize("name", ["kernel", "bias"])
def test_weights_that_leave_the_exact_range_are_refused(name, weight):
    network = keras.Sequential([keras.Input((None, None, 2)), convolution(use_bias=True)])
    values = np.zeros(getattr(network.layers[-1], name).shape)
    values[..., 1] = weight * 1000
    getattr(network.layers[-1], name).assign(values)
    with pytest.raises(ValueError, match="^c: its weights are too large"):
        fixed_point.check(network)


class Doubled(keras.layers.Conv2D):
    """A convolution that computes something else."""

    def call(self, inputs):
        return 2 * super().call(inputs)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: keras.layers.Dense(3, name="c"), "Dense has no exact form"),
        (lambda: Doubled(3, 3, padding="same", name="c"), "Doubled has no exact form"),
        (lambda: keras.layers.LeakyReLU(0.3, name="c"), "the slope 0.3.* is no power of two"),
        (lambda: convolution(activation="relu"), "activation=relu has no exact form; it must be linear"),
        (lambda: convolution(dilation_rate=2), r"dilation_rate=\(2, 2\) has no exact form; it must be \(1, 1\)"),
        (lambda: convolution(data_format="channels_first"), "data_format=channels_first has no exact form"),
        (lambda: convolution(groups=3), "groups=3 has no exact form; it must be 1"),
        (lambda: upsample(3, 3, name="c", output_padding=1), r"output_padding=\(1, 1\) has no exact form"),
        (lambda: upsample(3, 3, name="c", activation="tanh"), "activation=tanh has no exact form"),
    ],
)
def test_layers_without_an_exact_form_are_refused(layer, message):
    with pytest.raises(ValueError, match=f"^c: {message}"):
        fixed_point.check(keras.Sequential([keras.Input((6, 6, 6)), layer()]))


def test_adapted_kernels_are_refused():
    """A product of floats, whose last bit depends on the machine."""
    network = keras.Sequential([keras.Input((None, None, 6)), convolution()])
    network.layers[-1].enable_lora(2)
    with pytest.raises(ValueError, match="^c: lora_enabled=True has no exact form"):
        fixed_point.check(network)


def test_other_models_than_sequences_are_refused():
    inputs = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="^f: Functional has no exact form"):
        fixed_point.check(keras.Model(inputs, inputs + convolution()(inputs), name="f"))


def test_a_masked_convolution_over_volumes_has_an_exact_form():
    layer = MaskedConv3D(4)
    layer.build((None, None, None, None, 3))
    layer.kernel.assign(RNG.normal(size=layer.kernel.shape))
    fixed_point.check_convolution(layer)
    kernel, bias = (np.array(w) for w in fixed_point.fixed_weights(layer))
    assert np.array_equal(kernel, np.rint(np.float64(layer.kernel) * layer.mask * 2**14)) and bias.shape == (4,)
    layer.kernel.assign(1e7 * np.ones(layer.kernel.shape))
    with pytest.raises(ValueError, match="its weights are too large for exact sums"):
        fixed_point.check_convolution(layer)
    (dilated := MaskedConv3D(2, dilation_rate=(1, 2, 2))).build((None, None, None, None, 3))
    with pytest.raises(ValueError, match="dilation_rate"):
        fixed_point.check_convolution(dilated)
