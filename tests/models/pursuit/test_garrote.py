"""The garrote keeps what helps and nothing else."""

import numpy as np
import tensorflow as tf

from models.pursuit import garrote, objectives


def test_features_that_do_not_matter_are_left_out():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 6))
    y = features @ [3.0, -2.0, 0, 0, 0, 0] + 5 + 0.1 * rng.normal(size=200)
    first = np.linalg.lstsq(np.column_stack([features, np.ones(200)]), y, rcond=None)[0][:6]
    found = garrote.select(features.T * first[:, None], y, free=np.ones((1, 200)), most=3)
    assert set(np.flatnonzero(found.weights)) == {0, 1} and abs(found.weights[:2] - 1).max() < 0.05
    assert abs(found.free[0] - 5) < 0.05
    below = garrote.select(features.T * first[:, None], y - 10, free=np.ones((1, 200)), most=3)
    assert abs(below.free[0] + 5) < 0.05  # the free part has any sign


def test_any_objective_will_do():
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(4, 150))
    signs = np.sign(2 * parts[0] + rng.logistic(size=150))
    found = garrote.select(parts, objectives.logistic(tf.constant(signs[None])), most=1, algorithm="pwmp")
    assert np.flatnonzero(found.weights).tolist() == [0] and found.weights[0] > 0.5


def test_members_of_an_ensemble():
    rng = np.random.default_rng(2)
    labels = np.eye(3)[rng.integers(0, 3, 300)]

    def of(quality):
        p = rng.dirichlet(np.ones(3), 300)
        return quality * labels + (1 - quality) * p

    weights = garrote.of_members([of(0.0), of(0.6), of(0.5)], labels)
    assert weights.sum() == np.float64(1) or abs(weights.sum() - 1) < 1e-12
    assert weights[0] < 0.05 and weights[1] > weights[2] > 0.1
    same = garrote.of_members([np.zeros((2, 2)), np.zeros((2, 2))], np.eye(2))  # nothing helps
    assert same.tolist() == [0.5, 0.5]
