"""Signals in the bytes of files, read in the graph."""

import io

import numpy as np
import pytest
import scipy.io
import tensorflow as tf

from components.serving.served_codec import one_line
from models.ecg import bytes_serving as ecg_bytes_serving


@pytest.fixture(scope="module")
def read():
    return tf.function(ecg_bytes_serving.read, [tf.TensorSpec([None], tf.string)], autograph=False)


def steps(count: int, leads: int = 1, seed: int = 0) -> np.ndarray:
    """Steps of a converter, int16 [leads, count]."""
    return np.random.default_rng(seed).integers(-3000, 3000, [leads, count]).astype(np.int16)


def matlab(values: np.ndarray, name: str = "val") -> bytes:
    """A MATLAB-4 file as SciPy writes it."""
    file = io.BytesIO()
    scipy.io.savemat(file, {name: values}, format="4")
    return file.getvalue()


def test_files_as_scipy_writes_them(read):
    """Of several leads, of one that lies as a column, with another name, and with a second matrix behind."""
    one, several, column = steps(1234), steps(300, 3, 1), steps(900, 1, 2).T
    files = [matlab(one), matlab(several, "a_long_name"), matlab(column), matlab(one) + matlab(steps(5))]
    found, length = read(files)
    assert list(length) == [1234, 300, 900, 1234]
    for row, n, expected in zip(found.numpy(), length, (one[0], several[0], column[:, 0], one[0]), strict=True):
        assert np.array_equal(row[:n], expected) and not row[n:].any()


def test_bare_steps(read):
    """Also ones that begin like a header of zeros."""
    values = [steps(777)[0], np.zeros(400, np.int16), steps(2000, seed=5)[0]]
    found, length = read([v.astype("<i2").tobytes() for v in values])
    assert list(length) == [777, 400, 2000]
    assert all(np.array_equal(row[:n], v) for row, n, v in zip(found.numpy(), length, values, strict=True))


def test_missing_samples_are_zero(read):
    values = steps(500)
    values[0, 10:20] = -32768
    found, _ = read([matlab(values), values.astype("<i2").tobytes()])
    assert np.array_equal(found, np.where(values == -32768, 0, values).repeat(2, 0))


def header(*numbers: int) -> bytes:
    """A MATLAB-4 file with another header before its signal."""
    return np.array(numbers, "<i4").tobytes() + matlab(steps(3000))[20:]


@pytest.mark.parametrize(
    ("damaged", "says"),
    [
        (b"", "is empty"),
        (b"x", "is text"),
        (b"A00001 1 300 9000 05:05:15 1/05/2000\n" * 30, "is text, not a signal"),
        (b"\x07" * 901, "has an odd number of bytes, no 16-bit samples: 901"),
        (matlab(steps(3000))[:100], "does not fit its size; bytes: 100"),
        (matlab(steps(3000))[:-2], "does not fit its size; bytes: 6022"),
        (matlab(steps(3000))[:-1], "does not fit its size; bytes: 6023"),
        (header(30, 5, 3000, 0, 4), "does not fit its size"),
        (header(30, 65536, 65536, 0, 4), "does not fit its size"),
        (header(30, -1, -3000, 0, 4), "does not fit its size"),
        (header(30, 1, 0, 0, 4), "does not fit its size"),
        (header(30, 1, 3000, 0, 2**31 - 1), "not one of a matrix of int16"),
        (header(30, 1, 3000, 1, 4), "not one of a matrix of int16"),
        (header(0, 1, 3000, 0, 4), "not one of a matrix of int16"),
        (header(-7, 99, -1, 3, 123456), "not one of a matrix of int16"),
        (b"MATLAB 5.0 MAT-file" + bytes(2001), "version 5; version 4, or bare int16, is wanted"),
    ],
)
def test_damage_is_named_with_the_number_of_the_recording(read, damaged, says):
    good = matlab(steps(400))
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        read([good, damaged, good])
    assert one_line(raised.value).startswith("recording 1 ") and says in one_line(raised.value)
