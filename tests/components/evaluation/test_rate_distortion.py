"""Points, curves and the distance between curves."""

import math

import numpy as np
import pytest
from skimage import data as samples

from components.evaluation import classic, rate_distortion
from components.evaluation.rate_distortion import CurveError, Point, bd_rate, rate_at

CURVE = [(0.1, 25.0), (0.2, 27.5), (0.4, 30.2), (0.8, 33.5), (1.6, 37.4)]


def test_bd_rate_of_a_curve_that_needs_a_fifth_less():
    percent, low, high = bd_rate(CURVE, [(0.8 * bpp, db) for bpp, db in CURVE])
    assert (percent, low, high) == (pytest.approx(-20), 25.0, 37.4)


def test_bd_rate_is_taken_over_the_common_range_only():
    # Twice the rate up to 30.2 dB, and a far worse curve above, which the short anchor does not reach.
    test = [(2 * bpp, db) for bpp, db in CURVE[:3]] + [(50.0, 33.5)]
    percent, low, high = bd_rate(CURVE[:3], test)
    assert (low, high) == (25.0, 30.2)
    assert percent == pytest.approx(100, abs=5)  # a slope of the cubics differs at the end, no more


def test_bd_rate_agrees_with_sums_over_a_fine_grid():
    test = [(0.13, 26.0), (0.5, 31.5), (1.1, 36.0)]
    grid = np.linspace(26, 36, 1001)
    gaps = [math.log(rate_at(test, q)) - math.log(rate_at(CURVE, q)) for q in grid]
    assert bd_rate(CURVE, test)[0] == pytest.approx(100 * math.expm1(np.mean(gaps)), abs=0.05)


def test_bd_rate_knows_no_order_and_turns_around():
    test = [(0.15, 26.0), (0.5, 31.5)]
    there, back = bd_rate(CURVE, test[::-1])[0], bd_rate(test, CURVE[::-1])[0]
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([(0.3, 30.0)], "at least two"),
        ([(0.3, 30.0), (0.4, 29.0)], "does not rise"),
        ([(0.3, 40.0), (0.4, 45.0)], "no common range"),
        ([(0.0, 28.0), (0.4, 30.0)], "positive"),
        ([(0.2, 28.0), (0.4, math.inf)], "finite"),
    ],
)
def test_curves_that_cannot_be_compared_are_refused(points, said):
    with pytest.raises(CurveError, match=said):
        bd_rate(CURVE, points)


def test_rate_at_a_quality():
    assert rate_at(CURVE, 30.2) == pytest.approx(0.4)
    assert 0.4 < rate_at(CURVE, 31) < 0.8
    assert rate_at(CURVE, 24.9) is None and rate_at(CURVE[:1], 25.0) is None


def test_compare_counts_every_byte_and_refuses_another_shape():
    picture = samples.astronaut()[:64, :80]
    noise = np.where(np.indices(picture.shape).sum(0) % 2, 5, -5)
    noisy = np.clip(picture.astype(int) + noise, 0, 255).astype(np.uint8)
    exact = 10 * math.log10(255**2 / np.mean((noisy.astype(float) - picture) ** 2))
    point = rate_distortion.compare(picture, noisy, 640)
    assert (point.bpp, point.psnr_db) == (1.0, pytest.approx(exact, abs=1e-3))
    assert 0.8 < point.ms_ssim < 1
    with pytest.raises(ValueError, match="was decoded to"):
        rate_distortion.compare(picture, noisy[:, :79], 640)


def test_the_mean_of_psnr_is_the_mean_of_decibels():
    assert rate_distortion.mean([Point(1, 20, 0.5), Point(2, 40, 0.7)]) == Point(1.5, 30, 0.6)


def test_classic_curve_is_the_mean_over_the_pictures():
    pictures = [samples.astronaut()[:64, :64], samples.coffee()[100:164, 100:180]]
    codec = classic.ClassicCodec("JPEG", "", (30, 80), classic.JPEG.options)
    ticks = []
    low, high = rate_distortion.classic_curve(codec, pictures, lambda: ticks.append(1))
    rates = [8 * len(codec.encode(p, 30)) / p[..., 0].size for p in pictures]
    assert len(ticks) == 4
    assert low.bpp == pytest.approx(np.mean(rates))
    assert low.bpp < high.bpp and low.psnr_db < high.psnr_db and low.ms_ssim < high.ms_ssim


def test_reading_something_else_names_the_file(tmp_path):
    (tmp_path / "notes.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match="notes.png"):
        rate_distortion.read_rgb(tmp_path / "notes.png")
