"""The verdicts follow from the lines."""

import math

import pytest

from tests.claims.soft_to_hard_report import ANNEALED, FIXED, FREE, at, report


def codec(bpp, psnr, gaps=(1.0, 0.5, 0.05)):
    return {"bpp": bpp, "psnr": psnr, "gaps": list(gaps), "seconds": 1.0}


def network(size, accuracy):
    return {"bytes": size, "accuracy": accuracy, "seconds": 1.0}


def lines():
    """Three seeds of codecs and networks in which everything holds."""
    done = {}
    for seed in (1, 2, 3):
        d = 0.001 * seed
        done["vectors, lambda 0.003", seed] = codec(0.1 + d, 24.0)
        done[ANNEALED, seed] = codec(0.2 + d, 27.0, (1.0, 0.5, 0.05 + d))
        done["vectors, lambda 0.03", seed] = codec(0.4 + d, 30.0)
        done["scalars, lambda 0.01", seed] = codec(0.2 + d, 26.0 + d)
        done[FIXED, seed] = codec(0.2, 26.0, (1.0, 0.9, 0.8 + d))
        done[FREE, seed] = codec(0.3 + d, 27.0 + d)
        done["digits, original", seed] = network(160_000, 0.95 + d)
        done["digits, k-means 4", seed] = network(6000, 0.3 + d)
        done["digits, k-means 4, statistics anew", seed] = network(6000, 0.8 + d)
        done["digits, 4 centres", seed] = network(5000, 0.95 + 2 * d)
    return done


def said(done, words):
    """The verdict of the line with these words."""
    return next(line for line in report(done).splitlines() if words in line).removesuffix(" |").rpartition("| ")[2]


CLAIMS = ("controller closes the gap", "With a fixed sigma", "Vectors are better", "entropy term saves a tenth",
          "4 centres are more accurate than k-means at", "more accurate than k-means, statistics anew",
          "at most a point", "15 times smaller")  # fmt: skip


@pytest.mark.parametrize("words", CLAIMS)
def test_what_all_seeds_say_holds(words):
    assert said(lines(), words) == "holds"


def test_one_seed_shows_nothing_and_the_opposite_does_not_hold():
    one = {key: row for key, row in lines().items() if key[1] == 1}
    assert said(one, "Vectors are better") == "not shown"
    worse = lines()
    for seed in (1, 2, 3):
        worse["digits, 4 centres", seed] = network(20_000, 0.2 + 0.001 * seed)
        worse[FIXED, seed] = codec(0.2, 26.0, (1.0, 0.5, 0.05 + 0.001 * seed))
    assert said(worse, "15 times smaller") == "does not hold"
    assert said(worse, "more accurate than k-means at") == "does not hold"
    assert said(worse, "With a fixed sigma") == "does not hold"


def test_curves_are_read_between_their_points_alone():
    assert at([(2.0, 4.0), (1.0, 2.0)], 1.5) == pytest.approx(3.0)
    assert at([(1.0, 2.0), (2.0, 4.0)], 2.5) is None and at([(1.0, 2.0)], 1.0) is None
    far = lines()
    for seed in (1, 2, 3):
        far["scalars, lambda 0.01", seed] = codec(2.0, 30.0)
    assert "Vectors are better" not in report(far)


def test_tables_have_what_there_is():
    text = report(lines())
    assert "| digits, 4 centres | 3 | 5,000 | 32.0 |" in text and "| vectors, fixed sigma | 3 |" in text
    assert report({}) == "" and math.isfinite(len(text))
