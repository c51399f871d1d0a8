"""A pushed classifier as its users meet it: the signature `predict` of a SavedModel."""

import json
import os
from collections.abc import Sequence

import numpy as np

from components.served_codec import describe, newest_version, one_line


class ServedClassifierError(ValueError):
    """No usable classifier at a path; the message is one line."""


class ServedClassifier:
    """Calls `predict` of a SavedModel.

    Raises:
      ServedClassifierError: the folder holds no classifier.
    """

    def __init__(self, path: str | os.PathLike):
        import tensorflow as tf

        try:
            self.directory = newest_version(path)
            self._model = tf.saved_model.load(os.fspath(self.directory))
        except Exception as error:
            raise ServedClassifierError(one_line(error)) from error
        if "predict" not in self._model.signatures:
            has = ", ".join(sorted(self._model.signatures)) or "none"
            raise ServedClassifierError(f"{self.directory}: not a classifier: no signature 'predict' (it has {has})")
        self.names = json.loads(describe(self.directory).get("config", {}).get("class_names") or "[]")

    def probabilities(self, encoded: Sequence[bytes]) -> np.ndarray:
        """What each picture (PNG, JPEG or BMP bytes) shows, float32 [N, K]."""
        import tensorflow as tf

        return self._model.signatures["predict"](image_bytes=tf.constant(list(encoded)))["probabilities"].numpy()

    def best(self, encoded: Sequence[bytes], count: int = 1) -> list[list[tuple[str, float]]]:
        """The likeliest classes of each picture: (name, probability), likeliest first."""
        if not encoded:
            return []
        p = self.probabilities(encoded)
        orders = np.argsort(-p, axis=1)[:, :count]
        names = self.names or [str(k) for k in range(p.shape[1])]
        return [[(names[k], float(row[k])) for k in order] for row, order in zip(p, orders, strict=True)]
