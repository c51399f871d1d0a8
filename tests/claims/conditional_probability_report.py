"""The tables of `tests.claims.conditional_probability` and the verdicts on the claims, from lines of finished runs."""

import statistics
from collections.abc import Mapping

import numpy as np

from tests.claims.verdicts import Difference, shown, verdicts

Done = Mapping[tuple[str, int], Mapping]
ALONE = "no map, rate free"
TARGETS = {"target 0.15": 0.15, "target 0.25": 0.25, "target 0.35": 0.35}
_WITHIN = 0.15  # of a target
_CORRELATION = 0.3
_LESS = 0.05  # share by which the context network is to be below the histogram


def by_run(done: Done) -> dict[str, dict[int, Mapping]]:
    """Rows by run and seed."""
    found: dict[str, dict[int, Mapping]] = {}
    for (name, seed), row in done.items():
        found.setdefault(name, {})[seed] = row
    return found


def at(rate: float, points: list[Mapping]) -> float | None:
    """PSNR at a rate, linear between points in the logarithm of the rate; None outside of them."""
    order = sorted(points, key=lambda row: row["bpp"])
    rates = [row["bpp"] for row in order]
    if len(order) < 2 or not rates[0] <= rate <= rates[-1]:
        return None
    return float(np.interp(np.log(rate), np.log(rates), [row["psnr"] for row in order]))


def claims(done: Done) -> dict[str, Difference]:
    """What is claimed and the differences by seed; what has no run is left out."""
    runs = by_run(done)
    alone, steered = runs.get(ALONE, {}), [runs.get(name, {}) for name in TARGETS]
    seeds = [seed for seed in set.intersection(*(set(rows) for rows in steered))]
    found = {
        "context network: share below the histogram of single symbols, 0.05 at least":
            ([1 - r["context"] / r["zeroth"] for r in alone.values()], _LESS),
        "context network: bits a symbol below the histogram after the left symbol":
            ([r["conditional"] - r["context"] for r in alone.values()], 0.0),
        "three targets: 0.15 less the largest relative miss of the rate":
            ([_WITHIN - max(abs(rows[s]["soft_bpp"] / t - 1) for rows, t in zip(steered, TARGETS.values(), strict=True))
              for s in seeds], 0.0),
        "three targets: smallest step of the rate from one to the next":
            ([min(np.diff([rows[s]["soft_bpp"] for rows in steered])) for s in seeds], 0.0),
        "map: rank correlation of kept channels with gradients' energy, 0.3 at least":
            ([statistics.mean(rows[s]["allocation"] for rows in steered) for s in seeds], _CORRELATION),
        "joint with a map less trained alone: PSNR at equal rate, dB":
            ([at(alone[s]["bpp"], [rows[s] for rows in steered]) - alone[s]["psnr"] for s in seeds if s in alone
              and at(alone[s]["bpp"], [rows[s] for rows in steered]) is not None], 0.0),
    }  # fmt: skip
    return {text: Difference(np.array(values), least) for text, (values, least) in found.items() if values}


def table(done: Done) -> list[str]:
    """A line a kind of run."""
    lines = ["| codec | seeds | bits per pixel | (bits + masked bits) / 2 | PSNR, dB | map and gradients | s |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for name, rows in by_run(done).items():
        means = {k: statistics.mean(r[k] for r in rows.values()) for k in ("bpp", "soft_bpp", "psnr", "seconds")}
        kept = [r["allocation"] for r in rows.values() if "allocation" in r]
        cells = [len(rows), f"{means['bpp']:.4f}", f"{means['soft_bpp']:.4f}", f"{means['psnr']:.2f}",
                 f"{statistics.mean(kept):.3f}" if kept else "-", f"{means['seconds']:.0f}"]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return lines


def symbols(done: Done) -> list[str]:
    """Bits a symbol of the frozen codec, by what they are coded with."""
    rows = by_run(done).get(ALONE, {}).values()
    if not rows:
        return []
    means = [statistics.mean(r[name] for r in rows) for name in ("zeroth", "conditional", "context")]
    cells = " | ".join(f"{value:.3f}" for value in (np.log2(6), *means))
    return ["", "| bits a symbol | uniform | histogram | after the left symbol | context network |",
            "| --- | ---: | ---: | ---: | ---: |", f"| {len(rows)} seeds | {cells} |"]  # fmt: skip


def report(done: Done) -> str:
    """Tables and claims as Markdown; what is not there is left out."""
    asked = claims(done)
    lines = [*table(done), *symbols(done)]
    if asked:
        lines += ["", "| claim | difference (95 %) | runs | verdict |", "| --- | --- | ---: | --- |"]
        for (text, claim), said in zip(asked.items(), verdicts(list(asked.values())), strict=True):
            lines.append(f"| {text} | {shown(claim)} | {claim.runs} | {said} |")
    return "\n".join(lines)
