"""Which claims on matching pursuit over a cone (arXiv:1705.11041) hold here, on 20 seeds.

    python -m tests.claims.matching_pursuit --out docs/matching_pursuit_claims.jsonl [--report FILE.png]

Each finished part (a claim on a seed) is a line of the file, so that the same command goes on where it was stopped.
At the end the claims are judged: "holds", "does not hold", or "not shown" where too few parts are there. --report
draws the rates. Signals have 50 numbers, dictionaries 100 atoms of norm 1 without negative numbers, as in the paper's
synthetic experiment; the optimum is that of SciPy's NNLS, or of its bounded least squares where that gives up.
"""

import functools
import os
import pathlib
import sys
import time
import warnings

import click
import numpy as np
import scipy.optimize

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # noqa: E402

from models.pursuit import garrote, objectives  # noqa: E402
from models.pursuit.atoms import normalised  # noqa: E402
from models.pursuit.factorisation import factorise  # noqa: E402
from models.pursuit.problems import OnGram  # noqa: E402
from models.pursuit.pursuit import ALGORITHMS, pursue  # noqa: E402
from tests.claims import matching_pursuit_report  # noqa: E402
from tests.claims.ledger import Ledger  # noqa: E402

SEEDS, STEPS = 20, 3000
SHOWN = sorted({*range(0, 31), *np.unique(np.geomspace(30, STEPS, 120).astype(int)).tolist()})


def reference(atoms, signal) -> float:
    """f* of one problem."""
    try:
        return 0.5 * scipy.optimize.nnls(atoms.T, signal, maxiter=5000)[1] ** 2
    except RuntimeError:  # "Maximum number of iterations reached"
        return scipy.optimize.lsq_linear(atoms.T, signal, (0, np.inf), method="bvls", tol=1e-14).cost


def solved(atoms, signals, name, **options):
    """The result of one algorithm for signals [B, d], as arrays."""

    found = _traced(name, tuple(options.items()))(tf.constant(atoms), tf.constant(signals))
    return tf.nest.map_structure(lambda t: t.numpy() if hasattr(t, "numpy") else t, found)


@functools.cache
def _traced(name, options):
    return tf.function(lambda a, y: pursue(OnGram.of(a, y), name, **dict(options)), autograph=False)


def drawn(seed: int, kind: str):
    """Atoms [100, 50] and a signal [1, 50]: "open" (|normal|), "inside" the cone with noise, or so with "low" rank."""
    rng = np.random.default_rng(seed)
    base = np.abs(rng.normal(size=(20, 50)))
    # Of atoms of rank 20 many weights give one sum: the objective of the weights is convex, no more.
    if kind == "low":
        atoms = normalised(np.abs(rng.normal(size=(100, 20))) @ base)[0]
    else:
        atoms = normalised(np.abs(rng.normal(size=(100, 50))))[0]
    if kind == "open":
        return atoms, np.abs(rng.normal(size=(1, 50)))
    weights = np.abs(rng.normal(size=(1, 100))) * (rng.random((1, 100)) < 0.35)
    return atoms, weights @ atoms + 0.1 * rng.normal(size=(1, 50))


def rates(seed: int, kind: str) -> dict:
    """Suboptimality over steps, steps to 1e-6, drops and certificates of the four algorithms on one problem."""
    atoms, signal = drawn(seed, kind)
    best, row = reference(atoms, signal[0]), {}
    for name in ALGORITHMS:
        found = solved(atoms, signal, name, steps=STEPS, tolerance=1e-13, history=True)
        apart = found.history[:, 0] - best
        reached = np.flatnonzero(apart < 1e-6)
        row[name] = {
            "curve": [float(f"{a:.2g}") if a > 1e-13 else 0 for a in apart[SHOWN]],
            "reached": int(reached[0]) if len(reached) else None,
            "steps": int(found.steps[0]), "drops": int(found.drops[0]), "lowest": float(found.lowest[0]),
            "along": float(found.along[0]), "apart": float(found.value[0] - best), **fit(apart),
        }  # fmt: skip
    return row


def fit(apart: np.ndarray) -> dict:
    """R^2 of log10(eps) over t between 1e-1 and 1e-9; how many decades eps * t spans from step 10 on; and its largest
    value from step 300 on over that before."""
    within = np.flatnonzero((apart < 1e-1) & (apart > 1e-9))
    scaled = np.where(apart > 1e-11, apart, 0) * np.arange(len(apart))
    late, tail = scaled[300:].max() / scaled[:300].max(), np.maximum(scaled[10:], 1e-13)
    r2 = float(np.corrcoef(within, np.log10(apart[within]))[0, 1] ** 2) if len(within) > 4 else None
    return {"r2": r2, "spread": float(np.log10(tail.max() / tail.min())), "late": float(late)}


def factors(seed: int) -> dict:
    """Errors of greedy rank-one factors of the digits, and of scikit-learn's NMF in the same time or more."""
    import sklearn.datasets
    from sklearn.decomposition import NMF

    digits = sklearn.datasets.load_digits().data / 16
    matrix, row = np.random.default_rng(seed).permutation(digits), {}
    factorise(matrix[:20], 2)  # what is traced once is not timed
    for rank in (8, 16, 32):
        begin = time.perf_counter()
        found = factorise(matrix, rank)
        seconds = time.perf_counter() - begin
        row[rank] = {"greedy": {"error": found.history[-1]["error"], "seconds": seconds}}
        for solver, init in (("mu", "random"), ("mu", "nndsvda"), ("cd", "random"), ("cd", "nndsvda")):
            # As many iterations as take at least as long.
            for count in (50, 100, 200, 400, 800, 1600, 3200):
                begin = time.perf_counter()
                peer = NMF(rank, solver=solver, init=init, max_iter=count, tol=0, random_state=seed).fit(matrix)
                spent = time.perf_counter() - begin
                if spent >= seconds:
                    break
            row[rank][f"{solver} {init}"] = {"error": 0.5 * peer.reconstruction_err_**2, "seconds": spent}
    return row


def chosen(seed: int, splits: int = 5) -> dict:
    """Accuracy and features of the garrote for logistic regression on breast cancer, beside coordinate descent's."""
    import sklearn.datasets
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, y = sklearn.datasets.load_breast_cancer(return_X_y=True)
    found = {name: [] for name in ("nnmp", "pwmp", "fcmp", "descent", "plain")}
    for split in range(splits):
        cut = train_test_split(x, y, test_size=0.5, random_state=seed * splits + split, stratify=y)
        scaler = StandardScaler().fit(cut[0])
        train, test = scaler.transform(cut[0]), scaler.transform(cut[1])
        first = LogisticRegression(C=1.0, max_iter=1000).fit(train, cut[2])
        signs = 2.0 * cut[2] - 1
        parts = train.T * first.coef_[0][:, None]
        found["plain"].append((first.score(test, cut[3]), train.shape[1]))
        for name in ("nnmp", "pwmp", "fcmp"):
            objective = objectives.logistic(tf.constant(signs[None]))
            got = garrote.select(
                parts, objective, free=np.ones((1, len(signs))), algorithm=name, steps=60, tolerance=1e-4
            )
            found[name].append(_scored(test, cut[3], got.weights * first.coef_[0], got.free[0]))
        found["descent"].append(_scored(test, cut[3], *_descent(parts, signs, first.coef_[0])))
    return {name: np.array(values).tolist() for name, values in found.items()}


def _scored(test, y, coefficients, intercept) -> tuple[float, int]:
    return float(((test @ coefficients + intercept > 0) == y).mean()), int((coefficients != 0).sum())


def _descent(parts, signs, first, sweeps: int = 60):
    """Cyclic coordinate descent on the same objective: coefficients and intercept."""
    weights, intercept, margins = np.zeros(len(parts)), 0.0, np.zeros(parts.shape[1])
    rows = np.vstack([parts, np.ones(parts.shape[1])])
    bounds = 0.25 * np.square(rows).sum(1)
    for _ in range(sweeps):
        for k, row in enumerate(rows):
            gradient = -(signs / (1 + np.exp(signs * margins))) @ row
            old = intercept if k == len(parts) else weights[k]
            new = old - gradient / max(bounds[k], 1e-12)
            new = new if k == len(parts) else max(new, 0.0)
            margins += (new - old) * row
            if k == len(parts):
                intercept = new
            else:
                weights[k] = new
    return weights * first, intercept


def sparsity(seed: int) -> dict:
    """Relative squared error with k atoms: pursuits that may use k, clipped OMP, Lasso's path, NNLS's largest k."""
    from sklearn.linear_model import lasso_path, orthogonal_mp_gram

    atoms, _ = drawn(seed, "inside")
    signals = np.concatenate([drawn(1000 * seed + n, "inside")[1] for n in range(5)])
    row, energy = {}, np.square(signals).sum(1)
    counts = (2, 4, 8, 16)

    def error(weights):
        return float((np.square(signals - weights @ atoms).sum(1) / energy).mean())

    exact = solved(atoms, signals, "fcmp", steps=300).weights
    gram, target = atoms @ atoms.T, signals @ atoms.T
    paths = [lasso_path(atoms.T, y, positive=True, n_alphas=200, eps=1e-4)[1].T for y in signals]
    for k in counts:
        row[k] = {n: error(solved(atoms, signals, n, steps=60 * k, most=k, tolerance=1e-9).weights) for n in ALGORITHMS}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            omp = np.stack([orthogonal_mp_gram(gram, t, n_nonzero_coefs=k) for t in target])
        row[k]["clipped OMP"] = error(np.maximum(omp, 0))
        fits = [[w for w in path if (w > 0).sum() <= k] for path in paths]
        row[k]["Lasso"] = error(np.stack([min(f, key=lambda w: np.square(y - w @ atoms).sum())
                                          for f, y in zip(fits, signals, strict=True)]))  # fmt: skip
        cut = np.sort(exact, axis=1)[:, -k][:, None]
        row[k]["largest of NNLS"] = error(np.where(exact >= cut, exact, 0))
    row["NNLS"] = {"error": error(exact), "atoms": float((exact > 0).sum(1).mean())}
    return row


PARTS = {
    "open": lambda seed: rates(seed, "open"),
    "inside": lambda seed: rates(seed, "inside"),
    "low": lambda seed: rates(seed, "low"),
    "factors": factors,
    "garrote": chosen,
    "sparsity": sparsity,
}


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=pathlib.Path), help="The lines of finished parts.")
@click.option("--report", type=click.Path(path_type=pathlib.Path), help="Draw the rates to this PNG file.")
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="Only these parts; repeatable.")
@click.option("--seeds", default=SEEDS, show_default=True)
def main(out, report, only, seeds):
    """Measure what is missing, print the claims."""
    ledger = Ledger(out, ("part", "seed"), sys.modules[__name__])
    for name in only or PARTS:
        for seed in range(seeds):
            if (name, seed) not in ledger.done:
                begin = time.perf_counter()
                found = PARTS[name](seed)
                ledger.add({"steps": STEPS}, time.perf_counter() - begin, part=name, seed=seed, found=found)
    lines = list(ledger.done.values())
    click.echo(matching_pursuit_report.claims(lines))
    if report:
        matching_pursuit_report.draw(lines, SHOWN, report)


if __name__ == "__main__":
    main()
