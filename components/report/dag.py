"""Draws the steps of a run as boxes and arrows, from left to right."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 138, 58, 30, 16
_STATES = {"done": "", "cached": "from cache", "failed": "failed", "skipped": "skipped"}


def seconds_text(seconds: float) -> str:
    """A duration as people say it: "0.4 s", "12 s", "3 min 05 s", "2 h 10 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    seconds = round(seconds)
    if seconds < 100:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def reduce(upstream: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Leaves out every edge that a longer way implies. Edges from unknown nodes are dropped.

    Args:
      upstream: node -> the nodes it waits for; acyclic.
    """
    above: dict[str, set[str]] = {}

    def ancestors(node: str) -> set[str]:
        if node not in above:
            above[node] = set()
            for parent in upstream[node]:
                if parent in upstream:
                    above[node] |= {parent} | ancestors(parent)
        return above[node]

    reduced = {}
    for node, parents in upstream.items():
        parents = [p for p in dict.fromkeys(parents) if p in upstream]
        reduced[node] = [p for p in parents if not any(p in ancestors(q) for q in parents if q != p)]
    return reduced


def layers(upstream: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The column of each node: one right of the last node it waits for."""
    column: dict[str, int] = {}

    def place(node: str) -> int:
        if node not in column:
            column[node] = 1 + max((place(p) for p in upstream[node]), default=-1)
        return column[node]

    for node in upstream:
        place(node)
    return column


def _rows(edges: Mapping[str, Sequence[str]], column: Mapping[str, int]) -> tuple[dict, dict]:
    """Row of each node, and the way of each edge; edges over several columns keep a row of their own in between."""
    columns: list[list[Any]] = [[] for _ in range(1 + max(column.values()))]
    above: dict[Any, list] = {}
    below: dict[Any, list] = {}
    ways: dict[tuple[str, str], list] = {}
    for node, parents in edges.items():
        columns[column[node]].append(node)
        above[node] = []
        for parent in parents:
            way = [parent, *((parent, node, c) for c in range(column[parent] + 1, column[node])), node]
            ways[parent, node] = way
            for left, right in zip(way, way[1:], strict=False):
                above.setdefault(right, []).append(left)
                below.setdefault(left, []).append(right)
            for bend in way[1:-1]:
                columns[bend[2]].append(bend)
    row: dict[Any, float] = {node: i for nodes in columns for i, node in enumerate(nodes)}
    # Each column is sorted by where its neighbours stand, to the right and back, which undoes most crossings.
    for order, neighbours in ((columns, above), (columns[::-1], below), (columns, above)):
        for nodes in order:
            places = {n: [row[p] for p in neighbours.get(n, ())] or [row[n]] for n in nodes}
            nodes.sort(key=lambda n: sum(places[n]) / len(places[n]))  # noqa: B023 (used at once)
            row |= {node: i - (len(nodes) - 1) / 2 for i, node in enumerate(nodes)}
    return row, ways


def draw(steps: Sequence[Mapping[str, Any]]) -> str:
    """The steps as an <svg> element; empty text for no steps.

    Args:
      steps: dicts with "name", "seconds" (None if unknown), "state" ("done", "cached", "failed", "skipped") and
        "upstream" (names of the steps it waits for).
    """
    if not steps:
        return ""
    edges = reduce({s["name"]: s.get("upstream", []) for s in steps})
    column = layers(edges)
    row, ways = _rows(edges, column)
    top, bottom = min(row.values()), max(row.values())
    width = (1 + max(column.values())) * (_WIDTH + _GAP_X) - _GAP_X + 4
    height = (bottom - top + 1) * (_HEIGHT + _GAP_Y) - _GAP_Y + 4

    def corner(node) -> tuple[float, float]:
        c = column[node] if node in column else node[2]
        return 2 + c * (_WIDTH + _GAP_X), 2 + (row[node] - top) * (_HEIGHT + _GAP_Y)

    parts = [_arrow([corner(n) for n in way]) for way in ways.values()]
    longest = max((s.get("seconds") or 0 for s in steps), default=0)
    parts += [_box(step, *corner(step["name"]), longest) for step in steps]
    return (
        f'<svg class="dag" viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px" role="img" '
        'aria-label="the steps of the run">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" class="tip"/></marker></defs>{"".join(parts)}</svg>'
    )


def _arrow(corners: Sequence[tuple[float, float]]) -> str:
    x, y = corners[0][0] + _WIDTH, corners[0][1] + _HEIGHT / 2
    path = f"M{x:.0f} {y:.0f}"
    for i, (right, top) in enumerate(corners[1:], 2):
        middle, target = top + _HEIGHT / 2, right - (1 if i == len(corners) else 0)
        half = (target - x) / 2
        path += f"C{x + half:.0f} {y:.0f} {target - half:.0f} {middle:.0f} {target:.0f} {middle:.0f}"
        if i < len(corners):
            path += f"H{right + _WIDTH:.0f}"
        x, y = right + _WIDTH, middle
    return f'<path class="arrow" d="{path}" marker-end="url(#tip)"/>'


def _box(step: Mapping[str, Any], x: float, y: float, longest: float) -> str:
    state = step.get("state", "done")
    seconds = step.get("seconds")
    told = ", ".join(t for t in ("" if seconds is None else seconds_text(seconds), _STATES.get(state, state)) if t)
    bar = (_WIDTH - 16) * (seconds or 0) / longest if longest else 0
    return (
        f'<g class="box {html.escape(state)}">'
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>'
        f'<text x="{x + 8:.0f}" y="{y + 22:.0f}" class="name">{html.escape(step["name"])}</text>'
        f'<text x="{x + 8:.0f}" y="{y + 40:.0f}">{html.escape(told)}</text>'
        f'<rect class="bar" x="{x + 8:.0f}" y="{y + 47:.0f}" width="{bar:.1f}" height="3"/></g>'
    )
