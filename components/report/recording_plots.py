"""The drawings of recordings: the signal over time, and beneath it the spectrogram that the model sees."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.signal

from components.report import plots
from models.records.ecg_units import CLASSES, MICROVOLTS

_COLUMNS = 1200  # of the drawing; a line of more samples is drawn by the extremes of each column
_WINDOW, _HOP, _FLOOR = 64, 32, 1e-9  # samples and square millivolts a hertz, as of the models' spectrogram


def drawn(mistakes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The mistakes as the page shows them: a title, what was said of it, and the drawing as SVG."""

    def title(name: str) -> str:
        return f"{CLASSES[name]} ({name})" if name in CLASSES else name

    return [
        {
            "id": m["id"],
            "told": f"{title(m['is'])}, taken for {title(m['taken'])} with {m['probability']:.1%}; its own class has "
            f"{m['own_probability']:.1%}",
            "length": f"{m['seconds']:.1f} s" + (", the first minute is shown" if m["seconds"] > 60 else ""),
            "svg": recording(
                np.frombuffer(base64.b64decode(m["signal"]), "<i2") / MICROVOLTS, m["rate"], f"recording-{n}"
            ),
        }
        for n, m in enumerate(mistakes)
    ]


def recording(samples: np.ndarray, rate: float, name: str) -> str:
    """Millivolts, float [T], as SVG: signal over time above its log spectrogram.

    Args:
      rate: samples a second.
      name: unlike that of the page's other drawings.
    """
    fig, (signal, spectrum) = plots.axes((10.5, 3.4), rows=2)
    time, volts = _extremes(samples, rate)
    signal.plot(time, volts, color=plots.SERIES[1], linewidth=0.8)
    signal.set_ylabel("mV", color=plots.INK, fontsize=9)
    signal.tick_params(labelbottom=False)
    seconds = len(samples) / rate
    density = log_spectrogram(samples, rate)
    spectrum.grid(visible=False)
    if density.shape[1]:
        # The middle of frame n lies at (n + 1) hops.
        spectrum.imshow(
            density, aspect="auto", origin="lower", cmap="magma", interpolation="nearest",
            extent=(_HOP / 2 / rate, (density.shape[1] + 0.5) * _HOP / rate, 0, rate / 2),
            vmin=np.quantile(density, 0.02), vmax=density.max(),
        )  # fmt: skip
    spectrum.set_ylabel("Hz", color=plots.INK, fontsize=9)
    spectrum.set_xlabel("seconds", color=plots.INK, fontsize=9)
    for ax in (signal, spectrum):
        ax.set_xlim(0, seconds)
    return plots.to_svg(fig, name)


def log_spectrogram(samples: np.ndarray, rate: float) -> np.ndarray:
    """The logarithm of the power spectral density, float [33, frames], as the models take it: Tukey windows of 64."""
    if len(samples) < _WINDOW:
        return np.zeros((_WINDOW // 2 + 1, 0))
    *_, density = scipy.signal.spectrogram(samples, rate, ("tukey", 0.25), _WINDOW, _WINDOW - _HOP)
    return np.log(density + _FLOOR)


def _extremes(samples: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and values of a line that looks the same: of many samples the extremes of each column."""
    step = len(samples) // _COLUMNS
    if step < 2:
        return np.arange(len(samples)) / rate, samples
    columns = samples[: len(samples) // step * step].reshape(-1, step)
    time = np.repeat(np.arange(len(columns)) * step / rate, 2)
    return time, np.stack([columns.min(1), columns.max(1)], 1).ravel()
