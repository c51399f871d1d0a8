"""The mixture coder: exact round trips, its overhead, what it refuses, and that no table grows with the symbols."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.coder import mixture_coder
from models.entropy.coder.mixture_coder import MixtureCoder
from models.entropy.coder.rans_stream import MAX_SYMBOL
from tests.models.entropy.mixtures import draw, ideal_bits, sample


class Coder:
    """A coder of K components with its two directions traced once."""

    def __init__(self, k: int):
        self.k, self.module = k, MixtureCoder()
        numbers = [tf.TensorSpec([k, None], tf.int64)] * 3
        self.encode = tf.function(self.module.encode, [tf.TensorSpec([None], tf.int32), *numbers], autograph=False)
        self.decode = tf.function(self.module.decode, [tf.TensorSpec([], tf.string), *numbers], autograph=False)

    def check(self, symbols, parameters) -> bytes:
        stream = self.encode(np.asarray(symbols, np.int32), *parameters).numpy()
        np.testing.assert_array_equal(self.decode(stream, *parameters), symbols)
        return stream


@pytest.fixture(scope="module")
def three() -> Coder:
    return Coder(3)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50, 1001])
def test_round_trip_of_any_count(three, count):
    parameters = draw(count, 3, seed=count)
    three.check(sample(parameters), parameters)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 5])
def test_round_trip_of_other_mixtures(k):
    parameters = draw(700, k)
    Coder(k).check(sample(parameters), parameters)


@pytest.mark.parametrize(("level", "constant"), [(10, 60), (40, 60), (90, 60), (160, 60)])
def test_overhead_over_the_real_mixture(three, level, constant):
    """One per cent, and the two strings' ends."""
    parameters = draw(30_000, 3, level=level)
    symbols = sample(parameters)
    stream = three.check(symbols, parameters)
    assert len(stream) < 1.01 * ideal_bits(parameters, symbols) / 8 + constant


def test_escapes_of_every_size(three):
    powers = 2 ** np.arange(31)
    symbols = np.concatenate([powers, -powers, [MAX_SYMBOL, -MAX_SYMBOL]])
    three.check(symbols, draw(len(symbols), 3))


def test_extreme_parameters(three):
    ends = np.array([-(1 << 24), -1, 0, 1, 1 << 24])
    means, levels, logits = (np.stack([np.roll(v, i) for i in range(3)]) for v in (ends, ends, ends[::-1]))
    for symbols in (np.zeros(5), np.arange(5), means[0] >> 8, np.full(5, -70_000)):
        three.check(symbols.astype(np.int32), (means, levels, logits))


def test_certain_symbols_cost_nearly_nothing(three):
    parameters = np.zeros((3, 20_000), int), np.zeros((3, 20_000), int), np.zeros((3, 20_000), int)
    assert len(three.check(np.zeros(20_000), parameters)) < 40


@pytest.mark.slow
def test_more_symbols_than_one_chunk(monkeypatch):
    monkeypatch.setattr(mixture_coder, "CHUNK", 500)
    coder = Coder(2)
    for count in (499, 500, 501, 1700):
        parameters = draw(count, 2)
        coder.check(sample(parameters), parameters)


def test_damage_and_other_parameters_are_refused(three):
    parameters = draw(400, 3)
    symbols = sample(parameters)
    good = three.check(symbols, parameters)
    rng, refused = np.random.default_rng(1), 0
    for trial in range(60):
        stream, place = bytearray(good), int(rng.integers(len(good)))
        if trial % 3 == 0:
            stream[place] ^= 1 << int(rng.integers(8))
        elif trial % 3 == 1:
            del stream[place:]
        else:
            stream = rng.bytes(int(rng.integers(0, 300)))
        try:
            assert three.decode(bytes(stream), *parameters).shape == (400,)
        except tf.errors.InvalidArgumentError as error:
            assert "damaged stream" in str(error)
            refused += 1
    assert refused >= 55
    # A first part longer than the string, in bytes that are no UTF-8: the message must stay readable.
    with pytest.raises(tf.errors.InvalidArgumentError, match="its parts do not fit it"):
        three.decode(b"\xf6\xa4\xe7$\xd2o\xac\xd2\xae\xb0", *parameters)
    for other in (draw(400, 3, seed=9), [p[:, :-1] for p in parameters]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="damaged stream"):
            three.decode(good, *other)


def test_symbols_out_of_range_are_refused(three):
    for symbol in (MAX_SYMBOL + 1, -(2**31)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="2\\*\\*30"):
            three.encode([symbol], *draw(1, 3))
