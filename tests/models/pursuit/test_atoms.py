"""Atoms of rank one: the oracle is never beaten by what is drawn, and the algorithms factorise with it."""

import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf

from models.pursuit import objectives
from models.pursuit.atoms import RankOne, normalised
from models.pursuit.factorisation import factorise
from models.pursuit.problems import OnSignals
from models.pursuit.pursuit import pursue


def error(matrix, left, right):
    """Half the squared distance of a matrix to the product of its factors."""
    return 0.5 * np.square(matrix - left @ right).sum()


def test_atoms_are_normalised_and_checked():
    atoms, norms = normalised([[3.0, 4.0], [0.0, 2.0]])
    assert np.allclose(atoms, [[0.6, 0.8], [0, 1]]) and np.allclose(norms, [5, 2])
    with pytest.raises(ValueError, match="atom 1 is zero"):
        normalised([[1.0], [0.0]])
    with pytest.raises(ValueError, match="a matrix of finite numbers"):
        normalised([[np.nan]])


def test_the_oracle_of_rank_one_atoms():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(5, 9, 7))
    u, v = (part.numpy() for part in RankOne(9, 7, 1).best(tf.constant(matrix)))
    assert (u >= 0).all() and (v >= 0).all()
    np.testing.assert_allclose([np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1)], 1)
    found = np.einsum("bi,bij,bj->b", u, matrix, v)
    tries = [np.abs(rng.normal(size=(2000, n))) for n in (9, 7)]
    tries = [t / np.linalg.norm(t, axis=1, keepdims=True) for t in tries]
    assert (found >= np.einsum("ti,bij,tj->bt", tries[0], matrix, tries[1]).max(1)).all()
    positive = np.abs(matrix[:1])
    u, v = (part.numpy() for part in RankOne(9, 7, 1).best(tf.constant(positive)))
    assert (u @ positive[0] @ v.T).item() == pytest.approx(np.linalg.svd(positive[0])[1][0])  # Perron and Frobenius
    u, v = (part.numpy() for part in RankOne(9, 7, 1).best(tf.constant(-positive)))
    assert not u.any() or not v.any()  # the origin: nothing helps


@pytest.mark.parametrize("algorithm", ["nnmp", "pwmp", "fcmp"])
def test_matrices_are_approached_by_atoms_that_the_oracle_finds(algorithm):
    rng = np.random.default_rng(1)
    matrices = np.abs(rng.normal(size=(2, 8, 3))) @ np.abs(rng.normal(size=(2, 3, 6)))
    y = tf.constant(matrices.reshape(2, 48))
    problem = OnSignals(RankOne(8, 6, slots=40), objectives.least_squares(y), y)
    found = tf.function(lambda: pursue(problem, algorithm, steps=60, history=True), autograph=False)()
    history = found.history.numpy() / found.history.numpy()[0]
    assert (np.diff(history, axis=0) < 1e-12).all()
    assert (history[-1] < {"nnmp": 5e-3, "pwmp": 2e-3, "fcmp": 5e-4}[algorithm]).all()
    bank = found.state["bank"].numpy()
    x = np.einsum("bk,bkd->bd", found.weights, bank)
    np.testing.assert_allclose(found.value, 0.5 * np.square(x - y).sum(1), atol=1e-9)
    used = found.weights.numpy() > 0
    assert np.allclose(np.linalg.norm(bank[used], axis=1), 1) and (bank >= 0).all()
    assert (np.linalg.matrix_rank(bank[used].reshape(-1, 8, 6), tol=1e-9) == 1).all()


def test_a_full_bank_goes_on_with_what_it_has():
    y = tf.constant(np.abs(np.random.default_rng(2).normal(size=(1, 48))))
    problem = OnSignals(RankOne(8, 6, slots=3), objectives.least_squares(y), y)
    found = tf.function(lambda: pursue(problem, "fcmp", steps=30, history=True), autograph=False)()
    assert (found.weights.numpy() > 0).sum() <= 3 and found.value.numpy() < found.history.numpy()[0]


def test_factors_of_digits():
    matrix = sklearn.datasets.load_digits().data[:300] / 16
    found = factorise(matrix, 8, last=40)
    errors = [entry["error"] for entry in found.history]
    assert found.left.shape == (300, 8) and found.right.shape == (8, 64) and len(errors) <= 48
    assert (found.left >= 0).all() and (found.right >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(found.right, axis=1), 1)
    assert errors[-1] == pytest.approx(error(matrix, found.left, found.right)) and (np.diff(errors) < 1e-9).all()
    singular = np.linalg.svd(matrix, compute_uv=False)
    least = 0.5 * np.square(singular[8:]).sum()  # of any factors of that rank, negative or not
    assert least < errors[-1] < 1.5 * least
    assert [entry["atoms"] for entry in found.history][:8] == list(range(1, 9))


def test_a_matrix_of_lower_rank_leaves_atoms_over():
    u, v = np.arange(1.0, 7)[:, None], np.arange(5.0)[None]
    found = factorise(u @ v, 3)
    assert error(u @ v, found.left, found.right) < 1e-12 and np.isfinite(found.right).all()
    with pytest.raises(ValueError, match="finite"):
        factorise([[np.inf]], 1)
