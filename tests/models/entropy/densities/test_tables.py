"""Tables: what they promise, how close they come to the distributions, and that they are built fast."""

import time

import numpy as np
import pytest
from scipy.special import ndtr

from models.entropy.densities.tables import CdfTables, gaussian_tables, tables_from_pmfs

SCALES = np.exp(np.linspace(np.log(0.11), np.log(256), 64))


def test_gaussians_cost_little_more_than_their_entropy():
    tables = gaussian_tables(SCALES)
    for t, scale in enumerate(SCALES):
        size, start = tables.sizes[t], tables.offsets[t]
        assert start == -(size // 2 - 1)
        symbols = start + np.arange(size - 1)
        mass = ndtr((symbols + 0.5) / scale) - ndtr((symbols - 0.5) / scale)
        mass = np.append(mass, max(1 - mass.sum(), 1e-300))
        quantised = np.diff(tables.cdfs[t])[:size] / 2.0**tables.precision
        excess = np.sum(mass * np.log2(np.maximum(mass, 1e-300) / quantised))
        # Wide alphabets have slots of a few units of 2**-14 only; narrow ones pay for slots that never occur.
        assert excess < 0.0025 * max(np.log2(scale * 4.13), 0) + 1.5 * 8 / 2**tables.precision
        assert tables.cdfs[t, size] == 1 << tables.precision


def test_building_64_tables_takes_a_fifth_of_a_second_at_most():
    gaussian_tables(SCALES)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        gaussian_tables(SCALES)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2


def test_frequencies_are_the_cheapest_of_all():
    """Against trying every table of a small alphabet."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        mass = rng.dirichlet([0.5] * 4)
        tables = tables_from_pmfs([mass[:3]], [0], [mass[3]], precision=5)
        frequencies = np.diff(tables.cdfs[0])
        grid = np.array(
            [(a, b, c, 32 - a - b - c) for a in range(1, 30) for b in range(1, 31 - a) for c in range(1, 32 - a - b)]
        )
        costs = -(np.log2(grid / 32) * mass).sum(1)
        assert -(np.log2(frequencies / 32) * mass).sum() <= costs.min() + 1e-9


@pytest.mark.parametrize(
    ("pmf", "overflow", "frequencies"),
    [([1.0], 0.0, [15, 1]), ([0.0, 1.0], 0.0, [1, 14, 1]), ([0.5, 0.5], 0.0, [7, 8, 1]), ([0.0], 1.0, [1, 15])],
)
def test_every_slot_keeps_a_chance(pmf, overflow, frequencies):
    got = np.diff(tables_from_pmfs([np.array(pmf)], [0], [overflow], precision=4).cdfs[0])
    assert sorted(got) == sorted(frequencies) and got.sum() == 16 and got.min() == 1


def test_bits_counts_escapes_by_their_slot():
    tables = tables_from_pmfs([np.array([0.5, 0.25])], [3], [0.25], precision=8)
    assert tables.bits(np.array([3, 4, 5, -1000]), np.zeros(4, int)) == pytest.approx(1 + 2 + 2 + 2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: gaussian_tables([1.0, -1.0]), "positive"),
        (lambda: gaussian_tables([1.0], tail_mass=0), "tail_mass"),
        (lambda: gaussian_tables([1e5]), "does not fit a precision"),
        (lambda: tables_from_pmfs([np.ones(40)], [0], [0.1], precision=5), "does not fit a precision"),
        (lambda: tables_from_pmfs([np.array([np.nan])], [0], [0.1]), "finite"),
        (lambda: tables_from_pmfs([np.array([0.5])], [0, 1], [0.1]), "one offset"),
        (lambda: gaussian_tables([1.0], precision=16), "1 to 15"),
        (lambda: CdfTables(np.array([[0, 4, 4, 16]]), np.array([3]), np.array([0]), 4), "rise strictly"),
        (lambda: CdfTables(np.array([[0, 4, 15]]), np.array([2]), np.array([0]), 4), "rise strictly"),
        (lambda: CdfTables(np.array([[0, 16]]), np.array([2]), np.array([0]), 4), "do not fit"),
    ],
)
def test_what_is_no_table_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
