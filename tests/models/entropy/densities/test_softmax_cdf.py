"""The softmax in integers: every row is whole, every symbol has a slot, and little is lost against floats."""

import numpy as np
import pytest
import tensorflow as tf

from models.entropy.densities import softmax_cdf


@pytest.fixture(scope="module")
def cdf():
    return softmax_cdf.SoftmaxCdf(softmax_cdf.integer_tables())


def frequencies(cdf, logits) -> np.ndarray:
    return cdf.frequencies(tf.cast(np.rint(np.asarray(logits) * 2**softmax_cdf.LOGIT_BITS), tf.int64)).numpy()


@pytest.mark.parametrize("symbols", [2, 6, 64])
def test_frequencies_are_whole_and_near_the_softmax(cdf, symbols):
    logits = np.random.default_rng(0).normal(0, 4, (500, symbols))
    found = frequencies(cdf, logits)
    assert (found.sum(1) == 1 << softmax_cdf.PRECISION).all() and found.min() == 1
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    lost = (p * np.log2(p / (found / found.sum(1, keepdims=True)))).sum(1)
    assert lost.max() < 4e-4 * symbols and lost.mean() < 2e-4 * symbols


def test_the_largest_logits_there_are(cdf):
    whole = 1 << softmax_cdf.PRECISION
    found = frequencies(cdf, [[0] * 6, [4096, -4096, 0, 0, 0, 0], [-4096] * 5 + [4096]])
    assert np.array_equal(found[0], [whole // 6 + 2] + [whole // 6] * 5)  # what division leaves goes to the first
    assert np.array_equal(found[1:], [[whole - 5] + [1] * 5, [1] * 5 + [whole - 5]])
    assert np.isclose(softmax_cdf.fewest_bits(6), -np.log2((whole - 5) / whole))


def test_intervals_follow_one_another(cdf):
    found = frequencies(cdf, np.random.default_rng(1).normal(0, 2, (40, 5)))
    symbols = np.arange(40) % 5
    both = softmax_cdf.intervals(tf.constant(found), symbols).numpy()
    assert np.array_equal(both >> 32, found[np.arange(40), symbols])
    assert np.array_equal(both & 0xFFFFFFFF, [found[n, :s].sum() for n, s in enumerate(symbols)])


def test_other_tables_are_refused():
    for powers in (np.arange(9), -softmax_cdf.integer_tables()["softmax.exp"]):
        with pytest.raises(ValueError, match="the coder's table 'exp' is not"):
            softmax_cdf.SoftmaxCdf({"softmax.exp": powers})
