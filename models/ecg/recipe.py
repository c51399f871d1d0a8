"""What the recipes of electrocardiograms have in common."""

import functools
from typing import Any

from models.ecg import ecg
from models.ecg.inputs import adapt, inputs
from models.ecg.serving import signatures


def shared(model_class: type[ecg.Ecg]) -> dict[str, Any]:
    """Attributes of the recipe of a model; name, summary, kind of data and presets stand where the recipe is made."""
    return {
        "shape": "transformed",
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
