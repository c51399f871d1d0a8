"""Log spectrogram of a signal as a layer, so that what is served takes samples and training sees the same numbers."""

import keras
import numpy as np
from keras import ops

WINDOW = 64  # samples of a frame
HOP = 32  # samples from one frame to the next
BINS = WINDOW // 2 + 1  # frequencies of a frame, from 0 to half the rate
_TAPER = 0.25  # part of the window within the cosine flanks
_FLOOR = 1e-9  # density, of a signal of about unit power, below which there is nothing but the rounding of its samples
_CENTRE, _SPREAD = -14.0, 4.0  # about the mean and the deviation of the logarithms, for electrocardiograms


def frames_of(length):
    """Whole frames in `length` samples, int32 [B] -> int32 [B]: floor((length - HOP) / HOP), at least 0."""
    return ops.maximum(ops.cast(length, "int32") // HOP - 1, 0)


def tukey(size: int, taper: float = _TAPER) -> np.ndarray:
    """The periodic Tukey window, float64 [size]: flat, with cosine flanks that together are `taper` of its length."""
    places = np.arange(size) / size
    nearest = np.minimum(places, 1 - places)
    return np.where(nearest < taper / 2, 0.5 - 0.5 * np.cos(2 * np.pi * nearest / taper), 1.0)


def density_matrix(rate: float) -> np.ndarray:
    """What takes a frame without its mean to the real and imaginary roots of its power density.

    float64 [WINDOW, 2 * BINS]. The squares of both parts, added, are the one-sided density in units^2 / Hz.
    """
    window = tukey(WINDOW)
    angles = 2 * np.pi * np.outer(np.arange(WINDOW), np.arange(BINS)) / WINDOW
    sides = np.full(BINS, 2.0)
    sides[[0, -1]] = 1.0  # zero and half the rate have no counterpart among the negative frequencies
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
    """

    def __init__(self, rate: float, amplitude: float = 1.0, **kwargs):
        super().__init__(**({"dtype": "float32"} | kwargs))
        self.rate, self.amplitude = rate, amplitude
        self.matrix = density_matrix(rate).astype("float32")

    def call(self, samples, length):
        """Samples [B, T] and how many of them count, int32 [B] -> [B, floor((T - 32) / 32), BINS, 1] float32.

        Frames that reach beyond `length` are zero.
        """
        x = ops.log(self.density(ops.cast(samples, "float32") / self.amplitude) + _FLOOR)
        x = (x - _CENTRE) / _SPREAD
        counts = ops.arange(ops.shape(x)[1], dtype="int32")[None] < frames_of(length)[:, None]
        return ops.where(counts[:, :, None], x, 0.0)[..., None]

    def density(self, samples):
        """One-sided power density: [B, T] float32 -> [B, N, BINS], in units^2 / Hz."""
        hops = ops.shape(samples)[1] // HOP
        hops = ops.reshape(samples[:, : hops * HOP], (-1, hops, HOP))
        frames = ops.concatenate([hops[:, :-1], hops[:, 1:]], axis=-1)
        frames = frames - ops.mean(frames, axis=-1, keepdims=True)
        parts = ops.square(ops.matmul(frames, self.matrix))
        return parts[..., :BINS] + parts[..., BINS:]

    def compute_output_shape(self, samples_shape, length_shape):
        # JAX cannot see by itself that both halves of the frames of unknown number are as many.
        batch, samples = samples_shape
        return batch, None if samples is None else samples // HOP - 1, BINS, 1

    def get_config(self):
        return super().get_config() | {"rate": self.rate, "amplitude": self.amplitude}
