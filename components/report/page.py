"""Turns the numbers of a run into one HTML page that needs nothing from outside: no script, font or picture."""

import functools
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from components.evaluation import class_scores, rate_distortion
from components.report import dag, plots
from components.report.sections import ecg_plots
from models.records.ecg_units import CLASSES

_HERE = pathlib.Path(__file__).parent
_LABELS = {
    "bpp": "real rate", "estimated_bpp": "estimated rate", "psnr_db": "PSNR", "ms_ssim": "MS-SSIM",
    "rd_cost": "RD cost", "challenge_f1": "challenge F1",
    **{f"f1_{title}": f"F1 {title}" for title in CLASSES.values()},
}  # fmt: skip
_IN_CLASS_TABLE = ("precision_", "recall_")  # figures of a class, which have a table of their own
_SCORES = ("recordings", *class_scores.KINDS)


def number(value: Any, digits: int = 4) -> str:
    """A value as it stands in a table: `digits` significant digits, a dash for what is no number."""
    if isinstance(value, bool) or value is None:
        return "–" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
        if value and not 1e-3 <= abs(value) < 1e6:
            return f"{value:.{digits - 1}g}"
        whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
        return f"{value:,.{max(0, digits - whole)}f}"
    return str(value)


def render(data: Mapping[str, Any]) -> str:
    """The page as text.

    Args:
      data: what `component.Report` writes to report.json; everything but "recipe" may be missing.
    """
    measured = data.get("measured") or {}
    steps = data.get("steps") or []
    classified = data.get("classified") or {}
    cards, cards_about = _cards(data)
    known = dict.fromkeys(("summary", "preset", "created", "fingerprint", "pushed", "notes", "anomalies"))
    return _template().render(
        d=known | dict(data),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        badges=_badges(data.get("pushed")),
        cards=cards,
        cards_about=cards_about,
        plot=_plot(data) if measured else "",
        rates=_rates(measured) if measured else None,
        is_codec=data.get("kind", "codec") == "codec",
        thing=data.get("noun", "pictures").removesuffix("s"),
        confusion=_confusion(classified),
        calibration=plots.calibration(classified["reliability"]) if classified else "",
        scores=[[s["title"], s["name"], *map(number, [s[k] for k in _SCORES])] for s in classified.get("scores", ())],
        mistakes=ecg_plots.drawn(classified.get("mistakes", ())),
        int8=_int8(data.get("int8")),
        comparison=_comparison(data.get("comparison") or ()),
        measured_count=_count(len(measured.get("each", ())), "picture"),
        pictures=[_picture(p) for p in measured.get("pictures", ())],
        each=[{"key": p["key"], "values": _point(p)} for p in measured.get("each", ())],
        history=plots.history(data.get("history") or ()),
        slices=_slices(data),
        dag=dag.draw(steps),
        steps_about=_steps_about(steps),
        data=_data(data.get("ingest")),
        config=_config(data.get("config") or ()),
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string((_HERE / "page.html").read_text(encoding="utf-8"))


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _badges(pushed: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not pushed:
        return []
    return [("pushed", "good")] if pushed.get("pushed") else [("not pushed", "bad")]


def _point(point: Mapping[str, float]) -> list[str]:
    return [f"{point['bpp']:.4f}", f"{point['psnr_db']:.2f}", f"{point['ms_ssim']:.4f}"]


def _overall(data: Mapping[str, Any]) -> tuple[Mapping[str, float], str]:
    """The figures of the whole test split, or of the measured pictures where there is no evaluation."""
    for row in data.get("slices") or ():
        if row["slice"] == "all":
            how = ", from streams that were really written and read" if "bpp" in row["values"] else ""
            count = f" ({_count(int(row['examples']), 'example')})" if row.get("examples") else ""
            return row["values"], f"Means over the test split{count}{how}."
    measured = data.get("measured")
    if measured:
        return measured["mean"], f"Means over {_count(len(measured['each']), 'picture')} of the test split."
    return {}, ""


def _cards(data: Mapping[str, Any]) -> tuple[list[dict[str, str]], str]:
    values, about = _overall(data)
    cards = []
    if "bpp" in values:
        rate = f"{values['bpp']:.3f}"
        cards.append({"label": "Rate", "value": rate, "unit": "bpp", "about": "all bytes of the stream"})
    if "psnr_db" in values:
        cards.append({"label": "PSNR", "value": number(values["psnr_db"]), "unit": "dB", "about": "RGB, peak 255"})
    if "ms_ssim" in values:
        cards.append({"label": "MS-SSIM", "value": f"{values['ms_ssim']:.4f}", "unit": "", "about": "1 is identical"})
    if values.get("estimated_bpp") and "bpp" in values:
        excess = 100 * (values["bpp"] / values["estimated_bpp"] - 1)
        told = f"estimated {values['estimated_bpp']:.3f} bpp"
        shown = f"{excess:+.2f}".replace("-", "−")
        cards.append({"label": "Real over estimated", "value": shown, "unit": "%", "about": told})
    if not cards:
        units = {m["name"]: m["unit"] for m in data.get("metrics") or ()}
        names = [*(n for n in units if n in values), *(n for n in values if n not in units)]
        names = [n for n in names if not n.startswith(_IN_CLASS_TABLE)][:4]
        cards = [{"label": _LABELS.get(n, n), "value": number(values[n]), "unit": units.get(n, ""), "about": ""}
                 for n in names]  # fmt: skip
    rates = _rates(data["measured"])["rows"] if data.get("measured") else []
    for row in rates:
        if row["name"] == "JPEG" and row["change"] != "–":
            change = row["change"].removesuffix(" %")
            cards.append({"label": "Against JPEG", "value": change, "unit": "%", "about": "rate at equal PSNR"})
    return cards, about


def _plot(data: Mapping[str, Any]) -> str:
    measured = data["measured"]
    learned = {f"{data['recipe']}, this run": [measured["mean"]]}
    if data.get("earlier"):
        learned["earlier pushes"] = data["earlier"]
    fig, (ax,) = plots.axes((6.4, 4.3))
    plots.rate_distortion(ax, measured["classic"], learned)
    return plots.to_svg(fig, "rate-distortion")


def _confusion(classified: Mapping[str, Any] | None, limit: int = 20) -> dict[str, Any] | None:
    """The confusion matrix as rows of (count, shade 0 to 1); past `limit` classes only the worst pairs."""
    if not classified:
        return None
    names, counts = classified["names"], classified["confusion"]
    pairs = [(n, names[i], names[j]) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j]
    pairs = sorted(pairs, reverse=True)[:limit]
    rows = [
        {"name": name, "cells": [(n, round(n / max(1, sum(row)), 2)) for n in row]}
        for name, row in zip(names, counts, strict=True)
    ]
    return {"names": names, "rows": rows if len(names) <= limit else [], "pairs": pairs}


def _int8(measured: Mapping[str, float] | None) -> str:
    """A sentence on the int8 file; empty without one."""
    if not measured:
        return ""
    return (
        f"The int8 TFLite file ({measured['size_bytes'] / 1e3:.0f} kB) is right on {measured['accuracy']:.2%} of the "
        f"test split, the SavedModel on {measured['float_accuracy']:.2%}; they agree on {measured['agreement']:.2%}."
    )


def _comparison(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The table of a run that compares models: a figure a row, a role a column."""
    if not rows:
        return None

    def text(mean, spread):
        if mean is not None and mean >= 1000:  # counts
            return f"{mean:,.0f}" + (f" ± {spread:,.0f}" if spread is not None else "")
        return number(mean) + (f" ± {number(spread, 3)}" if spread is not None else "")

    names = [n for n in rows[0] if n not in ("role", "models")]
    heads = [f"{r['role']} ({_count(r['models'], 'model')})" for r in rows]
    return {"heads": heads, "rows": [(n.replace("_", " "), [text(*r[n]) for r in rows]) for n in names]}


def _rates(measured: Mapping[str, Any]) -> dict[str, Any]:
    """What each classic codec needs for the model's PSNR, and how much more or less the model needs."""
    mean = measured["mean"]
    rows = []
    for name, curve in measured["classic"].items():
        rate = rate_distortion.rate_at([(p["bpp"], p["psnr_db"]) for p in curve], mean["psnr_db"])
        change = 100 * (mean["bpp"] / rate - 1) if rate else None
        rows.append({
            "name": name, "about": measured.get("about", {}).get(name, ""),
            "bpp": f"{rate:.3f}" if rate else "outside its curve",
            "change": "–" if change is None else f"{change:+.0f} %".replace("-", "−"),
            "kind": "" if change is None or abs(change) < 0.5 else "good" if change < 0 else "bad",
        })  # fmt: skip
    rows.append({"name": "this model", "about": "", "bpp": f"{mean['bpp']:.3f}", "change": "", "kind": ""})
    return {"quality": f"{mean['psnr_db']:.2f}", "rows": rows}


def _picture(picture: Mapping[str, Any]) -> dict[str, Any]:
    def told(point: Mapping[str, float]) -> str:
        return f"{point['bpp']:.3f} bpp · {point['psnr_db']:.2f} dB · MS-SSIM {point['ms_ssim']:.4f}"

    columns = [{"title": "original", "src": picture["crops"]["original"], "text": "24 bpp before any coding"}]
    for title, key in (("this model", "model"), ("JPEG", "jpeg")):
        columns.append({"title": title, "src": picture["crops"][key], "text": told(picture[key])})
    rank = {"best": "Best PSNR", "median": "Median", "worst": "Worst PSNR"}.get(picture["rank"], picture["rank"])
    return {**picture, "rank": rank, "columns": columns}


def _slices(data: Mapping[str, Any]) -> dict[str, Any]:
    rows = data.get("slices") or []
    known = [m["name"] for m in data.get("metrics") or ()]
    found = {name for row in rows for name in row["values"]}
    names = [n for n in known if n in found] + sorted(found - set(known))
    names = [n for n in names if not n.startswith(_IN_CLASS_TABLE)]
    units = {m["name"]: m["unit"] for m in data.get("metrics") or ()}
    titles = [", ".join(t for t in (_LABELS.get(n, n), units.get(n)) if t) for n in names]
    cells = [
        {
            "slice": r["slice"],
            "examples": number(int(r["examples"])) if r.get("examples") is not None else "–",
            "values": [number(r["values"].get(n)) for n in names],
        }
        for r in rows
    ]
    return {"metrics": titles, "rows": cells}


def _steps_about(steps: Sequence[Mapping[str, Any]]) -> str:
    told = [s["seconds"] for s in steps if s.get("seconds") is not None]
    cached = sum(s.get("state") == "cached" for s in steps)
    from_cache = f"; {cached} of {len(steps)} came from the cache" if cached else ""
    return f"All steps together: {dag.seconds_text(sum(told))}{from_cache}. The bars compare their times."


def _data(ingest: Mapping[str, Any] | None) -> dict[str, Any]:
    """Counts of the examples by split, what else is known in a line each, and the lists of files that need a look."""
    if not ingest:
        return {}
    found = ingest.get("splits") or {}
    noun, size, unit, scale = ("pictures", "pixels", "megapixels", 1e6)
    if any("recordings" in counts for counts in found.values()):
        noun, size, unit, scale = ("recordings", "seconds", "hours", 3600)
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
        "unlabelled": "recording without a label",
        "unknown_records": "labelled recording that is not there",
        "untested": f"class without a test {noun[:-1]}",
        "lent": f"{noun[:-1]} lent to an empty split",
    }
    lists = [
        {"title": f"{title} ({len(rows)})", "rows": list(map(_cells, rows)), "open": len(rows) <= 12}
        for key, title in titles.items()
        if (rows := ingest.get(key) or [])
    ]
    clean = [_count(0, titles[key]) for key in ("unreadable", "duplicates") if ingest.get(key) == []]
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
