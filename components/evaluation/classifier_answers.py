"""What a served classifier says of the pictures of records."""

import os
from collections.abc import Sequence

import numpy as np

from models.contract.errors import KompaktError

_BATCH = 64


class ClassifierError(KompaktError, ValueError):
    """A model that is no classifier, or pictures without classes; the message is one line."""


def probabilities(model_dir: str | os.PathLike, files: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """What `predict` of a SavedModel says of every picture of record files.

    Returns:
      Probabilities float32 [N, K], and labels int64 [N] (-1: none).

    Raises:
      ClassifierError: the model has no signature `predict`, or there is no picture.
    """
    import tensorflow as tf

    from models.records import pictures as picture_records

    model = tf.saved_model.load(os.fspath(model_dir))
    if "predict" not in model.signatures:
        raise ClassifierError(f"{model_dir}: not a classifier: no signature 'predict'")
    found, labels = [], []
    for records in picture_records.records(files).batch(_BATCH):
        features = picture_records.parse(records)
        found.append(
            model.signatures["predict"](image_bytes=features[picture_records.ENCODED])["probabilities"].numpy()
        )
        labels.append(features[picture_records.LABEL].numpy())
    if not found:
        raise ClassifierError("the test split holds no picture")
    return np.concatenate(found), np.concatenate(labels)
