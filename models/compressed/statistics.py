"""Batch normalisation's running statistics, estimated anew for weights that have changed."""

from collections.abc import Iterable

import keras
import numpy as np


def estimate(network: keras.Model, batches: Iterable) -> None:
    """Gives every batch normalisation of a network the mean statistics of batches (pixels, labels).

    Quantised kernels give other means and variances than the ones that were trained, and a running mean forgets all but
    the last tens of batches.
    """
    layers = [layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    sums, count = None, 0
    try:
        for layer in layers:
            layer.momentum = 0.0
        for pixels, *_ in batches:
            network(pixels, training=True)
            found = [np.array(v, np.float64) for layer in layers for v in (layer.moving_mean, layer.moving_variance)]
            sums = found if sums is None else [a + b for a, b in zip(sums, found, strict=True)]
            count += 1
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    for place, layer in enumerate(layers):
        layer.moving_mean.assign(sums[2 * place] / count)
        layer.moving_variance.assign(sums[2 * place + 1] / count)
