"""Losses of faces against NumPy, at the edges of the angle too, and what they take of the memory."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from models.faces import margins, verification


def angle_formula(cosine, margin):
    """ArcFace's cosine of the larger angle, from the angle itself."""
    theta = np.arccos(np.clip(cosine.astype(np.float64), -1, 1))
    return np.where(theta + margin < np.pi, np.cos(theta + margin), np.cos(theta) - margin * np.sin(margin))


@pytest.mark.parametrize("margin", [0.0, 0.3, 0.5, 1.2])
def test_arcface_is_the_cosine_of_the_larger_angle(margin):
    cosine = np.cos(np.linspace(0, np.pi, 2001)).astype("float32")
    found = np.array(margins.with_margin(ops.convert_to_tensor(cosine), "arcface", margin))
    inside = np.abs(cosine - np.cos(np.pi - margin)) > 1e-4  # at the edge rounding decides
    np.testing.assert_allclose(found[inside], angle_formula(cosine, margin)[inside], atol=5e-4)
    assert (np.diff(found) <= 1e-6).all()  # a larger angle is never better


def test_the_slope_is_finite_where_the_angle_is_none_or_all():
    for edge in (1.0, -1.0, np.float32(np.cos(np.pi - 0.5))):
        cosine = tf.constant([edge], tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(cosine)
            value = margins.with_margin(cosine, "arcface", 0.5)
        assert np.isfinite(value).all() and abs(float(tape.gradient(value, cosine)[0])) < 10


def test_cosface_and_softmax():
    cosine = ops.convert_to_tensor([-1.0, 0.25, 1.0])
    np.testing.assert_allclose(margins.with_margin(cosine, "cosface", 0.35), [-1.35, -0.1, 0.65], atol=1e-6)
    np.testing.assert_allclose(margins.with_margin(cosine, "softmax", 0.35), cosine)


@pytest.mark.parametrize("head", margins.HEADS)
def test_the_loss_is_cross_entropy_with_the_own_logit_changed(head):
    random = np.random.default_rng(1)
    logits, labels = random.uniform(-1, 1, (7, 5)), random.integers(0, 5, 7)
    changed = logits.copy()
    own = logits[np.arange(7), labels]
    changed[np.arange(7), labels] = {
        "arcface": angle_formula(own, 0.4), "cosface": own - 0.4, "softmax": own
    }[head]  # fmt: skip
    changed *= 1 if head == "softmax" else 30
    expected = np.log(np.exp(changed).sum(1)) - changed[np.arange(7), labels]
    found = margins.margin_loss(ops.convert_to_tensor(logits, "float32"), ops.convert_to_tensor(labels, "int32"),
                                head, 0.4, 30.0)  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_loss_of_neighbours_needs_no_classes():
    random = np.random.default_rng(2)
    unit = random.normal(size=(6, 4))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    labels = np.array([40, 40, 7, 7, 7, 99])
    weights = np.exp(5 * unit @ unit.T) * (1 - np.eye(6))
    same = labels[:, None] == labels
    expected = -np.log((weights * same)[:5].sum(1) / weights[:5].sum(1))
    given = [ops.convert_to_tensor(a, d) for a, d in ((unit, "float32"), (labels, "int32"))]
    found = np.array(margins.neighbour_loss(*given, *given, 0, 5.0))
    np.testing.assert_allclose(found, [*expected, 0.0], rtol=1e-4, atol=1e-6)
    part = margins.neighbour_loss(given[0][4:], given[1][4:], *given, 4, 5.0)  # as a second replica sees it
    np.testing.assert_allclose(part, found[4:], atol=1e-5)


def test_errors_of_batches_are_those_of_their_pairs():
    random = np.random.default_rng(3)
    metric = margins.PairErrors()
    assert float(metric.result()) == 0.5  # nothing is known yet
    scores, same = [], []
    for size in (40, 31):
        persons = random.integers(0, 6, size)
        unit = np.random.default_rng(4).normal(size=(6, 5))[persons] + random.normal(size=(size, 5))
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        metric.update_state(ops.convert_to_tensor(unit, "float32"), ops.convert_to_tensor(persons, "int32"))
        pairs = verification.all_pairs(unit, persons)
        scores, same = [*scores, *pairs.scores], [*same, *pairs.same]
    exact = verification.equal_error_rate(verification.curve(np.array(scores), np.array(same)))
    assert 0.05 < exact < 0.45 and float(metric.result()) == pytest.approx(exact, abs=0.01)
    assert float(metric.counts.numpy().sum()) == 40 * 39 / 2 + 31 * 30 / 2


def test_persons_by_the_thousand_take_no_more_than_their_logits():
    """Of the graph of loss and gradient: no tensor of floats [B, C] is a one-hot label."""
    batch, classes = 8, 20_000

    @tf.function(autograph=False)
    def step(logits, labels):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = tf.reduce_mean(margins.margin_loss(logits, labels, "arcface", 0.5, 64.0))
        return loss, tape.gradient(loss, logits)

    graph = step.get_concrete_function(
        tf.TensorSpec([batch, classes], tf.float32), tf.TensorSpec([batch], tf.int32)
    ).graph
    assert not [op.name for op in graph.get_operations() if op.type == "OneHot"]
    logits = np.random.default_rng(1).uniform(-1, 1, (batch, classes)).astype("float32")
    loss, gradient = step(tf.constant(logits), tf.range(batch))
    assert np.isfinite(loss) and gradient.shape == (batch, classes) and np.isfinite(gradient).all()
