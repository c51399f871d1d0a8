"""A batch of 1,000 non-negative least-squares problems beside loops of SciPy and scikit-learn, in one run.

    python -m tests.benchmarks.bench_pursuit [--count 1000] [--runs 3]

Signals of 50 numbers, 100 atoms, in two kinds: y = |normal| (few atoms in use) and y in the cone with noise (about 35).
In turns; the median of the runs. The distance is that of the objective to the least of all, the largest of the batch;
what a solver gave up is counted and left out of it. The first call, which traces, is told apart.
"""

import argparse
import os
import statistics
import time

import numpy as np
import scipy.optimize

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # noqa: E402
from sklearn.linear_model import Lasso  # noqa: E402

from models.pursuit.atoms import normalised  # noqa: E402
from models.pursuit.problems import OnGram  # noqa: E402
from models.pursuit.pursuit import pursue  # noqa: E402


def by_scipy(atoms, signals):
    """`scipy.optimize.nnls`, one after the other; a row of NaN where it gives up."""
    found = np.full((len(signals), len(atoms)), np.nan)
    for row, y in zip(found, signals, strict=True):
        try:
            row[:] = scipy.optimize.nnls(atoms.T, y, maxiter=3000)[0]
        except RuntimeError:
            continue
    return found


def by_lasso(atoms, signals):
    """`Lasso(positive=True)` with a cached Gram matrix and hardly any penalty, one after the other."""
    columns = np.asfortranarray(atoms.T)
    model = Lasso(1e-9, positive=True, fit_intercept=False, precompute=atoms @ atoms.T, max_iter=20_000, tol=1e-7)
    return np.stack([model.fit(columns, y).coef_.copy() for y in signals])


def by_pursuit(name):
    """A batch at once."""
    solve = tf.function(lambda a, y: pursue(OnGram.of(a, y), name, steps=3000, tolerance=1e-9).weights, autograph=False)
    return lambda atoms, signals: solve(tf.constant(atoms), tf.constant(signals)).numpy()


def problems(count):
    """The two kinds: name -> atoms [100, 50] and signals [count, 50]."""
    rng = np.random.default_rng(0)
    atoms = normalised(np.abs(rng.normal(size=(100, 50))))[0]
    weights = np.abs(rng.normal(size=(count, 100))) * (rng.random((count, 100)) < 0.35)
    yield "y = |normal|", atoms, np.abs(rng.normal(size=(count, 50)))
    yield "y in the cone", atoms, weights @ atoms + 0.1 * rng.normal(size=(count, 50))


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    solvers = {
        "scipy nnls": by_scipy, "sklearn Lasso": by_lasso, "fcmp": by_pursuit("fcmp"), "pwmp": by_pursuit("pwmp")
    }  # fmt: skip
    for kind, atoms, signals in problems(options.count):
        times, found, first = {n: [] for n in solvers}, {}, {}
        for run in range(options.runs + 1):
            for name, solve in solvers.items():
                begin = time.perf_counter()
                found[name] = solve(atoms, signals)
                spent = time.perf_counter() - begin
                first.setdefault(name, spent)
                if run:
                    times[name].append(spent)
        values = {n: 0.5 * np.square(signals - w @ atoms).sum(1) for n, w in found.items()}
        best = np.nanmin(list(values.values()), axis=0)
        print(f"{kind}, {options.count} problems      seconds   first call   distance   given up")
        for name, value in values.items():
            print(f"  {name:16}{statistics.median(times[name]):24.3f}{first[name]:13.3f}{np.nanmax(value - best):11.1e}"
                  f"{int(np.isnan(value).sum()):11}")  # fmt: skip


if __name__ == "__main__":
    main()
