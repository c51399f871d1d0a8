"""The figures of classifiers' answers; the answers themselves are tested with the report and the comparison."""

import numpy as np
import pytest

from components.evaluation.classifier_answers import scores


def test_pictures_without_a_label_are_not_counted_as_wrong():
    random = np.random.default_rng(1)
    p, teacher = (random.dirichlet(np.ones(7), 6) for _ in range(2))
    labels = p.argmax(1)
    found = scores(p, labels, teacher)
    assert found["accuracy"] == found["top5_accuracy"] == 1.0
    more_p, more_t = np.concatenate([p, teacher]), np.concatenate([teacher, p])
    more = scores(more_p, np.concatenate([labels, np.full(6, -1)]), more_t)
    by_label = ("accuracy", "top5_accuracy", "cross_entropy", "calibration_error")
    assert all(more[name] == pytest.approx(found[name]) for name in by_label)
    assert more["kl_to_teacher"] == pytest.approx((found["kl_to_teacher"] + _kl(p, teacher)) / 2)
    unknown = scores(p, np.append(labels[:5], 7), teacher)  # of a class that no model knows
    assert unknown["accuracy"] == unknown["top5_accuracy"] == pytest.approx(5 / 6)
    assert unknown["cross_entropy"] == pytest.approx(-np.log(np.append(p.max(1)[:5], 1e-12)).mean())
    none = scores(p, np.full(6, -1), teacher)
    assert all(none[name] is None for name in by_label) and none["agreement"] == found["agreement"]


def _kl(t, p):
    return (t * np.log(t / p)).sum(1).mean()
