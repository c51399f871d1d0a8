"""The verdicts follow from the lines."""

import pytest

from models.layers.ternary import FORMS
from tests.claims.strassen_report import report

SEARCH = {"restarts": 4, "least_wrong": 0, "median_restarts": 2.0, "additions": 18, "seconds": 1.0}


def network(accuracy, full=0.9, ternary=0.89):
    after = dict(zip(FORMS, (full, ternary, accuracy), strict=True))
    return {"accuracy": accuracy, "seconds": 1.0, "after": after, "multiplications": 10, "additions": 20,
            "of_layers": 5, "formula": 5}  # fmt: skip


def lines(taught):
    """Two budgets and five seeds, taught ones better by the numbers."""
    done = {("digits, plain", s): {k: v for k, v in network(0.95).items() if k != "after"} for s in range(5)}
    for s, gain in enumerate(taught):
        done["digits, r = 0.5 c", s] = network(0.889)
        done["digits, r = 1 c", s] = network(0.9)
        done["digits, r = 1 c, taught", s] = network(0.9 + gain)
    return done


def verdict_of(done, words):
    """The last cell or word of the line with these words."""
    line = next(line for line in report(done, FORMS).splitlines() if words in line)
    return line.removesuffix(" |").removesuffix(".").rpartition("| ")[2].rpartition(": ")[2]


@pytest.mark.parametrize(
    "taught, said",
    [((0.01, 0.011, 0.009, 0.01, 0.012), "holds"), ((0.01, -0.02, 0.01, 0.0, -0.01), "not shown"),
     ((-0.01, -0.011, -0.009, -0.01, -0.012), "does not hold"), ((0.01,), "not shown")],
)  # fmt: skip
def test_a_teacher_helps_if_the_seeds_say_so(taught, said):
    assert verdict_of(lines(taught), "A teacher makes it more accurate") == said


def test_claims_of_budgets():
    done = lines((0.0,) * 5)
    for words in ("More products", "cost at most 2 points", "last phase costs", "are r H W"):
        assert verdict_of(done, words) == "holds"
    for s in range(5):
        done["digits, r = 1 c", s] = network(0.85, ternary=0.86) | {"formula": 6}
    for words in ("More products", "last phase costs", "are r H W"):
        assert verdict_of(done, words) == "does not hold"
    assert "| r = 0.5 c | 5 | 88.90 ± 0.00 | 90.00 ± 0.00 |" in report(done, FORMS)


def test_one_seed_says_nothing_of_accuracies():
    done = lines((0.0,))
    for words in ("More products", "cost at most 2 points", "last phase costs"):
        assert verdict_of(done, words) == "not shown"
    assert verdict_of(done, "are r H W") == "holds"


def test_claims_of_searches():
    right = {"exact": 3, "products_64": 7**6, "right_64": True}
    done = {("pull", 1): SEARCH | right, ("rank 6", 1): SEARCH | {"exact": 0},
            ("published", 0): {"wrong_rows": 12, "wrong_columns": 0, "right_64": True}}  # fmt: skip
    said = report(done, FORMS)
    assert said.count(": holds.") == 4 and "does not hold" not in said and "| pull | 3/4 | 2 |" in said
    done["rank 6", 1] |= {"exact": 1}
    done["pull", 1] |= {"products_64": 8**6}
    assert report(done, FORMS).count(": does not hold.") == 2
