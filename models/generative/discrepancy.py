"""Maximum mean discrepancy: how far a set of latents lies from draws of a prior, by the mean of a kernel."""

from keras import ops

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def inverse_multiquadric(x, y):
    """Sum over `SCALES` s of s C / (s C + ||x - y||^2), C = 2 n, for all pairs: [B, n], [D, n] -> [B, D] float32.

    C is what the squared distance of two draws from a standard normal is on average (arXiv:1711.01558).
    """
    x, y = ops.cast(x, "float32"), ops.cast(y, "float32")
    squares = ops.sum(ops.square(x), axis=1)[:, None] + ops.sum(ops.square(y), axis=1)
    distances = ops.maximum(squares - 2.0 * ops.matmul(x, ops.transpose(y)), 0.0)
    base = 2.0 * x.shape[1]
    return sum(scale * base / (scale * base + distances) for scale in SCALES)


def mmd(x, y):
    """Squared discrepancy of two samples, [B, n] and [D, n]: scalar float32, an estimate without bias.

    A point is not compared with itself, so that the estimate can lie below zero; of one point there is no such mean.
    """
    return _within(x) + _within(y) - 2.0 * ops.mean(inverse_multiquadric(x, y))


def _within(x):
    """Mean of the kernel over pairs of different points of [B, n], scalar."""
    count = ops.cast(ops.shape(x)[0], "float32")
    kernel = inverse_multiquadric(x, x)
    return (ops.sum(kernel) - ops.sum(ops.diagonal(kernel))) / ops.maximum(count * (count - 1.0), 1.0)
