"""The smallest trained model of electrocardiograms on the tiny recordings of `ecg_records`, exported."""

import pathlib

from components.evaluation import ecg_results
from components.kinds.recordings import transform
from models.contract import registry
from models.publishing import export
from tests.components import ecg_records

SETTINGS = {"channels": 2, "growth": 0, "blocks": 1, "layers": 1, "batch_size": 4, "steps": 2, "steps_per_epoch": 2,
            "crop_seconds": 2.0}  # fmt: skip


def ingested(folder: pathlib.Path, count: int = 3) -> dict[str, list[str]]:
    """Ingest records, `count` of each class in each split; two without a label in the test split."""
    found = {}
    for n, split in enumerate(("train", "validation", "test")):
        records = [
            ecg_records.record(name, 100 * n + k, 600 + 30 * k, key=f"{split}/{name}{k}")
            for k in range(count)
            for name in ecg_records.NAMES
        ]
        records += [ecg_records.record("", 100 * n + k, 600, key=f"{split}/{k}") for k in range(2 * (split == "test"))]
        found[split] = [ecg_records.write(folder / f"Split-{split}" / "data.gz", records)]
    return found


def save(folder: pathlib.Path, files: dict[str, list[str]], recipe_name: str = "ecg_cnn"):
    """Transforms, trains and exports to `folder / "model"`; returns recipe, configuration, model, transformed files."""
    transformed = transform.transform(files, folder / "transformed")
    recipe = registry.get(recipe_name)
    config = recipe.make_config("small", SETTINGS)
    model, config, _ = ecg_results.trained(recipe, config, transformed, folder / "training", progress=False)
    export.export(recipe, config, model, str(folder / "model"))
    return recipe, config, model, transformed
