"""The figures of answers on recordings; the answers themselves are tested with the report of a trained model."""

import json

import numpy as np

from components.evaluation import ecg_results


def test_recordings_without_a_label_are_left_out_of_every_figure():
    random = np.random.default_rng(2)
    p = random.dirichlet(np.ones(3), 40)
    labels = np.where(random.uniform(size=40) < 0.7, p.argmax(1), 0)
    names = ["N", "A", "O"]
    found = ecg_results.figures(labels, p, names)
    assert found["recordings"] == 40 and 0.5 < found["accuracy"] == (p.argmax(1) == labels).mean()
    more = ecg_results.figures(np.append(labels, [-1] * 9), np.concatenate([p, p[:9]]), names)
    assert more == found
    assert sum(map(sum, found["confusion"])) == 40


def test_without_a_label_no_figure_is_defined():
    found = ecg_results.figures(np.full(4, -1), np.full((4, 2), 0.5), ["sinus", "flutter"])
    assert found["recordings"] == 0 and found["interval"] == [None, None]
    assert all(found[name] is None for name in ("challenge_f1", "accuracy", "calibration_error"))
    assert json.dumps(found, allow_nan=False)
