"""Reads the numbers of earlier runs, from when a report was of a kind of system, as if it had named its sections."""

from collections.abc import Mapping
from typing import Any

_TITLES = {
    "bpp": "real rate", "estimated_bpp": "estimated rate", "psnr_db": "PSNR", "ms_ssim": "MS-SSIM",
    "rd_cost": "RD cost", "challenge_f1": "challenge F1", "f1_normal": "F1 normal",
    "f1_fibrillation": "F1 fibrillation", "f1_other": "F1 other", "f1_noise": "F1 noise",
}  # fmt: skip
_DETAILS = ("precision_", "recall_")


def brought_up(data: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a report of any age, with "sections", "noun" and the titles of metrics."""
    if "sections" in data:
        return {"noun": "examples"} | dict(data)
    known = data.get("metrics") or []
    names = [m["name"] for m in known] + sorted({n for row in data.get("slices") or () for n in row["values"]})
    units = {m["name"]: m.get("unit", "") for m in known}
    metrics = [
        {"name": name, "unit": units.get(name, ""), "title": _TITLES.get(name, ""), "detail": name.startswith(_DETAILS)}
        for name in dict.fromkeys(names)
    ]
    return {"noun": "pictures"} | dict(data) | {"sections": _sections(data), "metrics": metrics}


def _sections(data: Mapping[str, Any]) -> dict[str, Any]:
    kind = data.get("kind", "codec")
    if kind == "codec":
        measured = data.get("measured")
        return {"rate_distortion": measured | {"earlier": data.get("earlier") or []} if measured else None}
    if kind == "transformed":
        return {"mistakes": data.get("classified")}
    confusions = {name: data.get(name) for name in ("classified", "int8")}
    return {"comparison": data.get("comparison"), "confusions": confusions}
