"""A start for the transforms: instead of noise, a wavelet transform that already shows the picture.

Four strided convolutions that are initialised at random need thousands of steps before their latents carry an image.
Here every layer starts as one level of an orthonormal Haar wavelet packet of the most energetic channels (after a
rotation of RGB into brightness and two colour differences), and the synthesis as its transpose; what is left of the
channels keeps its random start at a small scale. Training then refines a working transform. Ours; in the spirit of the
sub-band view of transform coding (Goyal 2001, "Theoretical foundations of transform coding").
"""

import keras
import numpy as np

_TAPS = slice(1, 3)  # where a 5x5 kernel with stride 2 and padding "same" meets its own 2x2 block
_COLOUR = np.array([[1, 1, 1], [1, 0, -1], [-1, 2, -1]]) / np.sqrt([[3], [2], [6]])
_COLOUR_COST = (0.0, 2.0, 2.5)  # log2 of how much less energy than brightness
_BANDS = [np.array(b) / 2 for b in ([[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]])]
_REST = 0.02  # scale left to the random start of channels beside the wavelet's
_INNER_GAIN = 0.125  # keeps values between layers below 1, where GDN is nearly linear


def initialize(analysis: keras.Sequential, synthesis: keras.Sequential, gain: float, step: float = 0.1) -> None:
    """Overwrites the kernels of an analysis and a synthesis of 5x5 layers with stride 2.

    Args:
      analysis: pixels [B, H, W, 3] -> latents, `len(layers)` strided convolutions.
      synthesis: the same number of transposed convolutions back.
      gain: factor that follows the analysis' last convolution (and is undone before the synthesis).
      step: quantisation step of the latents, in units of the orthonormal transform of [0, 1] pixels.
    """
    down = [layer for layer in analysis.layers if isinstance(layer, keras.layers.Conv2D)]
    up = [layer for layer in synthesis.layers if isinstance(layer, keras.layers.Conv2DTranspose)][::-1]
    costs = np.array(_COLOUR_COST)
    for level, (forward, backward) in enumerate(zip(down, up, strict=True)):
        kernel, costs = _packet_level(costs, forward.kernel.shape, len(down) - level, first=level == 0)
        factor = (_INNER_GAIN if level == 0 else 1.0) / (_INNER_GAIN * step * gain if level == len(down) - 1 else 1.0)
        _overwrite(forward.kernel, kernel * factor, costs.size)
        _overwrite(backward.kernel, kernel / factor, costs.size)


def _packet_level(costs: np.ndarray, shape: tuple, weight: float, first: bool) -> tuple[np.ndarray, np.ndarray]:
    """One level of the packet: kernel [5, 5, inputs, outputs] and the costs [used outputs], cheapest first.

    A channel's cost is about -log2 of its expected energy: a high band of a fine level holds less than one of a coarse
    level. The first len(costs) inputs are the packet's; in the first level they are brightness and colour.
    """
    extra = weight * np.array([0.0, 1.0, 1.0, 1.5])
    bands = sorted((costs[c] + extra[b], b, c) for c in range(costs.size) for b in range(4))
    chosen = bands[: shape[3]]
    kernel = np.zeros(shape)
    for output, (_, band, channel) in enumerate(chosen):
        inputs = _COLOUR[channel] if first else np.eye(shape[2])[channel]
        kernel[_TAPS, _TAPS, :, output] = _BANDS[band][:, :, None] * inputs
    return kernel, np.array([cost for cost, _, _ in chosen])


def _overwrite(variable, kernel: np.ndarray, outputs: int) -> None:
    """Puts the wavelet over the first `outputs` channels; the random start stays at a small scale beside and below."""
    wavelet = np.zeros(kernel.shape)
    wavelet[..., :outputs] = kernel[..., :outputs]
    variable.assign(np.array(variable) * _REST + wavelet)
