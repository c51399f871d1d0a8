"""What an alignment needs to know of persons who were not trained on: mean discrepancies, strength, thresholds."""

import keras
import numpy as np
from keras import ops

from models.faces import decision, verification

STRENGTHS = (0.0, 0.25, 0.5, 1.0)
STRONG = ("subtract", "one_sided")  # the modes that have a strength
BATCH = 512


class Calibrate(keras.callbacks.Callback):
    """Sets `form` and both decisions of a `models.faces.ida.Aligned` after every epoch, and of what is given back.

    The validation's persons are none of the training's, and none of the test's. The network is frozen, so that its
    vectors of them are made once.

    Args:
      config: of the training. pictures: that of `models.faces.inputs.inputs` for the network. files: record files.
    """

    def __init__(self, config, pictures, files):
        super().__init__()
        self.config, self.pictures, self.files, self.vectors = config, pictures, files, None

    def on_epoch_end(self, epoch, logs=None):
        self._calibrate()

    def on_train_end(self, logs=None):
        self._calibrate()

    def _calibrate(self):
        if self.vectors is None:
            self.vectors, self.persons = decision.vectors_of(self.model, self.files, self.pictures)
        calibrate(self.model, self.config, self.vectors, self.persons)


def calibrate(model, config, vectors: np.ndarray, persons: np.ndarray) -> None:
    """Chooses mean discrepancies, strength and thresholds.

    Args:
      model: an `Aligned`, whose `form` and decisions are set. vectors: of its network, [N, D]. persons: int [N].
    """
    support, unit = said(model, vectors), decision.unit(vectors)
    averages = support[:, [0, 2]].mean(axis=0)
    model.form.assign([*averages, 0.0])
    strength = config.strength
    if strength < 0:
        strength = _strongest(model, config, support, unit, persons) if config.mode in STRONG else 1.0
    model.form.assign([*averages, strength])
    align = model.alignment_of(support, config.estimator)
    model.decision.assign(decision.decide(unit, persons, config.false_accept_rate))
    model.aligned_decision.assign(decision.decide(unit, persons, config.false_accept_rate, align))


def said(model, vectors: np.ndarray) -> np.ndarray:
    """What a model says of the support sets of its network's vectors [N, D]: float32 [N, 4]."""
    parts = [model.of_vectors(vectors[n : n + BATCH])["support"] for n in range(0, len(vectors), BATCH)]
    return np.concatenate([ops.convert_to_numpy(part) for part in parts])


def _strongest(model, config, support, unit, persons) -> float:
    """The strength of STRENGTHS with the highest TAR at the asked FAR; of equally good ones the least."""
    found = []
    for strength in STRENGTHS:
        pairs = verification.all_pairs(unit, persons, align=model.alignment_of(support, config.estimator, strength))
        curve = verification.curve(pairs.scores, pairs.same)
        tar = verification.tar_at(curve, config.false_accept_rate)
        found.append(-1.0 if np.isnan(tar) else tar)
    return STRENGTHS[int(np.argmax(found))]
