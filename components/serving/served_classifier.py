"""Pushed models that say what pictures, or streams of them, show: classes, or a class map."""

from collections.abc import Sequence

import numpy as np

from components.serving.served_model import Asked, ServedModel


class ServedClassifier(ServedModel):
    """Calls `predict` with encoded pictures (PNG, JPEG or BMP bytes)."""

    wanted = frozenset({"image_bytes"})
    what = "classifier of pictures"

    def probabilities(self, batch: Sequence[bytes]) -> np.ndarray:
        """What each picture shows, float32 [N, K]."""
        return self.call(image_bytes=list(batch))


class ServedStreams(ServedModel):
    """Calls `predict_streams` with streams of the codec whose codes the model reads."""

    signature = "predict_streams"
    wanted = frozenset({"bitstream_bytes"})
    what = "classifier of streams"

    def probabilities(self, batch: Sequence[bytes]) -> np.ndarray:
        """What each stream's picture shows, float32 [N, K]."""
        return self.call(bitstream_bytes=list(batch))


class ServedSegmenter(Asked):
    """Calls `segment` with encoded pictures and `segment_streams` with streams."""

    wanted = frozenset({"segment", "segment_streams", "class_names"})
    what = "segmenter of scenes"
