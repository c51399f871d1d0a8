"""Bilinear algorithms for matrix products: matrices of -1, 0 and 1, verified over the integers, written out.

    vec(A B) = W_c [ (W_a vec(A)) * (W_b vec(B)) ],  vec row by row

Column by column the same matrices would compute B A, of other sizes: the order belongs to the algorithm.
"""

import dataclasses
import json

import numpy as np

from models.contract.errors import KompaktError

ORDERS = ("rows", "columns")


class AlgorithmError(KompaktError, ValueError):
    """Matrices that are no algorithm for a product of these sizes, or not an exact one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Algorithm:
    """An algorithm for [m, k] times [k, n] by r products.

    Attributes:
      sizes: (m, k, n). a: int8 [r, m k]. b: int8 [r, k n]. c: int8 [m n, r]; each of -1, 0 and 1, for matrices that are
        read row by row.

    Raises:
      AlgorithmError: shapes that do not fit, or other values.
    """

    sizes: tuple[int, int, int]
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray

    def __post_init__(self):
        m, k, n = self.sizes
        shapes = {"a": (len(self.a), m * k), "b": (len(self.a), k * n), "c": (m * n, len(self.a))}
        for name, shape in shapes.items():
            values = np.asarray(getattr(self, name))
            if values.shape != shape or not np.isin(values, (-1, 0, 1)).all():
                raise AlgorithmError(f"{name}: wanted is {shape} of -1, 0 and 1 for {m}x{k} by {k}x{n}")
            object.__setattr__(self, name, values.astype(np.int8))

    @property
    def products(self) -> int:
        """Multiplications of one application, r."""
        return len(self.a)

    @property
    def additions(self) -> int:
        """Additions and subtractions of one application, none of them shared."""
        rows = (*self.a, *self.b, *self.c)
        return int(sum(max(np.count_nonzero(row) - 1, 0) for row in rows))

    @property
    def nonzeros(self) -> int:
        """Values that are not zero."""
        return int(sum(np.count_nonzero(values) for values in (self.a, self.b, self.c)))

    @property
    def wrong(self) -> int:
        """In how many places its tensor differs from that of the product: 0 proves it for all matrices."""
        return int(np.count_nonzero(self.tensor() - product_tensor(self.sizes)))

    def tensor(self) -> np.ndarray:
        """What it computes, int64 [m k, k n, m n]: how often the product of two entries counts in an entry of C."""
        return np.einsum("rx,ry,zr->xyz", *(v.astype(np.int64) for v in (self.a, self.b, self.c)))

    def multiply(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Applies it once to [m, k] and [k, n], in their own arithmetic."""
        m, _, n = self.sizes
        return (self.c @ ((self.a @ left.reshape(-1)) * (self.b @ right.reshape(-1)))).reshape(m, n)


def of_order(sizes: tuple[int, int, int], a, b, c, order: str = "rows") -> Algorithm:
    """An algorithm whose matrices are for vec in an order, "rows" or "columns"; see the class for the shapes.

    Raises:
      AlgorithmError: unknown order, or as of the class.
    """
    if order not in ORDERS:
        raise AlgorithmError(f"order={order!r}: not one of {', '.join(ORDERS)}")
    a, b, c = (np.asarray(values) for values in (a, b, c))
    if order == "columns":
        m, k, n = sizes
        a, b, c = a[:, _columns(m, k)], b[:, _columns(k, n)], c[_columns(m, n)]
    return Algorithm(sizes, a, b, c)


def _columns(rows: int, columns: int) -> np.ndarray:
    """Where an entry, in the order of rows, stands in the order of columns."""
    return np.arange(rows * columns).reshape(columns, rows).T.reshape(-1)


def product_tensor(sizes: tuple[int, int, int]) -> np.ndarray:
    """The tensor of the product of [m, k] and [k, n]: int64 [m k, k n, m n] of 0 and 1, read row by row."""
    m, k, n = sizes
    tensor = np.zeros((m, k, k, n, m, n), np.int64)
    i, j, h = np.ogrid[:m, :k, :n]
    tensor[i, j, j, h, i, h] = 1
    return tensor.reshape(m * k, k * n, m * n)


# Printed in arXiv:1712.03942; its vec goes column by column.
PUBLISHED = (
    [(-1, -1, 0, 0), (0, 0, 0, 1), (-1, -1, 1, 1), (-1, 0, 1, 0), (-1, -1, 1, 0), (0, 0, 1, 0), (0, -1, 0, 0)],
    [(-1, -1, 0, 0), (0, 0, 0, 1), (0, 1, 0, 0), (1, 0, 1, 0), (-1, -1, -1, 0), (1, 1, 1, 1), (0, 0, -1, 0)],
    [(1, 0, 0, -1, -1, 0, 1), (0, 0, 1, 1, 1, 0, -1), (-1, 0, 0, 0, 1, 1, -1), (0, 1, 0, 0, 0, 0, 1)],
)


def text(algorithm: Algorithm) -> list[str]:
    """The algorithm as formulas, a line each: the products m1, m2, ... of sums of entries, then the entries of C."""
    m, k, n = algorithm.sizes
    entries = [[f"{name}{i + 1}{j + 1}" for i in range(rows) for j in range(columns)]
               for name, rows, columns in (("a", m, k), ("b", k, n), ("c", m, n))]  # fmt: skip
    products = [f"m{r + 1}" for r in range(algorithm.products)]
    lines = [
        f"{name} = {_factor(a, entries[0])} {_factor(b, entries[1])}"
        for name, a, b in zip(products, algorithm.a, algorithm.b, strict=True)
    ]
    lines += [f"{name} = {_sum(row, products)}" for name, row in zip(entries[2], algorithm.c, strict=True)]
    return lines


def _sum(row: np.ndarray, names: list[str]) -> str:
    terms = [("- " if value < 0 else "+ ") + name for value, name in zip(row, names, strict=True) if value]
    joined = " ".join(terms) or "0"
    return joined.removeprefix("+ ") if not joined.startswith("- ") else "-" + joined[2:]


def _factor(row: np.ndarray, names: list[str]) -> str:
    return f"({_sum(row, names)})"


def dumps(algorithm: Algorithm) -> str:
    """The algorithm as JSON, with what it is worth."""
    arrays = {name: getattr(algorithm, name).tolist() for name in "abc"}
    facts = {name: getattr(algorithm, name) for name in ("products", "additions", "nonzeros", "wrong")}
    return json.dumps({"sizes": algorithm.sizes, "order": ORDERS[0]} | facts | arrays)


def loads(said: str) -> Algorithm:
    """The inverse of `dumps`; what it is worth is counted anew.

    Raises:
      AlgorithmError: something else.
    """
    try:
        found = json.loads(said)
        return of_order(tuple(found["sizes"]), found["a"], found["b"], found["c"], found["order"])
    except (ValueError, KeyError, TypeError) as error:
        raise AlgorithmError(f"no algorithm: {error}") from error
