"""The tables of `tests.claims.soft_to_hard` and the verdicts on the claims, from the lines of finished runs."""

import math
import statistics
from collections.abc import Mapping

import numpy as np

from tests.claims.verdicts import Difference, shown, verdicts

Done = Mapping[tuple[str, int], Mapping]
ANNEALED, FIXED, FREE = "vectors, lambda 0.01", "vectors, fixed sigma", "vectors, no entropy term"
_FACTOR, _POINT = 15.0, 0.01


def report(done: Done) -> str:
    """Tables and claims as Markdown; what is not there is left out."""
    runs: dict[str, dict[int, Mapping]] = {}
    for (name, seed), row in done.items():
        runs.setdefault(name, {})[seed] = row
    claims = {text: claim for text, claim in {**_codec_claims(runs), **_network_claims(runs)}.items() if claim}
    said = verdicts(list(claims.values())) if claims else []
    lines = [*_codecs(runs), *_networks(runs)]
    if claims:
        lines += ["", "| claim | difference (95 %) | runs | verdict |", "| --- | --- | ---: | --- |"]
    for (text, claim), verdict in zip(claims.items(), said, strict=True):
        lines.append(f"| {text} | {shown(claim)} | {claim.runs} | {verdict} |")
    return "\n".join(lines)


def _mean(rows: Mapping[int, Mapping], name: str) -> float:
    return statistics.mean(row[name] for row in rows.values())


def _codecs(runs) -> list[str]:
    own = {name: rows for name, rows in runs.items() if "bpp" in next(iter(rows.values()))}
    if not own:
        return []
    lines = ["| codec | seeds | bits per pixel | PSNR, dB | largest gap | last gap | s |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for name, rows in own.items():
        gaps = [r["gaps"] for r in rows.values() if r["gaps"]]
        ends = [f"{statistics.mean(f(g) for g in gaps):.3f}" for f in (max, lambda g: g[-1])] if gaps else ["-", "-"]
        cells = [len(rows), f"{_mean(rows, 'bpp'):.4f}", f"{_mean(rows, 'psnr'):.2f}", *ends,
                 f"{_mean(rows, 'seconds'):.0f}"]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return lines


def _networks(runs) -> list[str]:
    own = {name: rows for name, rows in runs.items() if "bytes" in next(iter(rows.values()))}
    if not own:
        return []
    lines = ["", "| network | seeds | bytes | times smaller | accuracy | s |",
             "| --- | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for name, rows in own.items():
        first = runs.get(f"{name.partition(',')[0]}, original", {})
        factor = [first[s]["bytes"] / r["bytes"] for s, r in rows.items() if s in first]
        cells = [len(rows), f"{_mean(rows, 'bytes'):,.0f}", f"{statistics.mean(factor):.1f}" if factor else "-",
                 f"{_mean(rows, 'accuracy'):.4f}", f"{_mean(rows, 'seconds'):.0f}"]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return lines


def _paired(runs, names, value, least: float = 0.0) -> Difference | None:
    """The claim that `value` of the rows of each seed that all these runs have is above a margin."""
    if any(name not in runs for name in names):
        return None
    seeds = sorted(set.intersection(*(set(runs[name]) for name in names)))
    values = [value(*(runs[name][seed] for name in names)) for seed in seeds]
    values = [v for v in values if v is not None]
    return Difference(np.array(values), least) if values else None


def at(curve: list[tuple[float, float]], x: float) -> float | None:
    """A curve's y at x, between its points (straight lines); None beyond them."""
    curve = sorted(curve)
    if len(curve) < 2 or not curve[0][0] <= x <= curve[-1][0]:
        return None
    return float(np.interp(x, *zip(*curve, strict=True)))


def _codec_claims(runs) -> dict[str, Difference | None]:
    vectors, scalars = (
        [n for n in runs if n.startswith(f"{kind}, lambda")] for kind in ("vectors", "scalars")
    )  # fmt: skip
    claims = {
        "The controller closes the gap to a tenth: 0.1 less the last gap over the largest": _paired(
            runs, (ANNEALED,), lambda a: 0.1 - a["gaps"][-1] / max(a["gaps"])
        ),
        "With a fixed sigma the last gap is three times as large: its gap less 3 times the other": _paired(
            runs, (FIXED, ANNEALED), lambda f, a: f["gaps"][-1] - 3 * max(a["gaps"][-1], 0.0)
        ),
    }
    if vectors and scalars:

        def gain(*rows):
            own, other = rows[: len(vectors)], rows[len(vectors) :]
            curve = [(math.log(r["bpp"]), r["psnr"]) for r in own]
            gains = [(r["psnr"] - y) for r in other if (y := at(curve, math.log(r["bpp"]))) is not None]
            return -statistics.mean(gains) if gains else None

        claims["Vectors are better than scalars at equal entropy: dB"] = _paired(runs, (*vectors, *scalars), gain)
    if vectors:

        def saved(free, *rows):
            bits = at([(r["psnr"], math.log(r["bpp"])) for r in rows], free["psnr"])
            return 1 - math.exp(bits) / free["bpp"] if bits is not None else None

        claims["The entropy term saves a tenth of the bits at equal distortion: share"] = _paired(
            runs, (FREE, *vectors), saved, least=0.1
        )
    return claims


def _network_claims(runs) -> dict[str, Difference | None]:
    claims: dict[str, Difference | None] = {}
    for name in sorted({run.partition(",")[0] for run in runs if run.endswith(", original")}):
        first = f"{name}, original"
        for run in runs:
            count = run.removeprefix(f"{name}, ").partition(" centres")[0]
            if not run.startswith(f"{name}, ") or " centres" not in run:
                continue
            if "," not in run.removeprefix(f"{name}, "):
                for kind in ("", ", statistics anew"):
                    claims[f"{name}: {count} centres are more accurate than k-means{kind} at as many"] = _paired(
                        runs, (run, f"{name}, k-means {count}{kind}"), lambda a, b: a["accuracy"] - b["accuracy"]
                    )
            what = run.removeprefix(f"{name}, ")
            claims[f"{name}, {what}: at most a point less accurate than the original"] = _paired(
                runs, (run, first), lambda a, b: a["accuracy"] - b["accuracy"], least=-_POINT
            )
            claims[f"{name}, {what}: {_FACTOR:g} times smaller, all bytes counted: factor"] = _paired(
                runs, (run, first), lambda a, b: b["bytes"] / a["bytes"], least=_FACTOR
            )
        on, off = f"{name}, 16 centres", f"{name}, 16 centres, no entropy term"
        claims[f"{name}: the entropy term saves bytes at 16 centres: share"] = _paired(
            runs, (on, off), lambda a, b: 1 - a["bytes"] / b["bytes"]
        )
    return claims
