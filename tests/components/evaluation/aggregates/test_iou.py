"""Intersection over union against a sum over pixels."""

import numpy as np
import pytest

from components.evaluation import aggregate
from components.evaluation.aggregates.iou import IntersectionOverUnion, by_class


def test_is_that_of_the_pixels_of_a_set_together():
    random = np.random.default_rng(1)
    labels, taken = random.integers(0, 4, (5, 200)), random.integers(0, 3, (5, 200))  # class 3 is unknown to the model
    confusion = np.zeros((5, 4, 3))
    for n in range(5):
        np.add.at(confusion[n], (labels[n], taken[n]), 1)
    expected = [((labels == k) & (taken == k)).sum() / ((labels == k) | (taken == k)).sum() for k in range(3)]
    outputs = {"confusion": confusion.astype(np.float32)}
    for place, ratio in enumerate(expected):
        made = aggregate.make("iou", f"iou_{place}", {"place": place})
        assert made.of(outputs) == pytest.approx(ratio)
    mean = aggregate.make("iou", "mean_iou", {})
    assert mean.of(outputs) == pytest.approx(np.mean(expected)) and mean.gatherer() == made.gatherer()
    parts = [mean.add(mean.empty(), {"confusion": confusion[part]}) for part in (slice(0, 2), slice(2, 5))]
    assert mean.result(mean.of_parts([mean.empty(), *parts])) == pytest.approx(np.mean(expected))


def test_classes_that_are_nowhere_do_not_count():
    confusion = np.array([[[8.0, 0, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0]]])
    assert np.isnan(by_class(confusion[0])[1]) and by_class(confusion[0])[2] == 0  # something was taken for the last
    assert IntersectionOverUnion().of({"confusion": confusion}) == pytest.approx(0.4)
    assert np.isnan(IntersectionOverUnion("x", 1).of({"confusion": confusion}))
    assert np.isnan(IntersectionOverUnion("x", 7).of({"confusion": confusion}))
    assert np.isnan(IntersectionOverUnion().result(IntersectionOverUnion().empty()))
