"""The tables of `tests.claims.generative` and the verdicts on the claims, from the lines of finished runs."""

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tests.claims.verdicts import Difference, shown, verdicts

Done = Mapping[tuple[str, int], Mapping]
Runs = Mapping[str, Mapping[int, Mapping]]
RATES = (2, 8, 32)  # code channels of distribution-preserving compression; 0 is its generator
CHANNELS = (2, 4, 8)  # code channels of generative compression
WPP, WAE = "generator, wasserstein_pp", "generator, wae"


def report(done: Done) -> str:
    """Tables and claims as Markdown; what is not there is left out."""
    runs = _by_run(done)
    claims = _judged({**_preserving_claims(runs), **_extreme_claims(runs)})
    return "\n".join([*_preserving(runs), *_extreme(runs), *claims, *_checks(runs)])


def scene_report(done: Done) -> str:
    """Likewise of `tests.claims.generative_scenes`."""
    runs = _by_run(done)
    claims: dict[str, Difference | None] = {}
    for name in runs:
        claims |= _scene_claims(runs, name)
    return "\n".join([*_scenes(runs), *_judged(claims), *_scene_checks(runs)])


def _by_run(done: Done) -> dict[str, dict[int, Mapping]]:
    runs: dict[str, dict[int, Mapping]] = {}
    for (name, seed), row in done.items():
        runs.setdefault(name, {})[seed] = row
    return runs


def _judged(texts: Mapping[str, Difference | None]) -> list[str]:
    """The table of claims and verdicts."""
    claims = {text: claim for text, claim in texts.items() if claim}
    if not claims:
        return []
    lines = ["", "| claim | difference (95 %) | runs | verdict |", "| --- | --- | ---: | --- |"]
    for (text, claim), verdict in zip(claims.items(), verdicts(list(claims.values())), strict=True):
        lines.append(f"| {text} | {shown(claim)} | {claim.runs} | {verdict} |")
    return lines


def _mean(rows: Mapping[int, Mapping], name: str, form: str = ".4f") -> str:
    found = [row[name] for row in rows.values() if row.get(name) is not None]
    return format(statistics.mean(found), form) if found else "-"


def _paired(runs: Runs, names: Sequence[str], value: Callable, least: float = 0.0) -> Difference | None:
    """The claim that `value` of the rows of each seed that all these runs have is above a margin."""
    if any(name not in runs for name in names):
        return None
    seeds = sorted(set.intersection(*(set(runs[name]) for name in names)))
    values = [value(*(runs[name][seed] for name in names)) for seed in seeds]
    values = [v for v in values if v is not None and np.isfinite(v)]
    return Difference(np.array(values), least) if values else None


def _table(head: str, numbers: int, rows: Sequence[str]) -> list[str]:
    return ["", f"| {head} |", "| --- |" + " ---: |" * numbers, *rows] if rows else []


def _preserving(runs: Runs) -> list[str]:
    """Generators, then rates."""
    rows = []
    for name in (WPP, WAE):
        if name in runs:
            of = runs[name]
            cells = [len(of), _mean(of, "mse"), _mean(of, "fd", ".2f"), _mean(of, "zero_fd", ".2f"),
                     _mean(of, "marginal"), _mean(of, "seconds", ".0f")]  # fmt: skip
            rows.append(f"| {name.partition(', ')[2]} | " + " | ".join(map(str, cells)) + " |")
    lines = _table("generator | seeds | MSE of pairs | FD of pairs | FD of samples | variance of samples | s", 6, rows)
    rows = []
    if WPP in runs:
        of = runs[WPP]
        cells = [len(of), 0, _mean(of, "zero_mse"), _mean(of, "zero_fd", ".2f"), _mean(of, "zero_variance"), "-", "-"]
        rows.append("| preserving, 0 | " + " | ".join(map(str, cells)) + " |")
    for kind, rate in itertools.product(("preserving", "MSE only"), RATES):
        if of := runs.get(f"{kind}, {rate}"):
            cells = [len(of), _mean(of, "bits", ".0f"), _mean(of, "mse"), _mean(of, "fd", ".2f"),
                     *(_mean(of, n, ".5f") for n in ("variance", "mmd", "mmd_without_noise"))]  # fmt: skip
            rows.append(f"| {kind}, {rate} | " + " | ".join(map(str, cells)) + " |")
    head = "codes of 32x32 pixels, channels | seeds | bits | MSE | FD | variance over noise | MMD | MMD without noise"
    return lines + _table(head, 7, rows)


def _preserving_claims(runs: Runs) -> dict[str, Difference | None]:
    rates = [f"preserving, {rate}" for rate in RATES]
    low, high = RATES[0], RATES[-1]

    def spread(zero, *coded):
        return 0.25 - max(abs(c["fd"] - zero["zero_fd"]) for c in coded) / zero["zero_fd"]

    def falls(name, zero_name):
        def least(zero, *coded):
            values = [zero[zero_name], *(c[name] for c in coded)]
            return min(a - b for a, b in itertools.pairwise(values))

        return least

    def slope(zero, *coded):
        gaps = [zero["zero_mse"] - zero["mse"], *(c["mse"] - zero["mse"] for c in coded)]
        bits = [0, *(c["bits"] for c in coded)]
        if min(gaps) <= 0:
            return None
        return -float(np.polyfit(bits, np.log(gaps), 1)[0]) * 100

    return {
        "DPLC 1: FD of 2, 8 and 32 channels is within a quarter of that at none: 0.25 less the largest share": _paired(
            runs, (WPP, *rates), spread
        ),
        f"DPLC 1: at {low} channels an auto-encoder for the MSE has 1.5 times the FD: factor": _paired(
            runs, (f"MSE only, {low}", f"preserving, {low}"), lambda m, p: m["fd"] / p["fd"], least=1.5
        ),
        "DPLC 2: MSE falls with every step of the rate: the smallest fall": _paired(
            runs, (WPP, *rates), falls("mse", "zero_mse")
        ),
        f"DPLC 2: at {high} channels MSE is within 20 % of that of the unquantised pair: 1.2 less the ratio": _paired(
            runs, (WPP, f"preserving, {high}"), lambda zero, c: 1.2 - c["mse"] / zero["mse"]
        ),
        "DPLC 4: variance over the noise falls with every step of the rate: the smallest fall": _paired(
            runs, (WPP, *rates), falls("variance", "zero_variance")
        ),
        "DPLC 4: without noise the MMD to the prior is larger, at 8 channels: difference": _paired(
            runs, ("preserving, 8",), lambda c: c["mmd_without_noise"] - c["mmd"]
        ),
        "DPLC 5: Wasserstein++ has a lower FD of pairs than WAE: difference": _paired(
            runs, (WPP, WAE), lambda both, wae: wae["fd"] - both["fd"]
        ),
        "DPLC 5: and a higher MSE: difference": _paired(runs, (WPP, WAE), lambda both, wae: both["mse"] - wae["mse"]),
        "DPLC 6: the logarithm of the gap to the pair's MSE falls with the bits: slope a hundred bits": _paired(
            runs, (WPP, *rates), slope
        ),
    }


def _extreme(runs: Runs) -> list[str]:
    rows = []
    for kind, channels in itertools.product(("GC", "MSE only"), CHANNELS):
        if of := runs.get(f"{kind}, C = {channels}"):
            cells = [len(of), _mean(of, "bpp"), _mean(of, "bound"), _mean(of, "psnr", ".2f"), _mean(of, "fd", ".2f"),
                     _mean(of, "sharpness", ".3f"), _mean(of, "seconds", ".0f")]  # fmt: skip
            rows.append(f"| {kind}, C = {channels} | " + " | ".join(map(str, cells)) + " |")
    return _table("codec of crops of 64x64 | seeds | bpp | bound | PSNR, dB | FD | sharpness | s", 7, rows)


def _extreme_claims(runs: Runs) -> dict[str, Difference | None]:
    claims: dict[str, Difference | None] = {}
    for channels in CHANNELS:
        pair = f"GC, C = {channels}", f"MSE only, C = {channels}"
        claims |= {
            f"GC 2: PSNR is lower than of the same network for the MSE alone, C = {channels}: dB": _paired(
                runs, pair, lambda g, m: m["psnr"] - g["psnr"]
            ),
            f"GC 2: FD is lower, C = {channels}: difference": _paired(runs, pair, lambda g, m: m["fd"] - g["fd"]),
            f"GC 3: sharpness is nearer to 1, C = {channels}: difference of distances": _paired(
                runs, pair, lambda g, m: abs(m["sharpness"] - 1) - abs(g["sharpness"] - 1)
            ),
        }
    ends = [f"GC, C = {CHANNELS[0]}", f"GC, C = {CHANNELS[-1]}"]
    return claims | {
        "GC 4: FD falls from C = 2 to 8: difference": _paired(runs, ends, lambda a, b: a["fd"] - b["fd"]),
        "GC 4: PSNR rises from C = 2 to 8: dB": _paired(runs, ends, lambda a, b: b["psnr"] - a["psnr"]),
    }


def _checks(runs: Runs) -> list[str]:
    """What holds by construction, or is counted in every run: no chance is in it."""
    lines = []
    coded = [row for name, of in runs.items() if name.startswith(("GC,", "MSE only, C")) for row in of.values()]
    if coded:
        over = sum(row["over_bound"] for row in coded)
        equal = sum(row["symbols_equal"] for row in coded)
        lines.append(
            f"GC 1: of {sum(row['streams'] for row in coded)} streams {over} are larger than the bound and the header, "
            f"and {equal} gave back the very symbols."
        )
    if WPP in runs:
        rows = runs[WPP].values()
        apart = max(abs(r["zero_fd"] - r["again_fd"]) / r["zero_fd"] for r in rows)
        ratio = [r["zero_variance"] / r["marginal"] for r in rows]
        lines.append(
            f"DPLC 3: without bits decoding is sampling: FD of two sets of draws is {100 * apart:.1f} % apart at most, "
            f"and the variance over draws is {min(ratio):.2f} to {max(ratio):.2f} of that of samples."
        )
    return ["", *lines] if lines else []


def _scenes(runs: Runs) -> list[str]:
    rows = []
    for name, of in runs.items():
        cells = [len(of), _mean(of, "inside_mse"), _mean(of, "random_mse"), _mean(of, "total_bits", ".0f"),
                 _mean(of, "side_bits", ".0f"), _mean(of, "gc_bits", ".0f"), _mean(of, "break_even", ".3f"),
                 _mean(of, "right", ".3f"), _mean(of, "chance", ".3f")]  # fmt: skip
        rows.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    head = "scenes | seeds | MSE inside | MSE there, another box | bits, all | of maps | bits of GC | break-even area"
    return _table(f"{head} | labels right | chance", 9, rows)


def _scene_claims(runs: Runs, name: str) -> dict[str, Difference | None]:
    return {
        f"{name} 5: MSE is lower where a box is preserved than with another box: difference": _paired(
            runs, (name,), lambda row: row["random_mse"] - row["inside_mse"]
        ),
        f"{name} 6: labels of what was made up are seen twice as often as by chance: factor": _paired(
            runs, (name,), lambda row: row["right"] / row["chance"], least=2.0
        ),
        f"{name} 7: all bits with a quarter preserved are fewer than GC's: share saved": _paired(
            runs, (name,), lambda row: 1 - row["total_bits"] / row["gc_bits"]
        ),
    }


def _scene_checks(runs: Runs) -> list[str]:
    rows = [row for of in runs.values() for row in of.values()]
    if not rows:
        return []
    bits, changed = (sum(row[name] for row in rows) for name in ("bits_outside", "changed_by_outside"))
    return [
        "",
        f"SC 5: symbols where nothing is preserved took {bits} bits, and other ones there changed {changed} pictures.",
    ]
