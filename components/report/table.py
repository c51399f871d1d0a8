"""A run's outcome in lines of text, side by side as a terminal or the log of a container shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.report import section


def rows(page: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of the metrics, of what sections add, and of how many examples there were.

    Args:
      page: the numbers of a report.
    """
    of_all = next((row for row in page["slices"] if row["slice"] == "all"), {"values": {}, "examples": None})
    found = []
    for metric in page["metrics"]:
        if not metric["detail"]:
            value = of_all["values"].get(metric["name"])
            found.append((metric["name"], "-" if value is None else f"{value:.4f} {metric['unit']}".rstrip()))
    found += [row for one, measured in _sections(page) for row in one.rows(measured)]
    kind = "simulated, " if (page["ingest"] or {}).get("simulated") else ""
    count = "-" if of_all["examples"] is None else f"{of_all['examples']:.0f}"
    return [*found, (page["noun"], f"{count} ({kind}test split)")]


def lines(page: Mapping[str, Any]) -> list[str]:
    """What sections print below, as it stands."""
    return [line for one, measured in _sections(page) for line in one.lines(measured)]


def text(page: Mapping[str, Any]) -> str:
    """All of it, with what became of the model."""
    pushed = page["pushed"]
    outcome = [("pushed model", pushed["path"])] if pushed["pushed"] else []
    refused = [f"not pushed: {reason}" for reason in pushed["reasons"]]
    return "\n".join([*aligned([*outcome, *rows(page)]), *lines(page), *refused]) + "\n"


def aligned(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Names and values as lines of two columns. No rich table: it cuts paths to the terminal's width, 80 in a pipe."""
    width = max([16, *(len(name) for name, _ in pairs)]) + 2
    return [f"{name:{width}}{value}" for name, value in pairs]


def _sections(page: Mapping[str, Any]) -> list[tuple[section.Section, Any]]:
    return [(section.get(name), measured) for name, measured in page["sections"].items()]
