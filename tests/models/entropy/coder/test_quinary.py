"""Packing of numbers 0 to 4: back and forth, no longer than log2(5) bits each allow, damage found."""

import math

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.coder import quinary


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 30, 31, 32, 62, 1000])
def test_there_and_back_in_few_bytes(count):
    rng = np.random.default_rng(count)
    for numbers in (rng.integers(0, 5, count), np.full(count, 4), np.zeros(count, int)):
        string = quinary.pack(tf.constant(numbers, tf.int32))
        assert np.array_equal(quinary.unpack(string, tf.constant(count)), numbers)
        size = len(string.numpy())
        assert size == int(quinary.packed_size(tf.constant(count)))
        assert count * math.log2(5) / 8 <= size <= 1.0004 * count * math.log2(5) / 8 + 1


def test_a_block_is_a_number_to_the_base_five():
    numbers = np.random.default_rng(1).integers(0, 5, 31)
    value = sum(int(n) * 5**k for k, n in enumerate(numbers))
    assert quinary.pack(tf.constant(numbers)).numpy() == value.to_bytes(9, "little")


def test_damage_is_found():
    string = quinary.pack(tf.constant([1] * 31)).numpy()
    for damaged, message in ((string[:-1], "cut short"), (string + b"\0", "cut short"), (b"\xff" * 9, "are none")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            quinary.unpack(tf.constant(damaged), tf.constant(31))
