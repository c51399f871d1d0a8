"""Input of the search for algorithms: records of pairs of matrices -> blocks of one size and their products."""

from collections.abc import Sequence

import tensorflow as tf

from models.records import matrices as matrix_records
from models.records import pictures as picture_records


def inputs(files: Sequence[str], config, training: bool) -> tf.data.Dataset:
    """Batches ({"a": [B, m, k], "b": [B, k, n]}, their products [B, m, n]), float32: the first blocks of the pairs.

    Training: endless and shuffled. Validation: each pair once.

    Raises:
      FileNotFoundError: no files, or one is missing.
      tf.errors.InvalidArgumentError: while it is read: matrices that are smaller than the blocks.
    """
    m, k, n = (getattr(config, name) for name in ("rows", "inner", "columns"))

    def blocks(record):
        left, right = matrix_records.parse(record)
        a, b = tf.ensure_shape(left[:m, :k], [m, k]), tf.ensure_shape(right[:k, :n], [k, n])
        return {"a": a, "b": b}, tf.matmul(a, b)

    pairs = picture_records.records(files).map(blocks, deterministic=True)
    if not training:
        return pairs.batch(config.batch_size)
    pairs = picture_records.shuffled(pairs.cache(), 10_000, config.seed).repeat()
    return pairs.batch(config.batch_size, drop_remainder=True).prefetch(8)
