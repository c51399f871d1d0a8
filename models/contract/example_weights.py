"""Weights of examples, the third of what a batch may hold."""

from keras import ops


def weighed(values, sample_weight):
    """Losses of examples [B] times their weights [B], as they are without; the mean is over B all the same."""
    return values if sample_weight is None else values * ops.cast(sample_weight, values.dtype)
