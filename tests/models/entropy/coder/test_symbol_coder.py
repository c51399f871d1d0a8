"""The coder of symbols: exact, never longer than packing, near the entropy of uneven symbols, damage found."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.coder import quinary
from models.entropy.coder.symbol_coder import SymbolCoder, counts_of

CHANNELS = 3


@pytest.fixture(scope="module")
def coder():
    found = SymbolCoder(counts_of(np.full((CHANNELS, 5), 0.2)), CHANNELS)
    spec, number = tf.TensorSpec([None, CHANNELS], tf.int32), tf.TensorSpec([], tf.int32)
    encode = tf.function(found.encode, [spec, number], autograph=False)
    return encode, tf.function(found.decode, [tf.TensorSpec([], tf.string), number, number], autograph=False)


def drawn(positions, uneven):
    rng = np.random.default_rng(positions)
    shares = [0.9, 0.05, 0.03, 0.01, 0.01] if uneven else [0.2] * 5
    return rng.choice(5, (positions, CHANNELS), p=shares).astype("int32")


@pytest.mark.parametrize("positions, group", [(0, 4), (1, 1), (5, 4), (64, 8), (1000, 40), (999, 40)])
@pytest.mark.parametrize("uneven", [False, True])
def test_there_and_back_within_the_bound(coder, positions, group, uneven):
    encode, decode = coder
    symbols = drawn(positions, uneven)
    string = encode(symbols, group)
    assert np.array_equal(decode(string, positions, group), symbols)
    bound = 1 + int(quinary.packed_size(tf.constant(symbols.size)))
    size = len(string.numpy())
    assert size <= (bound if positions else 0)
    if uneven and positions >= 999:
        entropy = -np.sum([p * np.log2(p) for p in (0.9, 0.05, 0.03, 0.01, 0.01)]) * symbols.size / 8
        assert entropy < size < 1.1 * entropy + 80 < 0.5 * bound  # counts begin as even ones


def test_what_the_training_saw_is_cheap_at_once():
    shares = np.tile([0.96, 0.01, 0.01, 0.01, 0.01], (CHANNELS, 1))
    symbols = np.zeros((64, CHANNELS), "int32")
    sizes = [
        len(SymbolCoder(counts_of(s), CHANNELS).encode(symbols, 8).numpy()) for s in (shares, np.full((3, 5), 0.2))
    ]
    assert sizes[0] < sizes[1]


def test_damage_is_found(coder):
    encode, decode = coder
    string = encode(drawn(1000, True), 40).numpy()
    assert string[:1] == b"\1"
    for damaged in (b"", b"\2" + string[1:], string[:-3], b"\0" + string[1:]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="damaged"):
            decode(damaged, 1000, 40)
    with pytest.raises(tf.errors.InvalidArgumentError, match="damaged"):
        decode(string, 900, 40)
    with pytest.raises(tf.errors.InvalidArgumentError, match="damaged"):
        decode(string, 0, 40)
    with pytest.raises(ValueError, match="'counts'"):
        SymbolCoder(counts_of(np.full((2, 5), 0.2)), CHANNELS)
