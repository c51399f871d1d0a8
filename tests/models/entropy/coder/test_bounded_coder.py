"""The coder of alphabets with ends: exact at once and step by step, its overhead, what it refuses."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.coder import bounded_coder
from models.entropy.coder.bounded_coder import BoundedCoder
from tests.models.entropy.logistic_mixtures import draw, mass, sample

KINDS = [(25, False), (256, False), (256, True)]


class Coder:
    """A coder of K components with its directions traced once."""

    def __init__(self, size: int, split: bool, k: int = 3):
        self.size, self.module = size, BoundedCoder(size, split)
        numbers = [tf.TensorSpec([k, None], tf.int64)] * 3
        self.encode = tf.function(self.module.encode, [tf.TensorSpec([None], tf.int32), *numbers], autograph=False)
        self.decode = tf.function(self.module.decode, [tf.TensorSpec([], tf.string), *numbers], autograph=False)

    def check(self, symbols, parameters) -> bytes:
        stream = self.encode(np.asarray(symbols, np.int32), *parameters).numpy()
        np.testing.assert_array_equal(self.decode(stream, *parameters), symbols)
        return stream


@pytest.fixture(scope="module", params=KINDS)
def coder(request) -> Coder:
    return Coder(*request.param)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50, 1001])
def test_round_trip_of_any_count(coder, count):
    parameters = draw(count, 3, coder.size, seed=count)
    coder.check(sample(parameters, coder.size), parameters)


def test_every_symbol_can_be_coded_under_any_mixture(coder):
    symbols = np.arange(coder.size)
    ends = np.resize([-(1 << 24), -1, 0, 1, 1 << 24], coder.size)
    coder.check(symbols, tuple(np.stack([np.roll(v, i) for i in range(3)]) for v in (ends, ends, ends[::-1])))


@pytest.mark.slow
@pytest.mark.parametrize("level", [60, 100, 140])
def test_overhead_over_the_real_mixture(level):
    """Half a per cent, and the two strings' ends."""
    coder, parameters = Coder(256, True), draw(60_000, 3, 256, level=level)
    symbols = sample(parameters, 256)
    ideal = -np.log2(mass(parameters, symbols, 256)).sum() / 8
    assert ideal < len(coder.check(symbols, parameters)) < 1.005 * ideal + 40


def test_more_symbols_than_one_chunk(monkeypatch):
    monkeypatch.setattr(bounded_coder, "CHUNK", 500)
    coder = Coder(256, True)
    for count in (499, 501, 1700):
        parameters = draw(count, 3, 256)
        coder.check(sample(parameters, 256), parameters)


def test_symbols_outside_are_refused(coder):
    parameters = draw(2, 3, coder.size)
    for symbols in ([0, -1], [coder.size, 0]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="lies outside"):
            coder.encode(np.array(symbols, np.int32), *parameters)


def test_damage_is_refused_or_gives_symbols_of_the_alphabet(coder):
    parameters = draw(300, 3, coder.size)
    stream = coder.check(sample(parameters, coder.size), parameters)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(60):
        damaged = bytearray(stream)
        damaged[rng.integers(len(stream))] ^= 1 << rng.integers(8)
        try:
            found = coder.decode(bytes(damaged), *parameters).numpy()
            assert found.shape == (300,) and found.min() >= 0 and found.max() < coder.size
        except tf.errors.InvalidArgumentError as error:
            assert "damaged stream" in error.message
            refused += 1
    assert refused > 50
    for cut in range(0, len(stream), 7):
        with pytest.raises(tf.errors.InvalidArgumentError):
            coder.decode(stream[:cut], *parameters)


@pytest.mark.parametrize(("size", "split"), KINDS)
def test_step_by_step(size, split):
    """As a serial decoder does it: each step's mixtures are made of the symbols of the step before."""
    steps, n = 23, 40
    module = BoundedCoder(size, split)
    means, levels, logits = (p.reshape(3, steps, n) for p in draw(steps * n, 3, size, level=80))
    symbols = sample([p.reshape(3, -1) for p in (means, levels, logits)], size).reshape(steps, n)
    valid = np.random.default_rng(2).random((steps, n)) < 0.8
    symbols[~valid] = 0

    def shifted(step, before):  # the means follow the last symbols
        return [means[:, step] + 16 * np.asarray(before, np.int64), levels[:, step], logits[:, step]]

    rows = []
    for step in range(steps):
        before = symbols[step - 1] if step else np.zeros(n)
        rows += module.intervals(tf.constant(symbols[step]), *map(tf.constant, shifted(step, before)))
    frequencies, starts = (tf.stack([row[i] for row in rows]) for i in range(2))
    stream = module.encode_steps(frequencies, starts, np.repeat(valid, len(rows) // steps, axis=0))
    state, last = module.begin(stream), np.zeros(n)
    pull = tf.function(lambda state, *p: module.pull(state, *p), autograph=False, reduce_retracing=True)
    for step in range(steps):
        state, found = pull(state, *map(tf.constant, shifted(step, last)), tf.constant(valid[step]))
        last = found.numpy()
        np.testing.assert_array_equal(last, symbols[step])
    module.finish(state)
    with pytest.raises(tf.errors.InvalidArgumentError, match="number of steps"):
        module.finish(module.begin(stream))
