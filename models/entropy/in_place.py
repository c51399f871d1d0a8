"""Writing into a part of a large tensor without a copy of the rest."""

from collections.abc import Sequence

import tensorflow as tf


def overwrite(whole: tf.Tensor, begin: Sequence[tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    """`whole` with `values` from `begin` on along its first axes.

    The buffer is written in place where nothing else holds `whole` any more: in a loop, a variable that the body reads
    for `values` alone. `tf.tensor_scatter_nd_update` copies all of it at every call on a processor.

    Args:
      whole: [N_1, N_2, ...] of any type. begin: int32 scalars, for as many axes.
      values: [n_1, n_2, ...], as deep and of the same sides along all axes that `begin` does not give.
    """
    axes = len(begin)
    end = tf.stack(begin) + tf.shape(values)[:axes]
    return tf.raw_ops.TensorStridedSliceUpdate(
        input=whole, begin=tf.stack(begin), end=end, strides=[1] * axes, value=values
    )
