"""A pushed classifier of pictures as its users meet it: the signature `predict` of a SavedModel."""

from collections.abc import Sequence

import numpy as np

from components.serving.served_model import ServedModel


class ServedClassifier(ServedModel):
    """Calls `predict` with encoded pictures (PNG, JPEG or BMP bytes)."""

    wanted = frozenset({"image_bytes"})
    what = "classifier of pictures"

    def probabilities(self, batch: Sequence[bytes]) -> np.ndarray:
        """What each picture shows, float32 [N, K]."""
        return self.call(image_bytes=list(batch))
