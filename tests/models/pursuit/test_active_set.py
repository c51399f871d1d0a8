"""Non-negative least squares of many problems at once, against SciPy."""

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from models.pursuit.active_set import corrected
from models.pursuit.atoms import normalised


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(3)
    atoms = normalised(rng.normal(size=(20, 12)))[0]
    return atoms, rng.normal(size=(7, 12))


@pytest.mark.parametrize("shared", [True, False])
def test_it_finds_what_scipy_finds(problem, shared):
    atoms, signals = problem
    allowed = np.random.default_rng(4).random((7, 20)) < 0.7
    allowed[0] = False
    gram = atoms @ atoms.T
    gram = tf.constant(gram if shared else np.repeat(gram[None], 7, 0))
    start = np.where(allowed, np.random.default_rng(5).random((7, 20)), 0)  # a bad start
    for weights in (np.zeros((7, 20)), start):
        found = corrected(gram, tf.constant(signals @ atoms.T), allowed, tf.constant(weights)).numpy()
        assert not found[~allowed].any() and (found >= 0).all()
        for a, y, mask in zip(found[1:], signals[1:], allowed[1:], strict=True):
            expected = scipy.optimize.nnls(atoms[mask].T, y)[0]
            np.testing.assert_allclose(a[mask], expected, atol=1e-9)


def test_problems_that_are_solved_stay_as_they_are(problem):
    atoms, signals = problem
    unsolved = np.arange(7) % 2 == 0
    weights = np.full((7, 20), 0.1)
    found = corrected(tf.constant(atoms @ atoms.T), tf.constant(signals @ atoms.T), np.full((7, 20), True),
                      tf.constant(weights), unsolved=unsolved).numpy()  # fmt: skip
    assert (found[~unsolved] == 0.1).all() and (found[unsolved] != 0.1).any(1).all()


def test_equal_atoms_share(problem):
    atoms, signals = problem
    twice = np.concatenate([atoms, atoms])
    found = corrected(tf.constant(twice @ twice.T), tf.constant(signals @ twice.T), np.full((7, 40), True),
                      tf.zeros((7, 40), tf.float64)).numpy()  # fmt: skip
    expected = np.array([scipy.optimize.nnls(atoms.T, y)[1] for y in signals])
    np.testing.assert_allclose(np.linalg.norm(found @ twice - signals, axis=1), expected, atol=1e-7)
