"""What the recipes of electrocardiograms have in common."""

import functools
from typing import Any

from models.contract.recipe import Recipe
from models.ecg import ecg
from models.ecg.inputs import adapt, inputs
from models.ecg.serving import signatures


def recipe_of(model_class: type[ecg.Ecg], **own: Any) -> Recipe:
    """The recipe of a model; `own` are its name, summary and presets, and what else is not as in the others."""
    shared = {
        "shape": "transformed",
        "data": "recordings",
        "config": model_class.config_class,
        "build": functools.partial(ecg.build, model_class),
        "inputs": inputs,
        "adapt": adapt,
        "labelled": True,
        "signatures": signatures,
        "evaluation": ecg.EVALUATION,
        "report": ("mistakes",),
        "judge": ecg.JUDGE,
    }
    return Recipe(**shared | own)
