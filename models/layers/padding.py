"""Continuing arrays beyond their edge, to sides that strides divide."""

from keras import ops


def pad_to_multiple(x, multiple: int):
    """Repeats the last row and column until `multiple` divides height and width.

    A convolution with stride 2 and padding "same" pads an odd length alike on both sides, an even one more
    behind: on an odd length every output lies one position off those that were trained.

    Args:
      x: [..., H, W, C], any dtype; sides that are known and need nothing are left alone.

    Returns:
      [..., H', W', C], of x's dtype.
    """
    for axis in (-3, -2):
        length = ops.shape(x)[axis]
        if isinstance(length, int) and length % multiple == 0:
            continue
        padded = (length + multiple - 1) // multiple * multiple
        x = ops.take(x, ops.minimum(ops.arange(padded, dtype="int32"), length - 1), axis=axis)
    return x
