"""What the record of a scene holds beside that of a picture: a label map, and the names of the classes in it."""

import json
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.records import pictures as picture_records

LABEL_MAP = "scene/label_map"  # PNG of 8-bit grey: the class of each pixel, or VOID
CLASS_NAMES = "scene/class_names"  # JSON list
SEEN, VOID_PIXELS = "scene/classes", "scene/void_pixels"  # how many classes are in the map, how many pixels have none
VOID = 255  # a pixel that has no class: nothing is learned of it, and it counts for nothing
MOST_CLASSES = VOID


def scene_example(picture: tf.train.Example, label_map: np.ndarray, class_names: Sequence[str]) -> tf.train.Example:
    """The record of a scene.

    Args:
      picture: its record as a picture, which is added to and returned.
      label_map: uint8 [H, W], of the picture's size: places in `class_names`, or VOID.
    """
    feature = picture.features.feature
    feature[LABEL_MAP].bytes_list.value.append(tf.io.encode_png(label_map[..., None]).numpy())
    feature[CLASS_NAMES].bytes_list.value.append(json.dumps(list(class_names)).encode())
    known = label_map[label_map != VOID]
    feature[SEEN].int64_list.value.append(len(np.unique(known)))
    feature[VOID_PIXELS].int64_list.value.append(label_map.size - known.size)
    return picture


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Serialised records, string [B] or a scalar -> those of pictures, and LABEL_MAP and CLASS_NAMES, strings."""
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in (LABEL_MAP, CLASS_NAMES)}
    one = serialized.shape.rank == 0
    found = (tf.io.parse_single_example if one else tf.io.parse_example)(serialized, spec)
    return picture_records.parse(serialized) | found


def decode_map(encoded: tf.Tensor) -> tf.Tensor:
    """A label map, string scalar, as uint8 [H, W]."""
    return tf.io.decode_png(encoded, 1)[..., 0]
