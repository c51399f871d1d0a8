"""What the record of a face holds beside that of a picture: its number in the set, and the pairs it is the first of.

The person is the picture's label. Persons of the training are numbered from 0, those of the other splits behind them.
"""

from collections.abc import Sequence

import tensorflow as tf

NUMBER = "face/number"
PARTNERS, SAME, FOLDS = "face/partners", "face/same", "face/folds"
_COLUMNS = (PARTNERS, SAME, FOLDS)


def face_example(
    picture: tf.train.Example, number: int, pairs: Sequence[tuple[int, int, int]] = ()
) -> tf.train.Example:
    """The record of a face.

    Args:
      picture: its record as a picture, which is added to and returned.
      number: of the picture in its set.
      pairs: (number of the second picture, 1 if one person, else 0, fold) of each pair that it is the first of.
    """
    feature = picture.features.feature
    feature[NUMBER].int64_list.value.append(number)
    for name, column in zip(_COLUMNS, zip(*pairs, strict=True), strict=True) if pairs else ():
        feature[name].int64_list.value.extend(column)
    return picture


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Serialised records, string [B] -> "number": int64 [B, 1], -1 where a picture's record says none; "pairs": int64
    [B, P, 3], P at least 1: the columns of `face_example`'s pairs; rows of -1 fill up."""
    ragged = {name: tf.io.RaggedFeature(tf.int64) for name in _COLUMNS}
    found = tf.io.parse_example(serialized, {NUMBER: tf.io.FixedLenFeature([], tf.int64, -1)} | ragged)
    columns = [found[name].to_tensor(-1) for name in _COLUMNS]
    pairs = tf.pad(tf.stack(columns, axis=2), [[0, 0], [0, 1], [0, 0]], constant_values=-1)
    return {"number": found[NUMBER][:, None], "pairs": pairs}
