"""Varints, bit fields and strings of bytes."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.coder import bit_fields


def int64(values) -> tf.Tensor:
    return tf.constant(values, tf.int64)


@pytest.mark.parametrize("values", [[], [0], [127, 128, 0], [2**35 - 1, 5, 2**14, 2**14 - 1]])
def test_varints_come_back_from_anywhere(values):
    written = bit_fields.write_varints(int64(values)).numpy()
    assert len(written) == sum(max(1, -(-value.bit_length() // 7)) for value in values)
    data = int64([200, 3, *written, 255, 255])
    read, end, good = bit_fields.read_varints(data, int64(2), int64(len(values)))
    assert read.numpy().tolist() == values and int(end) == 2 + len(written) and good


@pytest.mark.parametrize("values", [[], [0], [7, 8, 0], [2**35 - 1, 5, 2**12, 2**12 - 1, 63]])
def test_varints_of_nibbles_come_back(values):
    nibbles = bit_fields.write_varints(int64(values), payload=3)
    assert len(nibbles) == sum(max(1, -(-value.bit_length() // 3)) for value in values)
    packed = bit_fields.pack_nibbles(nibbles)
    assert len(packed) == (len(nibbles) + 1) // 2
    data = bit_fields.unpack_nibbles(tf.cast(packed, tf.int64))
    read, end, good = bit_fields.read_varints(data, int64(0), int64(len(values)), payload=3)
    assert read.numpy().tolist() == values and int(end) == len(nibbles) and good


@pytest.mark.parametrize("data", [[], [128], [1, 255], [128] * 5 + [1, 1], [1, 128, 128, 128, 128, 128, 1]])
def test_varints_that_end_early_or_never_are_not_good(data):
    assert not bit_fields.read_varints(int64(data), int64(0), int64(2))[2]
    assert not bit_fields.read_varints(int64(data), int64(99), int64(2))[2]


def test_fields_of_all_lengths_come_back():
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 33, 500)
    values = rng.integers(0, 1 << lengths)
    written = bit_fields.write_fields(int64(values), int64(lengths)).numpy()
    assert len(written) == -(-lengths.sum() // 8)
    whole = sum(int(value) << int(place) for value, place in zip(values, np.cumsum(lengths) - lengths, strict=True))
    assert written.tobytes() == whole.to_bytes(len(written), "little")
    offsets = int64(np.cumsum(lengths) - lengths)
    read = bit_fields.read_fields(tf.cast(written, tf.int64), offsets, int64(lengths))
    assert read.numpy().tolist() == values.tolist()


def test_bits_behind_the_end_read_as_zero():
    read = bit_fields.read_fields(int64([255]), int64([4, 8, 800]), int64([8, 32, 32]))
    assert read.numpy().tolist() == [15, 0, 0]


@pytest.mark.parametrize("data", [b"", b"\0", bytes(range(256)) * 3])
def test_bytes_and_strings(data):
    numbers = bit_fields.string_to_bytes(tf.constant(data))
    assert numbers.numpy().tolist() == list(data)
    assert bit_fields.bytes_to_string([tf.cast(numbers, tf.uint8)]).numpy() == data


def test_words_are_little_endian():
    words = int64([0, 1, 2**32 - 1, 0x01020304])
    data = bit_fields.words_to_bytes(words)
    assert data.numpy().tobytes() == words.numpy().astype("<u4").tobytes()
    assert bit_fields.bytes_to_words(tf.cast(data, tf.int64)).numpy().tolist() == words.numpy().tolist()
