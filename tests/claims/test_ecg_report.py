"""The page of the cross-validated runs, the step time that decides how long they train, offsets of classes."""

import numpy as np
import pytest

from components.evaluation import class_scores, ecg_results
from tests.claims import ecg, ecg_report
from tests.claims.step_times import LEFT_OUT, StepTimes

NAMES = ["N", "A", "O", "~"]


def row(run, fold, hits, **more):
    """A fold of 60 recordings of each class, of which `hits` are found and the others taken for the next class."""
    counts = (np.eye(4, dtype=int) * hits + np.roll(np.eye(4, dtype=int), 1, axis=1) * (60 - hits)).tolist()
    ways = [*ecg.WAYS, ecg.OFFSETS]
    return {
        "run": run, "fold": fold, "folds": 3, "names": NAMES, "confusion": dict.fromkeys(ways, counts),
        "challenge_f1": dict.fromkeys(ways, hits / 60), "offsets": [0.0, 0.5, 0.0, 0.0], "parameters": 9, "steps": 100,
        "step_ms": 9.0, "minutes": 2.0, "seconds": 130.0,
    } | more  # fmt: skip


def test_scores_are_of_all_folds_together_and_claims_are_paired_by_fold():
    rows = [row("ecg_cnn-preset", n + 1, hits) for n, hits in enumerate((40, 42, 41))]
    rows += [row("ecg_crnn-preset", n + 1, hits) for n, hits in enumerate((52, 54, 53))]
    rows += [row("ecg_resnet-preset", 1, 30)]
    lines = ecg_report.page(rows).splitlines()
    assert lines[0] == "Unfinished: ecg_resnet-preset, 1 of 3 folds."
    (cnn,) = [line for line in lines if line.startswith("| ecg_cnn-preset | once")]
    low, high = ecg_report.interval(*ecg_report.pooled(rows[:3], "once")[::-1])
    assert f"| 720 | 0.683 | {low:.3f} to {high:.3f} | 0.683 |" in cnn and cnn.endswith("| 0.683 | 0.683 ± 0.017 |")
    assert "| the CRNN is better than the CNN | +0.200 (+0.200 to +0.200) | holds |" in lines
    assert "| 5 speeds help ecg_cnn | +0.000 (+0.000 to +0.000) | not shown |" in lines
    assert not any("augmentation" in line for line in lines)
    assert any(line.startswith("| ecg_cnn-preset | 9 | 9 | 100 | 2 | 2.2 | +0.00 +0.50") for line in lines)


def test_the_interval_is_the_bootstrap_over_recordings():
    names, counts = ecg_report.pooled([row("a", 1, 40)], "once")
    labels = np.repeat(np.arange(4), 60)
    predicted = np.concatenate([np.repeat(np.arange(4), count) for count in counts])
    expected = class_scores.bootstrap(labels, predicted, names)
    assert ecg_report.interval(counts, names) == pytest.approx(expected, abs=0.01)


def test_offsets_are_chosen_for_the_score_and_stay_zero_where_nothing_helps():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 900)
    logits = 1.5 * np.eye(3)[labels] + random.normal(size=(900, 3))
    weak = logits - [0.0, 0.8, 0.0]  # the second class is seen too seldom

    def score(p):
        return class_scores.challenge_f1(class_scores.counted(labels, p.argmax(1), 3), NAMES[:3])

    softmax = np.exp(weak) / np.exp(weak).sum(1, keepdims=True)
    offsets = ecg_results.chosen_offsets(labels, softmax, NAMES[:3])
    assert offsets[0] == 0.0 and 0.4 <= offsets[1] <= 1.0
    assert score(softmax * np.exp(offsets)) > score(softmax) + 0.02
    assert ecg_results.chosen_offsets(labels, np.eye(3)[labels], NAMES[:3]) == [0.0, 0.0, 0.0]


def test_phases_count_with_their_share_of_steps():
    times = StepTimes()
    times.phases = [[9.0] * LEFT_OUT + [0.1] * 14, [5.0] * LEFT_OUT + [0.4] * 4]
    assert times.mean() == pytest.approx((20 * 0.1 + 10 * 0.4) / 30)


def test_the_runs_that_there_are():
    names = ecg.runs()
    assert len(names) == 11 and names[:3] == ["ecg_cnn-preset", "ecg_crnn-preset", "ecg_resnet-preset"]
    claimed = {run for _, (run, _), (other, _) in ecg_report.CLAIMS for run in (run, other)}
    assert claimed - set(names) == {"ecg_resnet-fine"}  # which has no spectrogram
    assert ecg.Experiment.config(None, "ecg_crnn-averaged", 100).average_from == pytest.approx(2 / 3)
