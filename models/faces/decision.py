"""The threshold that `verify` decides by: chosen after every epoch on all pairs of the validation's persons."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from models.faces import verification
from models.faces.inputs import inputs


class ChooseThreshold(keras.callbacks.Callback):
    """Sets the model's `decision` after every epoch, and of what a training gives back at its end.

    The weights of an epoch are kept with the threshold that belongs to them. Validation persons are none of the
    training's, and none of the test's.
    """

    def __init__(self, config, files):
        super().__init__()
        self.config, self.files = config, files

    def on_epoch_end(self, epoch, logs=None):
        self._choose()

    def on_train_end(self, logs=None):
        self._choose()

    def _choose(self):
        embeddings, persons = embedded(self.model, self.files.validation, self.config)
        self.model.decision.assign(decide(embeddings, persons, self.config.false_accept_rate))


def callbacks(model, config, files) -> list[keras.callbacks.Callback]:
    """`callbacks` of the recipe."""
    del model
    return [ChooseThreshold(config, files)]


def embedded(model, files, config) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float32 [N, D] of the pictures of record files, and their persons int [N]."""
    vectors, persons = vectors_of(model, files, config)
    return unit(vectors), persons


def vectors_of(model, files, config) -> tuple[np.ndarray, np.ndarray]:
    """As `embedded`, the vectors before they are divided by their length."""
    found = [(ops.convert_to_numpy(model.network(x, training=False)), np.asarray(y))
             for x, y in inputs(files, config, False)]  # fmt: skip
    vectors, persons = (np.concatenate(column) for column in zip(*found, strict=True))
    return vectors.astype(np.float32), persons


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, D] over their lengths."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def decide(
    embeddings: np.ndarray, persons: np.ndarray, false_accept_rate: float, align: Callable | None = None
) -> np.ndarray:
    """(threshold, share of impostor pairs that it accepts, how many of these there are), float32 [3].

    Without impostor pairs nothing is accepted: the threshold is then 2.

    Args:
      embeddings: unit vectors [N, D]. persons: int [N]. false_accept_rate: the most that the share may be.
      align: as of `verification.all_pairs`.
    """
    pairs = verification.all_pairs(embeddings, persons, align=align)
    impostors = int((~pairs.same).sum())
    if not impostors:
        return np.array([2.0, 0.0, 0.0], "float32")
    chosen = verification.threshold_at(verification.curve(pairs.scores, pairs.same), false_accept_rate)
    return np.array([*chosen, impostors], "float32")
