"""The tables of `tests.claims.strassen` and the verdicts on the claims, from the lines of finished runs."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from tests.claims.verdicts import DOES_NOT, HOLDS, Difference, shown, verdicts

Done = Mapping[tuple[str, int], Mapping]
_PLAIN, _TAUGHT = "plain", "taught"


def report(done: Done, forms: Sequence[str]) -> str:
    """Tables and claims as Markdown.

    Args:
      done: rows by (run, seed). forms: names of the phases in their order.
    """
    runs: dict[str, dict[int, Mapping]] = {}
    for (name, seed), row in done.items():
        runs.setdefault(name, {})[seed] = row
    lines = [*_searches(runs), *_search_claims(runs)]
    for name in sorted({run.partition(",")[0] for run in runs if f"{run.partition(',')[0]}, {_PLAIN}" in runs}):
        own = {run.removeprefix(f"{name}, "): rows for run, rows in runs.items() if run.startswith(f"{name}, ")}
        lines += [*_networks(name, own, forms), *_network_claims(own)]
    return "\n".join(lines)


def _searches(runs) -> list[str]:
    rows = {name: found for name, found in runs.items() if "restarts" in next(iter(found.values()))}
    if not rows:
        return []
    lines = ["| procedure | exact of restarts, by seed | restarts to one, median | fewest wrong | additions | s |",
             "| --- | --- | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for name, found in rows.items():
        exact = ", ".join(f"{r['exact']}/{r['restarts']}" for r in found.values())
        gaps = [r["median_restarts"] for r in found.values() if r["median_restarts"]]
        additions = [r["additions"] for r in found.values() if r["additions"]]
        seconds = statistics.mean(r["seconds"] for r in found.values())
        cells = [exact, f"{statistics.median(gaps):g}" if gaps else "-", min(r["least_wrong"] for r in found.values()),
                 min(additions) if additions else "-", f"{seconds:.1f}"]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return lines


def _search_claims(runs) -> list[str]:
    lines = [""]
    if found := runs.get("pull"):
        lines.append(f"- An exact algorithm of rank 7 is found: {verdict(all(r['exact'] for r in found.values()))}.")
        right = all(r["right_64"] and r["products_64"] == 7**6 for r in found.values())
        counts = sorted({r["products_64"] for r in found.values()})
        lines.append(f"- Applied to 64x64 it takes 7^6 = 117,649 multiplications (measured: {counts}), and whole "
                     f"numbers come out exactly: {verdict(right)}.")  # fmt: skip
    if found := runs.get("rank 6"):
        lines.append(f"- None of rank 6 is found: {verdict(not any(r['exact'] for r in found.values()))}.")
    if found := runs.get("published"):
        row = found[0]
        holds = row["wrong_columns"] == 0 and row["wrong_rows"] > 0 and row["right_64"]
        lines.append(f"- The printed solution is exact with vec by columns (wrong places: {row['wrong_columns']}), not "
                     f"by rows ({row['wrong_rows']}): {verdict(holds)}.")  # fmt: skip
    return [*lines, ""]


def _networks(name: str, own, forms) -> list[str]:
    lines = [f"| {name} | seeds | accuracy | " + " | ".join(f"after {f}" for f in forms)
             + " | multiplications | additions | s |",
             "| --- | ---: | ---: |" + " ---: |" * (len(forms) + 3)]  # fmt: skip
    for run, rows in own.items():
        after = [spread([r["after"][f] for r in rows.values() if "after" in r]) for f in forms]
        first = next(iter(rows.values()))
        additions = statistics.mean(r["additions"] for r in rows.values())
        seconds = statistics.mean(r["seconds"] for r in rows.values())
        cells = [len(rows), spread([r["accuracy"] for r in rows.values()]), *after, f"{first['multiplications']:,}",
                 f"{additions:,.0f}", f"{seconds:.0f}"]  # fmt: skip
        lines.append(f"| {run} | " + " | ".join(map(str, cells)) + " |")
    return lines


def _network_claims(own) -> list[str]:
    """Claims on accuracies, by seed, and the check of the counts."""
    budgets = {run: rows for run, rows in own.items() if run != _PLAIN and not run.endswith(_TAUGHT)}
    seeds = sorted(set.intersection(*(set(rows) for rows in budgets.values()))) if budgets else []
    if not seeds:
        return [""]
    smallest, *_, largest = budgets.values() if len(budgets) > 1 else [*budgets.values()] * 2
    after = [[rows[s]["after"] for rows in budgets.values()] for s in seeds]
    asked = {
        "More products, more accuracy: most less fewest": Difference(
            np.array([largest[s]["accuracy"] - smallest[s]["accuracy"] for s in seeds])
        ),
        "Ternary matrices cost at most 2 points, over the budgets": Difference(
            np.array([np.mean([a["ternary"] - a["full"] for a in found]) for found in after]), -0.02
        ),
        "The last phase costs at most 0.2 points, at the worst budget": Difference(
            np.array([min(a["folded"] - a["ternary"] for a in found) for found in after]), -0.002
        ),
    }
    for run, rows in own.items():
        if run.endswith(_TAUGHT) and (both := sorted(set(rows) & set(alone := own[run.removesuffix(f", {_TAUGHT}")]))):
            gains = [rows[s]["accuracy"] - alone[s]["accuracy"] for s in both]
            asked[f"A teacher makes it more accurate ({run})"] = Difference(np.array(gains))
    lines = ["", "| claim | points (95 % interval) | visible | seeds | verdict |", "| --- | ---: | ---: | ---: | --- |"]
    for (text, claim), said in zip(asked.items(), verdicts(list(asked.values())), strict=True):
        points, seen = dataclasses.replace(claim, values=100 * claim.values), claim.visible(len(asked))
        cells = shown(points, 2), "" if seen is None else f"{100 * seen:.2f}", claim.runs
        lines.append(f"| {text} | {' | '.join(map(str, cells))} | {said} |")
    equal = all(r["of_layers"] == r["formula"] for rows in budgets.values() for r in rows.values())
    return [*lines, "", f"- Counted multiplications are r H W / p^2: {verdict(equal)}.", ""]


def verdict(holds: bool) -> str:
    """The words for what is counted, not estimated."""
    return HOLDS if holds else DOES_NOT


def deviation(values: Sequence[float]) -> float:
    """Standard deviation; 0 of one value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in percent; a dash without values."""
    return f"{100 * statistics.mean(values):.2f} ± {100 * deviation(values):.2f}" if values else "-"
