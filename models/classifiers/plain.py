"""What all recipes of a network for pictures have in common; each adds its name, options, presets and network."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from models.classifiers import classifier, int8, products, ternary_file
from models.classifiers.inputs import adapt, inputs
from models.classifiers.serving import signatures


def beside(model, config, files: Sequence[str], directory: str | os.PathLike) -> None:
    """What lies beside the exported graph, as options ask: the int8 file and that of ternary matrices."""
    int8.write(model, config, files, directory)
    ternary_file.write(model, config, directory)


# Arguments of `Recipe`.
PARTS: Mapping[str, Any] = {
    "shape": "classifier",
    "phases": products.phases,
    "inputs": inputs,
    "signatures": signatures,
    "evaluation": classifier.EVALUATION,
    "report": ("confusions", "operations"),
    "adapt": adapt,
    "beside": beside,
    "labelled": True,
}
