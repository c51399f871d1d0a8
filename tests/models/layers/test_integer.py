"""Networks of narrow integers: those of NumPy's integer arithmetic, whatever sums first, and close to real numbers."""

import hashlib
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers import integer
from models.layers.integer import LIMIT, VALUE_BITS, IntegerConv2D, IntegerResidual


def layer(inputs: int, filters: int, kernel: int, dilation: int, seed: int, scale: float = 1.0, **options):
    """A convolution with weights of all sizes, some far beyond what training gives."""
    made = IntegerConv2D(filters, kernel, dilation, **options)
    made.build((None, None, None, inputs))
    rng = np.random.default_rng(seed)
    sizes = scale * 2.0 ** rng.uniform(-9, 1, filters)
    made.kernel.assign(rng.normal(size=made.kernel.shape) * sizes)
    made.bias.assign(rng.normal(size=filters) * 4 * scale)
    return made


def in_integers(made: IntegerConv2D, x: np.ndarray) -> np.ndarray:
    """The same by int64: x float32 [H, W, C] of values between layers -> float64 [H, W, D]."""
    kernel, bias = (np.asarray(v, np.float64) for v in made.weights_used())
    bits = np.asarray(made.integers()[2]).astype(int)
    units = np.round(kernel * 2.0**bits).astype(np.int64)
    assert np.array_equal(units * 2.0**-bits, kernel)
    shifts = np.round(bias * 2.0 ** (bits + VALUE_BITS)).astype(np.int64)
    assert np.array_equal(shifts * 2.0 ** -(bits + VALUE_BITS), bias)
    whole, reach = np.round(x * 2.0**VALUE_BITS).astype(np.int64), made.dilation * (made.kernel_side // 2)
    padded = np.pad(whole, [(reach, reach), (reach, reach), (0, 0)])
    sums, most = np.zeros((*x.shape[:2], made.filters), np.int64) + shifts, np.abs(shifts)
    for i, j in np.ndindex(made.kernel_side, made.kernel_side):
        seen = padded[i * made.dilation :, j * made.dilation :][: x.shape[0], : x.shape[1]]
        sums += seen @ units[i, j]
        most = most + np.abs(units[i, j]).sum(0) * LIMIT
    assert most.max() <= 2**24  # no partial sum of any order, of any picture, leaves what float32 tells apart
    real = sums * 2.0 ** -(bits + VALUE_BITS)
    if made.output_bits is not None:
        return np.round(real * 2.0**made.output_bits) * 2.0**-made.output_bits
    return np.clip(np.round(real * 2.0**VALUE_BITS), -LIMIT, LIMIT) * 2.0**-VALUE_BITS


KINDS = [(16, 16, 3, 1, None), (32, 8, 3, 4, None), (48, 20, 1, 1, 15), (64, 8, 3, 2, 12), (3, 5, 5, 1, None)]


def picture(channels: int, seed: int, height: int = 19, width: int = 23) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.clip(np.round(rng.normal(size=(height, width, channels)) * LIMIT), -LIMIT, LIMIT)
    return (values * 2.0**-VALUE_BITS).astype(np.float32)


@pytest.mark.parametrize("scale", [0.01, 1.0])
@pytest.mark.parametrize(("inputs", "filters", "kernel", "dilation", "bits"), KINDS)
def test_as_integer_arithmetic_has_it(inputs, filters, kernel, dilation, bits, scale):
    made = layer(inputs, filters, kernel, dilation, 1, scale, output_bits=bits)
    for x in (picture(inputs, 2), np.full((9, 9, inputs), LIMIT * 2.0**-VALUE_BITS, np.float32)):
        wanted = in_integers(made, x)
        assert np.array_equal(np.asarray(made(x[None]))[0], wanted)
        compiled = tf.function(lambda v: made(v), jit_compile=True)
        assert np.array_equal(compiled(tf.constant(x[None]))[0], wanted)


def digest() -> str:
    """Of what a deep network gives."""
    found = hashlib.sha256()
    for channels in (16, 32):
        block = IntegerResidual(channels)
        block.build((None, None, None, channels))
        for n, variable in enumerate(block.weights):
            variable.assign(np.random.default_rng(n).normal(size=variable.shape) * 0.2)
        values = tf.constant(picture(channels, 5, 61, 83)[None])
        for _ in range(3):
            values = block(values)
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize(("onednn", "threads"), [("0", "1"), ("1", "2")])
def test_libraries_and_threads_change_nothing(onednn, threads):
    code = "from tests.models.layers.test_integer import digest; print(digest())"
    environment = os.environ | {
        "TF_ENABLE_ONEDNN_OPTS": onednn, "TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads,
    }  # fmt: skip
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split()[-1] == digest()


def test_gradients_pass_the_rounding():
    made = layer(4, 3, 3, 1, 7, 0.02)
    x = tf.Variable(picture(4, 8)[None] / 8)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(made(integer.bounded(x)) ** 2)
    slopes = tape.gradient(total, [x, made.kernel.value, made.bias.value])
    assert all(np.abs(slope).sum() > 0 and np.isfinite(slope).all() for slope in slopes)


def test_rounding_is_small_and_can_be_left_out():
    """Half a unit of values at each layer, and a hundredth of that of weights."""
    block = IntegerResidual(16)
    block.build((None, None, None, 16))
    x = picture(16, 9)[None] / 8
    rounded = np.asarray(block(integer.bounded(x)))
    network = keras.Sequential([keras.Input((None, None, 16)), block])
    for one in integer.convolutions(network):
        one.exact = False
    real = np.asarray(block(x))
    assert 0 < np.abs(rounded - real).max() < 8 * 2.0**-VALUE_BITS


def test_too_many_inputs_are_refused():
    with pytest.raises(ValueError, match="too many for exact sums"):
        layer(2000, 1, 3, 1, 1)(np.zeros((1, 3, 3, 2000), np.float32))
