"""The four algorithms: they reach the optimum that others find, say so themselves, and treat the origin as an atom."""

import functools

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from models.pursuit import objectives
from models.pursuit.atoms import Dictionary, normalised
from models.pursuit.problems import OnGram, OnSignals
from models.pursuit.pursuit import ALGORITHMS, pursue

EXACT = ("amp", "pwmp", "fcmp")


@functools.cache
def drawn(seed=0, count=6, atoms=30, length=16):
    """Non-negative atoms of norm 1 [K, d] and signals [B, d], and f* of each by SciPy."""
    rng = np.random.default_rng(seed)
    dictionary = normalised(np.abs(rng.normal(size=(atoms, length))))[0]
    signals = np.abs(rng.normal(size=(count, length)))
    best = [0.5 * scipy.optimize.nnls(dictionary.T, y, maxiter=2000)[1] ** 2 for y in signals]
    return dictionary, signals, np.array(best)


@functools.cache
def solved(algorithm, on_signals=False, smooth="exact", **options):
    """The result for the signals of `drawn`, as arrays."""
    dictionary, signals, _ = drawn()
    atoms, y = tf.constant(dictionary), tf.constant(signals)

    @tf.function(autograph=False)
    def run():
        if not on_signals:
            return pursue(OnGram.of(atoms, y), algorithm, history=True, **options)
        objective = objectives.least_squares(y)
        if smooth != "exact":
            objective = objectives.Smooth(objective.value, objective.gradient, smoothness=smooth)
        return pursue(OnSignals(Dictionary(atoms), objective, y), algorithm, history=True, **options)

    return tf.nest.map_structure(lambda t: t.numpy() if hasattr(t, "numpy") else t, run())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_optimum_is_that_of_nnls_and_is_certified(algorithm):
    dictionary, signals, best = drawn()
    found = solved(algorithm, steps=4000)
    tolerance = 2e-2 if algorithm == "nnmp" else 1e-9
    assert (found.weights >= 0).all() and (found.value - best < tolerance).all() and (found.value > best - 1e-12).all()
    residual = found.weights @ dictionary - signals
    np.testing.assert_allclose(found.value, 0.5 * np.square(residual).sum(1))
    np.testing.assert_allclose(found.lowest, (residual @ dictionary.T).min(1), atol=1e-12)
    np.testing.assert_allclose(found.along, (residual * (found.weights @ dictionary)).sum(1), atol=1e-12)
    assert (found.lowest > -0.1 if algorithm == "nnmp" else found.lowest > -1e-8).all()
    # The gap with the true |x*| bounds the distance to the optimum.
    assert (found.gap + np.maximum(-found.lowest, 0) * 10 >= found.value - best - 1e-12).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_step_raises_the_objective_and_the_history_ends_with_it(algorithm):
    found = solved(algorithm, steps=4000)
    assert found.history.shape == (4001, 6) and (np.diff(found.history, axis=0) < 1e-12).all()
    np.testing.assert_allclose(found.history[0], 0.5 * np.square(drawn()[1]).sum(1))
    np.testing.assert_allclose(found.history[-1], found.value, atol=1e-12)
    assert (found.steps <= 4000).all() and (found.drops <= found.steps).all()


def test_the_better_algorithm_takes_fewer_steps():
    counts = {}
    for name in ALGORITHMS:
        reached = solved(name, steps=4000).history - drawn()[2] < 1e-6
        counts[name] = np.where(reached.any(0), reached.argmax(0), 9999)
    assert (counts["fcmp"] <= counts["pwmp"]).all() and (counts["pwmp"] < counts["amp"]).all()
    assert np.median(counts["amp"]) < np.median(counts["nnmp"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_both_forms_of_a_problem_take_the_same_steps(algorithm):
    one, other = solved(algorithm, steps=40), solved(algorithm, on_signals=True, steps=40)
    first = np.s_[: 6 if algorithm == "pwmp" else 41]  # rounding chooses no atom, but near the optimum all is rounding
    np.testing.assert_allclose(one.history[first], other.history[first], atol=1e-9)
    if algorithm != "pwmp":
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-6)
        assert (one.drops == other.drops).all()


@pytest.mark.slow
@pytest.mark.parametrize("smooth", [1.0, None, 4.0])
def test_steps_by_smoothness_and_by_backtracking_get_there_too(smooth):
    for algorithm in EXACT:
        found = solved(algorithm, on_signals=True, smooth=smooth, steps=3000)
        assert (found.value - drawn()[2] < (1e-5 if smooth == 4.0 else 1e-7)).all(), algorithm
        assert (np.diff(found.history, axis=0) < 1e-11).all()


def on_two_atoms(algorithm, y, **options):
    """Atoms (1, 0) and (0.6, 0.8)."""
    problem = OnGram.of(tf.constant([[1.0, 0.0], [0.6, 0.8]], tf.float64), tf.constant([y], tf.float64))
    return pursue(problem, algorithm, **options)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_helps_where_all_atoms_point_away(algorithm):
    found = on_two_atoms(algorithm, [-1.0, -1.0])
    assert found.steps.numpy() == [0] and not found.weights.numpy().any() and found.value.numpy() == [1.0]
    assert found.lowest.numpy() == pytest.approx([1.0])


@pytest.mark.parametrize("algorithm", EXACT)
def test_an_atom_that_was_wrong_leaves(algorithm):
    """The first atom taken is (0.6, 0.8); the optimum is (1, 0) alone, so weight has to come to nothing."""
    y = [0.6, 0.35 / 0.8 - 0.5]
    found = on_two_atoms(algorithm, [0.5, -0.1], steps=200)
    assert found.weights.numpy()[0] == pytest.approx([0.5, 0.0], abs=1e-9) and found.weights.numpy()[0, 1] == 0
    assert found.value.numpy() == pytest.approx([0.005])
    assert (on_two_atoms(algorithm, y, steps=200).lowest.numpy() > -1e-8).all()


def test_without_the_origin_pairwise_steps_would_stall():
    """One atom in use whose weight is too large, and no other that helps: only the origin can take it.

    Steps with a smoothness below the true one overshoot, which brings it about.
    """
    y = tf.constant([[1.0, 0.0]], tf.float64)
    atoms = Dictionary(tf.constant([[1.0, 0.0], [0.0, 1.0]], tf.float64))
    exact = objectives.least_squares(y)
    overshooting = objectives.Smooth(exact.value, exact.gradient, smoothness=0.8)
    found = pursue(OnSignals(atoms, overshooting, y), "pwmp", steps=60, history=True)
    assert (found.history.numpy()[:, 0] >= 0).all() and found.value.numpy()[0] < 1e-12
    assert found.weights.numpy()[0] == pytest.approx([1.0, 0.0], abs=1e-6)


def test_drop_steps_are_those_whose_cap_was_met():
    """Amp on a problem whose path is known: weight on (0.6, 0.8) first, then it leaves in one capped step."""
    atoms = np.array([[0.8, 0.6], [1.0, 0.0]])
    y = np.array([[1.0, 0.1]])
    taken = pursue(OnGram.of(tf.constant(atoms), tf.constant(y)), "pwmp", steps=500, history=True)
    gone = (taken.weights.numpy() == 0).sum()
    best = scipy.optimize.nnls(atoms.T, y[0])
    assert taken.value.numpy()[0] == pytest.approx(0.5 * best[1] ** 2, abs=1e-10) and taken.drops.numpy()[0] >= gone - 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_atoms_in_use_are_bounded(algorithm):
    found = solved(algorithm, steps=300, most=3)
    used = (found.weights > 0).sum(1)
    assert (used <= 3).all() and used.max() == 3
    dictionary, signals, best = drawn()
    assert (found.value >= best - 1e-12).all()
    if algorithm != "nnmp":  # on what it uses it is optimal
        for weights, y, value in zip(found.weights, signals, found.value, strict=True):
            own = scipy.optimize.nnls(dictionary[weights > 0].T, y)[1]
            assert value == pytest.approx(0.5 * own**2, abs=1e-8)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_equal_atoms_and_signals_of_nothing_do_no_harm(algorithm):
    dictionary, signals, best = drawn()
    twice = tf.constant(np.concatenate([dictionary, dictionary[:5]]))
    y = tf.constant(np.concatenate([signals, np.zeros((1, 16))]))
    found = tf.function(lambda: pursue(OnGram.of(twice, y), algorithm, steps=150)[:3], autograph=False)()
    weights, value, taken = (part.numpy() for part in found)
    assert np.isfinite(weights).all() and value[-1] == 0 and taken[-1] == 0
    if algorithm == "fcmp":
        np.testing.assert_allclose(value[:-1], best, atol=1e-9)


def test_logistic_regression_without_negative_coefficients():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(120, 8))
    signs = np.sign(features @ [2.0, 1.0, 0.5, 0, 0, 0, -1.0, -2.0] + rng.logistic(size=120))
    atoms, norms = normalised(features.T)

    def loss(w):
        return np.logaddexp(0, -signs * (features @ w)).mean()

    best = scipy.optimize.minimize(loss, np.ones(8), bounds=[(0, None)] * 8, options={"ftol": 1e-14, "gtol": 1e-9}).fun
    like = tf.constant(signs[None])
    for name, smoothness in (("pwmp", None), ("fcmp", 0.25 / 120)):
        given = objectives.logistic(like, smoothness)
        given = objectives.Smooth(given.value, given.gradient, smoothness=smoothness)
        problem = OnSignals(Dictionary(tf.constant(atoms)), given, like)
        found = tf.function(
            lambda p=problem, n=name: pursue(p, n, steps=600, rounds=2, tolerance=1e-7)[:2], autograph=False
        )()
        assert found[1].numpy()[0] == pytest.approx(best, abs=1e-7)
        assert loss(found[0].numpy()[0] / norms) == pytest.approx(best, abs=1e-7)


def test_an_unknown_algorithm_is_named():
    with pytest.raises(ValueError, match="omp: not one of nnmp, amp, pwmp, fcmp"):
        on_two_atoms("omp", [1.0, 1.0])
