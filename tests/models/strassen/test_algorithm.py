"""Algorithms over the integers: exactness, the order of vec, formulas."""

import numpy as np
import pytest

from models.strassen import algorithm as algorithms
from models.strassen.algorithm import Algorithm, AlgorithmError

TWO = (2, 2, 2)


def published(order):
    return algorithms.of_order(TWO, *algorithms.PUBLISHED, order=order)


def plain(m, k, n):
    """The schoolbook algorithm."""
    a, b, c = (np.zeros(shape, int) for shape in ((m * k * n, m * k), (m * k * n, k * n), (m * n, m * k * n)))
    for r, (i, j, h) in enumerate(np.ndindex(m, k, n)):
        a[r, i * k + j] = b[r, j * n + h] = c[i * n + h, r] = 1
    return Algorithm((m, k, n), a, b, c)


def test_the_printed_solution_is_exact_by_columns_and_the_other_way_round_by_rows():
    random = np.random.default_rng(1)
    left, right = random.integers(-9, 9, (2, 2, 2))
    by_columns, by_rows = published("columns"), published("rows")
    assert by_columns.wrong == 0 and np.array_equal(by_columns.multiply(left, right), left @ right)
    assert by_rows.wrong > 0 and np.array_equal(by_rows.multiply(left, right), right @ left)
    assert (by_columns.products, by_columns.nonzeros, by_columns.additions) == (7, 42, 24)


@pytest.mark.parametrize("sizes", [(2, 2, 2), (1, 3, 2), (3, 2, 4)])
def test_order_of_rectangular_matrices(sizes):
    m, k, n = sizes
    one = plain(m, k, n)
    assert one.wrong == 0 and one.products == m * k * n
    left, right = np.arange(m * k).reshape(m, k), np.arange(k * n).reshape(k, n) - 3
    assert np.array_equal(one.multiply(left, right), left @ right)
    # Rows of the transposed matrices are columns of these.
    columns = plain(n, k, m)
    turned = algorithms.of_order(sizes, columns.b, columns.a, columns.c, "columns")
    assert turned.wrong == 0 and np.array_equal(turned.multiply(left, right), left @ right)


def test_one_wrong_sign_is_found():
    good = published("columns")
    a = good.a.copy()
    a[1] = -a[1]
    assert Algorithm(TWO, a, good.b, good.c).wrong > 0


def test_formulas_compute_the_product():
    lines = algorithms.text(published("columns"))
    assert len(lines) == 11 and lines[1] == "m2 = (a22) (b22)" and lines[-1] == "c22 = m2 + m7"
    random = np.random.default_rng(1)
    left, right = random.integers(-9, 9, (2, 2, 2))
    names = {f"{m}{i + 1}{j + 1}": int(v[i, j]) for m, v in (("a", left), ("b", right)) for i in (0, 1) for j in (0, 1)}
    for line in lines:
        name, _, formula = line.partition(" = ")
        names[name] = eval(formula.replace(") (", ") * ("), {}, names)  # formulas of our own
    assert np.array_equal([[names["c11"], names["c12"]], [names["c21"], names["c22"]]], left @ right)


def test_text_and_json_of_odd_rows():
    zero = Algorithm((1, 1, 1), np.array([[0]]), np.array([[-1]]), np.array([[0]]))
    assert algorithms.text(zero) == ["m1 = (0) (-b11)", "c11 = 0"] and zero.wrong == 1 and zero.additions == 0
    again = algorithms.loads(algorithms.dumps(published("columns")))
    assert again.wrong == 0 and again.sizes == TWO
    for wrong in ("", "[]", '{"sizes": [2, 2, 2], "order": "rows", "a": [], "b": [], "c": []}'):
        with pytest.raises(AlgorithmError):
            algorithms.loads(wrong)


def test_what_is_no_algorithm_is_refused():
    good = published("columns")
    with pytest.raises(AlgorithmError, match=r"b: wanted is \(7, 4\)"):
        Algorithm(TWO, good.a, good.b[:, :3], good.c)
    with pytest.raises(AlgorithmError, match="-1, 0 and 1"):
        Algorithm(TWO, 2 * good.a, good.b, good.c)
    with pytest.raises(AlgorithmError, match="order='diagonals'"):
        algorithms.of_order(TWO, *algorithms.PUBLISHED, order="diagonals")
