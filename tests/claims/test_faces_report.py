"""Tables and verdicts on faces: what is paired by seed, and which way a claim points."""

import pytest

from tests.claims import faces_report as report


def student(run, seed, eer, tar, **more):
    figures = dict.fromkeys(("accuracy", "tar_1e-1", "tar_1e-3", "rank1"), 0.5)
    errors = {"fcd_error": 0.2, "negative_error": 0.01, "correlation_error": 0.04}
    return {"run": run, "seed": seed, "eer": eer, "tar_1e-2": tar, "seconds": 3.0} | figures | errors | more


def population(raw, subtract, **more):
    told = dict.fromkeys(report.OPERATORS, 0.5) | {
        "spread": 0.1,
        "r_prototypes": 0.9,
        "r_virtual": 0.9,
        "r_learned": 0.5,
    }
    thresholds = {"raw": [0.2, 0.4, 0.8], "subtract": [0.3, 0.4, 0.6]}
    return told | {"raw": raw, "subtract": subtract, "permuted": raw, "thresholds": thresholds} | more


@pytest.fixture
def done():
    """Three seeds: CoupleFace is better than FCD by 0.1, CCKD as good as none."""
    found = {("teacher", 1): student("teacher", 1, 0.1, 0.8, mined=0.5, random=-0.1)}
    for seed in (1, 2, 3):
        tiny = 0.001 * seed
        found |= {(run, seed): student(run, seed, 0.3 + tiny, 0.2 + 2 * tiny) for run in ("alone", "fcd", "cckd")}
        found["coupleface", seed] = student("coupleface", seed, 0.2, 0.3 + tiny, fcd_error=0.22, negative_error=0.005)
        found["ida", seed] = {"plain": population(0.6, 0.55 + tiny), "mixed": population(0.4, 0.5 + tiny)}
    return found


def said(done, start):
    (line,) = [line for line in report.claims(done) if line.startswith(f"| {start}")]
    return [part.strip() for part in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("start", "mean", "verdict"),
    [
        ("TAR at FAR 1e-2 of coupleface less that of fcd, at least -0.005", "+0.0980", "holds"),
        ("equal error rate of alone less that of coupleface", "+0.1020", "holds"),
        ("equal error rate of alone less that of cckd", "+0.0000", "not shown"),
        ("share by which CoupleFace's error on mined", "+0.5000", "holds"),
        ("FCD's own error grows by CoupleFace", "-0.1000", "does not hold"),
        ("share by which CCKD's correlation error", "+0.0000", "does not hold"),
        ("IDA 1", "+0.1020", "holds"),
        ("IDA 2", "-0.0480", "does not hold"),
        ("IDA 3", "+0.5000", "holds"),
        ("IDA 4: correlation of virtual", "+0.9000", "holds"),
        ("IDA 4: correlation of the estimator", "+0.5000", "does not hold"),
        ("IDA 5", "+0.1020", "holds"),
        ("mined over random", "+5.0000", "not shown"),
    ],
)
def test_claims_point_the_right_way(done, start, mean, verdict):
    _, value, _, given = said(done, start)
    assert value.startswith(mean) and given == verdict


def test_one_seed_shows_nothing(done):
    once = {key: entry for key, entry in done.items() if key[1] == 1}
    lines = report.claims(once)[2:]
    assert len(lines) > 10 and all(line.endswith("| not shown |") for line in lines)


def test_tables_tell_what_is_there(done):
    text = report.report(done)
    assert "| teacher | 1 |" in text and "| coupleface | 3 |" in text and "| rco |" not in text
    assert "| subtract | 3 | 0.5520 | 0.5020 |" in text and "0.2000, 0.4000, 0.8000" in text
    assert "IDA" not in report.report({key: entry for key, entry in done.items() if key[0] != "ida"})
