"""What the report reads of the other steps' artifacts. Missing parts become sentences in the page."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from models.contract import registry
from models.contract.recipe import Config, Recipe


def find_json(root: str, name: str) -> Any:
    """The content of the first file `name` at or below a folder, or None if there is none that can be read."""
    for path in sorted(pathlib.Path(root).rglob(name)):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return None


def options(recipe: Recipe, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each option: "name", "value", "about", "training" (every recipe has it), "default" where the value differs."""
    fields: dict[str, dataclasses.Field] = {f.name: f for f in dataclasses.fields(recipe.config)}
    base = {f.name for f in dataclasses.fields(Config)}
    rows = []
    for name, value in values.items():
        field = fields.get(name)
        about = field.metadata.get("about", "") if field else ""
        row = {"name": name, "value": value, "about": about, "training": name in base}
        if field and field.default != value:
            row["default"] = field.default
        rows.append(row)
    return sorted(rows, key=lambda row: row["training"])


def metrics(recipe: Recipe) -> list[dict[str, str]]:
    """Name, unit, better direction, title and whether it is a detail, of each metric that a recipe reports."""
    kept = ("name", "unit", "better", "title", "detail")
    return [{name: getattr(m, name) for name in kept} for m in recipe.evaluation.metrics]


def slices(evaluation_uri: str) -> list[dict[str, Any]]:
    """TFMA's results: for the whole set (first) and each slice its name, the number of examples and the metrics."""
    import tensorflow_model_analysis as tfma

    rows = []
    for key, outputs in tfma.load_eval_result(evaluation_uri).slicing_metrics:
        # What is no number comes as the text "NaN".
        numbers = {name: value["doubleValue"] for name, value in outputs[""][""].items() if "doubleValue" in value}
        values = {name: float(value) for name, value in numbers.items()}
        count = values.pop("example_count", None)
        values.pop("example_count_diff", None)  # both models see the same examples
        name = ", ".join(f"{feature.split('/')[-1]}: {value}" for feature, value in key)
        rows.append({"slice": name or "all", "examples": count, "values": values})
    return sorted(rows, key=lambda row: (row["slice"] != "all", row["slice"]))


def anomalies(uri: str) -> list[dict[str, str]]:
    """What ExampleValidator found: split, feature and what is wrong with it."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    rows = []
    for split in sorted(pathlib.Path(uri).glob("Split-*")):
        for file in split.glob("*.pb"):
            for feature, info in anomalies_pb2.Anomalies.FromString(file.read_bytes()).anomaly_info.items():
                where = split.name.removeprefix("Split-")
                rows.append({"split": where, "feature": feature, "about": info.description or info.short_description})
    return rows


def recipe_or_none(name: str) -> Recipe | None:
    """The recipe of that name, if it is still there: a page can be rebuilt after a recipe was removed."""
    try:
        return registry.get(name)
    except registry.RegistryError:
        return None
