"""The discrepancy of samples against the sums it is defined by."""

import numpy as np

from models.generative.discrepancy import mmd


def kernel(a, b):
    """By the definition, of two vectors."""
    base = 2 * len(a)
    return sum(s * base / (s * base + np.sum((a - b) ** 2)) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))


def expected(x, y):
    """Within-sample means over pairs of different points, less twice the mean of all pairs across."""
    within = [np.mean([kernel(v[i], v[j]) for i in range(len(v)) for j in range(len(v)) if i != j]) for v in (x, y)]
    return sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_it_is_the_sum_over_pairs():
    random = np.random.default_rng(1)
    x, y = random.standard_normal((7, 5)), 0.5 * random.standard_normal((4, 5)) + 1
    np.testing.assert_allclose(mmd(x.astype("f4"), y.astype("f4")), expected(x, y), rtol=1e-4)
    np.testing.assert_allclose(mmd(y.astype("f4"), x.astype("f4")), expected(x, y), rtol=1e-4)


def test_of_one_distribution_it_is_zero_on_average_and_not_of_two():
    random = np.random.default_rng(2)
    draws = random.standard_normal((60, 2, 12, 8)).astype("f4")
    same = np.array([mmd(x, y) for x, y in draws])
    other = np.array([mmd(x, 0.5 * y) for x, y in draws])
    error = same.std() / np.sqrt(len(same))
    assert abs(same.mean()) < 4 * error and (same < 0).any()  # no bias, so that it falls below
    assert other.mean() > 10 * error


def test_one_point_has_no_mean_within():
    one, others = np.ones((1, 3), "f4"), np.zeros((4, 3), "f4")
    within = 7.0  # equal points
    np.testing.assert_allclose(mmd(one, others), within - 2 * kernel(one[0], others[0]), rtol=1e-5)
