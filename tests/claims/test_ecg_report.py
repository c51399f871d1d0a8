"""The table of the runs on recordings, and the step time that decides how long they train."""

import pytest

from tests.claims import ecg, ecg_report


def row(run, score, **more):
    model = run.partition("-")[0]
    return {
        "run": run, "model": model, "augmented": not run.endswith("plain"), "minutes": 30.0, "steps": 100,
        "step_ms": 9.0, "seconds": 1900.0, "best_epoch": 3,
        "validation_f1": [[50, score - 0.1], [100, score]], "challenge_f1": score,
        "interval": [score - 0.03, score + 0.03], "accuracy": 0.8, "calibration_error": 0.05, "names": ["N", "A"],
        "f1": {"N": 0.9, "A": score, "O": 0.7, "~": None}, "confusion": [[5, 1], [2, 3]],
    } | more  # fmt: skip


def test_means_stand_beside_the_papers_figure_and_augmentation_is_compared_at_one_seed():
    rows = [row("ecg_cnn-1", 0.7), row("ecg_cnn-2", 0.8), row("ecg_cnn-plain", 0.66), row("ecg_cnn-long", 0.9)]
    lines = ecg_report.table(rows).splitlines()
    assert "| ecg_cnn | 2 | 30 | 0.750 ± 0.071 | 0.900 ± 0.000 | 0.750 ± 0.071 |" in lines[2] and "– |" in lines[2]
    assert lines[3].startswith("| ecg_cnn, long | 1 | 30 | 0.900 |") and "| 0.821 |" in lines[4]
    assert "| ecg_cnn | 0.700 | 0.660 | +0.040 |" in lines
    assert any(line.startswith("| ecg_cnn-2 | 100 | 9 | 31.7 | 3 | 0.800 | 0.800 | 0.770 to 0.830 |") for line in lines)
    assert "| ecg_cnn-long: is | taken for N | taken for A |" in lines and lines[-1] == "| A | 2 | 3 |"


def test_phases_count_with_their_share_of_steps():
    times = ecg.StepTimes()
    times.phases = [[9.0] * ecg._LEFT_OUT + [0.1] * 14, [5.0] * ecg._LEFT_OUT + [0.4] * 4]
    assert times.mean() == pytest.approx((20 * 0.1 + 10 * 0.4) / 30)


def test_the_runs_that_are_done_unnamed():
    assert ecg.names_of(2) == ["ecg_cnn-1", "ecg_crnn-1", "ecg_cnn-2", "ecg_crnn-2", "ecg_cnn-plain", "ecg_crnn-plain"]
