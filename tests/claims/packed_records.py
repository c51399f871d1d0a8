"""Arrays of pictures as the records that a training reads."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from models.records import pictures as picture_records


def write(path: pathlib.Path, split: str, x: np.ndarray, y: np.ndarray) -> str:
    """Writes pictures uint8 [N, H, W, 3] with labels [N] to a file of records, unless it is there; returns the path.

    Ids are SPLIT/N, by which labels that are made wrong on purpose are drawn.
    """
    if not path.exists():
        part = path.with_suffix(".part")
        with tf.io.TFRecordWriter(str(part), "GZIP") as writer:
            for n, (pixels, label) in enumerate(zip(x, y, strict=True)):
                encoded = tf.io.encode_png(pixels).numpy()
                record = picture_records.image_example(
                    encoded, key=f"{split}/{n}", format_name="png", height=x.shape[1], width=x.shape[2], channels=3,
                    size_bytes=len(encoded), label=int(label), label_name=str(label),
                )  # fmt: skip
                writer.write(record.SerializeToString())
        os.replace(part, path)
    return str(path)
