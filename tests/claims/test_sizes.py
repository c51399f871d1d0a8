"""The script behind the table of sizes."""

import numpy as np
import pytest

from tests.claims import sizes


def test_parts_and_the_pieces_around_them_lie_in_the_picture():
    drawn = [list(sizes.parts(np.random.default_rng(seed), 512, 777, 2000)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 2000
    top, left, height, width = np.array(drawn[0]).T
    assert top.min() == left.min() == 0 and height.min() >= 128 and width.max() <= 768
    for start, side, whole in ((top, height, 512), (left, width, 777)):
        piece = np.array([sizes.around(int(s)) for s in side])
        assert ((piece - side >= 0) & (piece - side < 64) & (piece % 64 == 0)).all()
        assert (start + piece).max() <= whole and len(set(side % 64)) == 64


def test_the_interval_is_of_the_mean_over_pictures():
    mean, low, high = sizes.interval([[1.0, 3.0], [5.0, 7.0], [9.0, 11.0]], seed=1)
    assert mean == 6 and (low, high) == (2, 10)  # three times the first, three times the last: 1 in 27 each
    assert sizes.interval([[4.0], [4.0]], seed=1) == (4, 4, 4)


def row(kind: str, before: int, after: int, piece: int, picture: str = "p") -> dict:
    """A row of 1,000 pixels."""
    figures = {"bytes_percent": 100 * (after / before - 1), "cost_percent": -2.0, "height": 10, "width": 100}
    about = {"picture": picture, "kind": kind, "piece_bytes": piece}
    return about | figures | {"before": {"bytes": before, "db": 30.0}, "after": {"bytes": after, "db": 30.0}}


def test_the_summary_counts_what_costs_more_than_its_piece():
    drawn = [row("random", 100, 90, 95), row("random", 50, 45, 40, "q")]
    rows = [row("whole", 200, 200, 0), *drawn, row("less 32", 9, 8, 8)]
    told = sizes.summary(rows, seed=1)
    assert told["parts"] == 2 and told["whole_pictures_differ"] == 0
    assert told["bytes_percent"] == pytest.approx([-10, -10, -10]) and told["cost_percent_range"] == [-2, -2]
    assert told["before"]["cost_more_than_piece"] == 3 and told["before"]["worst_percent_of_piece"] == 25
    assert told["after"]["cost_more_than_piece"] == 1 and told["after"]["bpp"] == pytest.approx(0.54)
    assert sizes.summary([row("whole", 200, 199, 0), *rows], seed=1)["whole_pictures_differ"] == 1
