"""Log spectrogram of a signal as a layer, so that what is served takes samples and training sees the same numbers."""

import math

import keras
import numpy as np
from keras import ops

HOP, OVERLAP = 32, 2  # samples from one frame to the next; a frame has so many times as many
_TAPER = 0.25  # part of the window within the cosine flanks
_FLOOR = 1e-9  # density, of a signal of about unit power, below which there is nothing but the rounding of its samples
_CENTRE, _SPREAD = -14.0, 4.0  # about the mean and the deviation of the logarithms, for electrocardiograms


def frames_of(length, hop: int = HOP, overlap: int = OVERLAP):
    """Whole frames in `length` samples, int32 [B] -> int32 [B]: floor(length / hop) - overlap + 1, at least 0."""
    return ops.maximum(ops.cast(length, "int32") // hop - overlap + 1, 0)


def tukey(size: int, taper: float = _TAPER) -> np.ndarray:
    """The periodic Tukey window, float64 [size]: flat, with cosine flanks that together are `taper` of its length."""
    places = np.arange(size) / size
    nearest = np.minimum(places, 1 - places)
    return np.where(nearest < taper / 2, 0.5 - 0.5 * np.cos(2 * np.pi * nearest / taper), 1.0)


def density_matrix(rate: float, size: int = HOP * OVERLAP, highest: float = math.inf) -> np.ndarray:
    """What takes a frame of `size` samples without its mean to the real and imaginary roots of its power density.

    float64 [size, 2 * bins]; bins are the frequencies from 0 to `highest` hertz, or to half the rate. The squares of
    both parts, added, are the one-sided density in units^2 / Hz.
    """
    window = tukey(size)
    bins = np.arange(size // 2 + 1)
    sides = np.where((bins == 0) | (2 * bins == size), 1.0, 2.0)  # those two have no negative counterpart
    bins, sides = (x[bins * rate / size <= highest + 1e-6] for x in (bins, sides))
    angles = 2 * np.pi * np.outer(np.arange(size), bins) / size
    scale = np.sqrt(sides / (rate * np.square(window).sum()))
    return np.concatenate([window[:, None] * part(angles) * scale for part in (np.cos, np.sin)], axis=1)


@keras.saving.register_keras_serializable("kompakt")
class LogSpectrogram(keras.layers.Layer):
    """Logarithms of the power density of overlapping frames, shifted and scaled to about zero mean and unit deviation.

    Frames are WINDOW samples, every HOP samples, without their mean, under a Tukey window of 0.25: the defaults of
    `scipy.signal.spectrogram`. All of it is float32, whatever the policy.

    Args:
      rate: samples a second.
      amplitude: typical size of the signal, in its own unit, by which it is divided.
      hop, overlap: samples from one frame to the next, and how many times as many a frame has.
      highest: frequency up to which bins are kept, hertz.
    """

    def __init__(self, rate: float, amplitude: float = 1.0, hop: int = HOP, overlap: int = OVERLAP,
                 highest: float = math.inf, **kwargs):  # fmt: skip
        super().__init__(**({"dtype": "float32"} | kwargs))
        self.rate, self.amplitude, self.hop, self.overlap, self.highest = rate, amplitude, hop, overlap, highest
        self.matrix = density_matrix(rate, hop * overlap, highest).astype("float32")
        self.bins = self.matrix.shape[1] // 2

    def call(self, samples, length):
        """Samples [B, T] and how many of them count, int32 [B] -> [B, frames of T, bins, 1] float32.

        Frames that reach beyond `length` are zero.
        """
        x = ops.log(self.density(ops.cast(samples, "float32") / self.amplitude) + _FLOOR)
        x = (x - _CENTRE) / _SPREAD
        counts = ops.arange(ops.shape(x)[1], dtype="int32")[None] < frames_of(length, self.hop, self.overlap)[:, None]
        return ops.where(counts[:, :, None], x, 0.0)[..., None]

    def density(self, samples):
        """One-sided power density: [B, T] float32 -> [B, N, bins], in units^2 / Hz."""
        count = ops.shape(samples)[1] // self.hop
        hops = ops.reshape(samples[:, : count * self.hop], (-1, count, self.hop))
        frames = [hops[:, n : count - self.overlap + 1 + n] for n in range(self.overlap)]
        frames = ops.concatenate(frames, axis=-1)
        frames = frames - ops.mean(frames, axis=-1, keepdims=True)
        parts = ops.square(ops.matmul(frames, self.matrix))
        return parts[..., : self.bins] + parts[..., self.bins :]

    def compute_output_shape(self, samples_shape, length_shape):
        # JAX cannot see by itself that both halves of the frames of unknown number are as many.
        batch, samples = samples_shape
        return batch, None if samples is None else samples // self.hop - self.overlap + 1, self.bins, 1

    def get_config(self):
        own = {name: getattr(self, name) for name in ("rate", "amplitude", "hop", "overlap", "highest")}
        return super().get_config() | own
