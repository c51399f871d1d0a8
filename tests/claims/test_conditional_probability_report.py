"""The page of the claims: what is interpolated, what is claimed of which runs, and histograms."""

import numpy as np
import pytest

from tests.claims.conditional_probability import histograms
from tests.claims.conditional_probability_report import ALONE, TARGETS, at, claims, report


def done(seeds=(1, 2, 3)):
    """Runs that bear all claims out, a little otherwise each."""
    found = {}
    for seed in seeds:
        shift = 0.001 * seed
        base = {"seconds": 60.0, "seed": seed}
        found[ALONE, seed] = base | {"bpp": 0.2 + shift, "soft_bpp": 0.2, "psnr": 20.0 + shift, "zeroth": 2.0 + shift,
                                     "conditional": 1.9, "context": 1.7}  # fmt: skip
        for name, target in TARGETS.items():
            found[name, seed] = base | {"bpp": target, "soft_bpp": target * (0.98 + shift), "psnr": 18 + 20 * target,
                                        "allocation": 0.5 + shift}  # fmt: skip
    return found


def test_what_holds_and_what_one_run_cannot_say():
    text = report(done())
    assert text.count("| holds |") == 6 and f"| {ALONE} | 3 | 0.2020 |" in text
    assert "| 3 seeds | 2.585 | 2.002 | 1.900 | 1.700 |" in text
    assert report(done((1,))).count("| not shown |") == 6


def test_only_rates_between_those_measured_are_compared():
    points = [{"bpp": 0.1, "psnr": 20.0}, {"bpp": 0.4, "psnr": 24.0}]
    assert at(0.2, points) == pytest.approx(22.0) and at(0.5, points) is None and at(0.05, points) is None
    far = done()
    for seed in (1, 2, 3):
        far[ALONE, seed]["bpp"] = 0.9
    assert not any("equal rate" in text for text in claims(far))


def test_histograms():
    symbols = np.array([0, 1, 0, 1, 0, 1, 1, 1]).reshape(1, 1, 8, 1).repeat(50, 0)
    alone, after = histograms(symbols, 3)
    assert np.allclose(2.0**-alone, [151 / 403, 251 / 403, 1 / 403])
    assert np.allclose(2.0 ** -after[[0, 2]], [[1 / 153, 151 / 153, 1 / 153], [1 / 3] * 3])
