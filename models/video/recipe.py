"""What the recipes of codecs of clips have in common."""

from typing import Any

from models.video import options, video
from models.video.inputs import inputs
from models.video.server import signatures

# Attributes of a recipe; name, summary, kind of data and presets stand where the recipe is made.
SHARED: dict[str, Any] = {
    "shape": "video",
    "config": options.VideoConfig,
    "build": video.build,
    "inputs": inputs,
    "signatures": signatures,
    "evaluation": options.EVALUATION,
    "adapt": options.adapt,
    "phases": options.phases,
    "report": ("video",),
    "batching": False,
}
