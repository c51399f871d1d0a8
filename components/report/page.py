"""Turns the numbers of a run into one HTML page that needs nothing from outside: no script, font or picture."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from components.report import dag, earlier, plots, section
from components.report.markup import counted, number, template

_HERE = pathlib.Path(__file__).parent
_TRAINING_ABOUT = (
    "Training values are of the training batches as they were drawn and augmented, validation values of the validation "
    "split as it is."
)
_EVALUATION_ABOUT = "Over the test split, from the exported model."
_LARGE_UNITS = {"pixels": ("megapixels", 1e6), "seconds": ("hours", 3600)}  # of the amounts that an ingest counts
_CARDS = 4  # of the first metrics, where no section has its own


def render(data: Mapping[str, Any]) -> str:
    """The page as text.

    Args:
      data: what `component.Report` writes to report.json; everything but "recipe" may be missing.
    """
    data = earlier.brought_up(data)
    shown, unknown = _shown(data["sections"])
    steps = data.get("steps") or []
    cards, cards_about = _cards(data, shown)
    known = dict.fromkeys(("summary", "preset", "created", "fingerprint", "pushed", "anomalies"))
    return template((_HERE / "page.html").read_text(encoding="utf-8")).render(
        d=known | dict(data),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        notes=[*(data.get("notes") or ()), *unknown],
        badges=_badges(data.get("pushed")),
        cards=cards,
        cards_about=cards_about,
        sections=[one.render(measured, data) for one, measured in shown],
        history=plots.history(data.get("history") or ()),
        training_about=next((s.training_about for s, _ in shown if s.training_about), _TRAINING_ABOUT),
        slices=_slices(data),
        evaluation_about=next((s.evaluation_about for s, _ in shown if s.evaluation_about), _EVALUATION_ABOUT),
        dag=dag.draw(steps),
        steps_about=_steps_about(steps),
        data=_data(data.get("ingest"), data["noun"]),
        config=_config(data.get("config") or ()),
    )


def _shown(sections: Mapping[str, Any]) -> tuple[list[tuple[section.Section, Any]], list[str]]:
    """The sections with what they measured, and a sentence on each that there is no more."""
    shown, unknown = [], []
    for name, measured in sections.items():
        try:
            shown.append((section.get(name), measured))
        except LookupError as error:
            unknown.append(f"A section is missing from this page: {error.args[0]}")
    return shown, unknown


def _badges(pushed: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not pushed:
        return []
    return [("pushed", "good")] if pushed.get("pushed") else [("not pushed", "bad")]


def _overall(data: Mapping[str, Any]) -> tuple[Mapping[str, float], int | None]:
    """The figures of the whole test split and its number of examples; none without an evaluation."""
    for row in data.get("slices") or ():
        if row["slice"] == "all":
            return row["values"], int(row["examples"]) if row.get("examples") else None
    return {}, None


def _cards(data: Mapping[str, Any], shown: Sequence[tuple[section.Section, Any]]) -> section.Cards:
    """Those of the first section that has its own, else of the first metrics."""
    values, examples = _overall(data)
    for one, measured in shown:
        found = one.cards(measured, values, examples)
        if found and found.cards:
            return found
    count = f" ({counted(examples, 'example')})" if examples else ""
    about = f"Means over the test split{count}." if values else ""
    metrics = _metrics(data, values)[:_CARDS]
    cards = [{"label": m["title"] or m["name"], "value": number(values[m["name"]]), "unit": m["unit"], "about": ""}
             for m in metrics]  # fmt: skip
    return section.Cards(cards, about)


def _metrics(data: Mapping[str, Any], found: Mapping[str, Any] | set[str]) -> list[dict[str, Any]]:
    """The metrics of the recipe that were found, without details, and then what else was found.

    What else there is are the changes against the last pushed model, NAME_diff; those of details are left out as well.
    """
    known = data.get("metrics") or ()
    told = {m["name"] for m in known} | {f"{m['name']}_diff" for m in known if m.get("detail")}
    others = [{"name": n, "unit": "", "title": ""} for n in found if n not in told]
    return [m for m in known if m["name"] in found and not m.get("detail")] + others


def _slices(data: Mapping[str, Any]) -> dict[str, Any]:
    rows = data.get("slices") or []
    metrics = _metrics(data, dict.fromkeys(sorted({name for row in rows for name in row["values"]})))
    titles = [", ".join(t for t in (m["title"] or m["name"], m["unit"]) if t) for m in metrics]
    cells = [
        {
            "slice": r["slice"],
            "examples": number(int(r["examples"])) if r.get("examples") is not None else "–",
            "values": [number(r["values"].get(m["name"])) for m in metrics],
        }
        for r in rows
    ]
    return {"metrics": titles, "rows": cells}


def _steps_about(steps: Sequence[Mapping[str, Any]]) -> str:
    told = [s["seconds"] for s in steps if s.get("seconds") is not None]
    cached = sum(s.get("state") == "cached" for s in steps)
    from_cache = f"; {cached} of {len(steps)} came from the cache" if cached else ""
    return f"All steps together: {dag.seconds_text(sum(told))}{from_cache}. The bars compare their times."


def _data(ingest: Mapping[str, Any] | None, noun: str) -> dict[str, Any]:
    """Counts of the examples by split, what else is known in a line each, and the lists of files that need a look.

    Args:
      ingest: of a split it counts the examples, under their own name, their bytes, and how much else they are.
      noun: what the examples are where it counts none.
    """
    if not ingest:
        return {}
    found = ingest.get("splits") or {}
    noun, size, *_ = *(name for counts in found.values() for name in counts if name != "bytes"), noun, "pixels"
    unit, scale = _LARGE_UNITS.get(size, (size, 1))
    splits = [
        [name, number(c.get(noun)), f"{c.get('bytes', 0) / 1e6:,.1f}", f"{c.get(size, 0) / scale:,.1f}"]
        for name, c in found.items()
    ]
    facts = [(key, str(ingest[key])) for key in ("dataset", "folder", "digest", "label_version") if ingest.get(key)]
    # Where each split came from is only worth a line if a split was made of another.
    carved = any(value != [name] for name, value in (ingest.get("source_splits") or {}).items())
    for key in ("formats", "ignored", *(("source_splits",) if carved else ())):
        if ingest.get(key):
            facts.append((key.replace("_", " "), ", ".join(f"{k}: {_listed(v)}" for k, v in ingest[key].items())))
    titles = {
        "unreadable": "unreadable file",
        "duplicates": "duplicate",
        "unlabelled": f"{noun[:-1]} without a label",
        "unknown_records": f"labelled {noun[:-1]} that is not there",
        "untested": f"class without a test {noun[:-1]}",
        "lent": f"{noun[:-1]} lent to an empty split",
    }
    lists = [
        {"title": f"{title} ({len(rows)})", "rows": list(map(_cells, rows)), "open": len(rows) <= 12}
        for key, title in titles.items()
        if (rows := ingest.get(key) or [])
    ]
    clean = [counted(0, titles[key]) for key in ("unreadable", "duplicates") if ingest.get(key) == []]
    return {"heads": [noun, "MB", unit], "splits": splits, "facts": facts, "lists": lists, "clean": ", ".join(clean)}


def _cells(row: Mapping[str, Any] | str) -> list[str]:
    return list(map(str, row.values())) if isinstance(row, Mapping) else [row]


def _listed(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else number(value)


def _config(options: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    groups: dict[str, list] = {"The model": [], "Its training": []}
    for option in options:
        group = groups["Its training" if option.get("training") else "The model"]
        group.append({"name": option["name"], "value": _value(option["value"]), "about": option.get("about", ""),
                      "changed": _value(option["default"]) if "default" in option else ""})  # fmt: skip
    return [(title, rows) for title, rows in groups.items() if rows]


def _value(value: Any) -> str:
    return '""' if value == "" else str(value).lower() if isinstance(value, bool) else f"{value}"
