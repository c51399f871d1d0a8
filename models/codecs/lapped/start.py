"""First weights of a lapped codec: cosine transforms, and hyper-transforms that tell scales from magnitudes.

A model has `config`, `analysis`, `synthesis`, `hyper_analysis`, `hyper_synthesis`, `grouped` and, where that is not 0,
`place_levels`.
"""

import numpy as np
from keras import layers

from models.codecs.lapped.basis import COLOURS, cosine_basis, grouped_basis
from models.entropy.densities import gaussian
from models.layers.conv import SubPixelConv2D

# Of the transforms' kernels over the orthonormal one: Adam's steps are alike for all weights, and small beside these.
SCALE = 64.0
FINE = 10.0  # latents times this before the logarithm, which then tells scales of a tenth of a step
HYPER_GAIN = 2.0  # hyper-latents a unit of the natural logarithm
_OFFSET = 0.6  # of log(scale / least scale) over the mean of log1p(FINE |y|), of Gaussian latents
_UP = 24.0  # in units of the codec's gain, more than a block's mean is
_REST = 0.1  # scale left to the random start of channels that are given none


def start(model) -> None:
    """Gives the transforms the cosine basis, and the hyper-transforms the way from magnitudes to scales and back."""
    basis, variance, colours = cosine_basis()
    count = min(model.config.latents, basis.shape[-1])
    centre = basis[..., :count].reshape(-1, count)
    unfold = next(layer for layer in model.synthesis.layers if isinstance(layer, SubPixelConv2D)).conv
    for kernel, values in ((model.analysis.layers[1].kernel, centre), (unfold.kernel, centre.T)):
        kernel.assign(SCALE * _taps(kernel, values, slice(1, 2)))
    if model.grouped:
        again, found = grouped_basis(model.grouped)
        for network, values in ((model.analysis, again), (model.synthesis, again.T)):
            next(layer for layer in network.layers if layer.name == "second").kernel.assign(SCALE * values)
        means = np.log(found).mean(axis=0)
        variance[: model.grouped] = np.exp(means)
        model.place_levels.assign((np.log(found) - means).reshape(model.place_levels.shape) / (2 * gaussian.STEP))
    # Steps double from the last rate point to the one two below. Scales of the one in the middle, over the least:
    middle = model.config.step * 2.0 ** ((model.config.rates - 1) / 4)
    _start_hyper(model, np.sqrt(variance[:count]) / (middle * gaussian.MIN_SCALE), colours[:count])


def _start_hyper(model, scales: np.ndarray, colours: np.ndarray) -> None:
    """Hyper-latents are means of magnitudes, or of the blocks' means, of 4x4 positions, from which all of these have
    their levels and their means.

    Args:
      scales, colours: [n], of the first latents, the scales that are expected, over the coder's least one.
    """
    means = 0 if model.grouped else COLOURS
    channels, latents = model.config.channels, model.config.latents
    groups = _groups(colours, channels)[: channels - means]
    # The means of the blocks' colours go beside, moved so far up that the rectifiers leave them.
    scale, count = len(groups), len(groups) + means
    shares, told = np.zeros((latents + means * latents // COLOURS, count)), np.zeros((count, latents + means))
    expected, bias = np.full(count, _UP), np.zeros(latents + means)
    for n, group in enumerate(groups):
        shares[group, n] = 1 / len(group)
        expected[n] = max(np.log(scales[group]).mean() - _OFFSET, 0.0)
        told[n, group], bias[group] = 1 / gaussian.STEP, _OFFSET / gaussian.STEP - model.START_LEVEL
    for n in range(means):
        shares[latents + n, scale + n], told[scale + n, latents + n], bias[latents + n] = 1.0, 1.0, -_UP
    each, raised = np.eye(count), np.where(np.arange(count) < scale, 0.0, _UP)
    first, second, third = _convolutions(model.hyper_analysis)
    _lay(first, shares, slice(1, 2), raised)
    _lay(second, each / 4, slice(1, 3))
    _lay(third, HYPER_GAIN * each / 4, slice(1, 3), -HYPER_GAIN * expected)
    first, second, third = _convolutions(model.hyper_synthesis)
    _lay(first, each / HYPER_GAIN, slice(1, 3), expected)
    _lay(second, each, slice(1, 3))
    _lay(third, told, slice(1, 2), bias)


def _convolutions(network) -> list:
    """The three convolutions of a hyper-transform."""
    return [layer for layer in network.layers if hasattr(layer, "kernel")]


def _groups(colours: np.ndarray, channels: int) -> list[np.ndarray]:
    """Which latents' magnitudes are told together, neighbours in frequency of one colour: as many groups as three
    quarters of the hyper-latents, half of them of brightness."""
    groups = []
    for colour, count in ((0, 3 * channels // 8), (1, 3 * channels // 16), (2, 3 * channels // 16)):
        members = np.flatnonzero(colours == colour)
        groups += [group for group in np.array_split(members, max(1, count)) if len(group)]
    return groups


def _lay(layer, values: np.ndarray, taps: slice, bias: np.ndarray | float = 0.0) -> None:
    """Lays values [inputs, outputs] over a layer's first channels at some taps; the rest stays, at a small scale."""
    kernel, count = layer.kernel, values.shape[1]
    kept, transposed = np.array(kernel) * _REST, isinstance(layer, layers.Conv2DTranspose)
    kept[(..., slice(count), slice(None)) if transposed else (..., slice(count))] = 0
    kernel.assign(kept + _taps(kernel, values.T if transposed else values, taps))
    found = np.array(layer.bias)
    found[:count] = bias
    layer.bias.assign(found)


def _taps(kernel, values: np.ndarray, taps: slice) -> np.ndarray:
    """Zeros of a kernel's shape [k, k, a, b], but for values [<= a, <= b] at some taps both ways."""
    made = np.zeros(kernel.shape, "float32")
    made[taps, taps, : values.shape[0], : values.shape[1]] = values
    return made
