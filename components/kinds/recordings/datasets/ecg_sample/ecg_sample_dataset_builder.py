"""TFDS data set of simulated electrocardiograms: a first run where there is no network. No patient was recorded.

Beats are NeuroKit2's `ecg_simulate` (the dynamical model of McSharry, Clifford et al., 2003). A rhythm lays them in a
row: normal; fibrillation (irregular intervals, no P wave, fibrillatory waves); other (slow, fast, or with early wide
beats); noise (either rhythm under muscle noise, wander and steps). How a model does on them says nothing about people.
"""

from collections.abc import Iterator
from typing import Any

import neurokit2
import numpy as np
import tensorflow_datasets as tfds

from models.records.ecg_units import CLASSES, RATE

COUNTS = {"train": 44, "validation": 8, "test": 8}  # of each class
SECONDS = (9.0, 61.0)
_WAVES = (1.2, -5.0, 30.0, -7.5, 0.75)  # P, Q, R, S, T in McSharry's model
_WIDTHS = (0.25, 0.1, 0.1, 0.1, 0.4)


class Builder(tfds.core.GeneratorBasedBuilder):
    """240 simulated recordings, 60 a class, of 9 to 61 s (mostly 30), in millivolts at 300 Hz."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "signal": tfds.features.Tensor(shape=(None,), dtype=np.float32, doc="simulated millivolts at 300 Hz"),
                "label": tfds.features.ClassLabel(names=list(CLASSES)),
                "id": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(builder=self, description="Simulated electrocardiograms.", features=features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for label, (name, title) in enumerate(CLASSES.items()):
            for n in range(COUNTS[split]):
                key = f"simulated_{split}_{title}_{n:02d}"
                rng = np.random.default_rng([list(COUNTS).index(split), label, n])
                yield key, {"signal": simulate(name, rng), "label": label, "id": key}


def simulate(label: str, rng: np.random.Generator) -> np.ndarray:
    """One simulated recording of a class ("N", "A", "O" or "~"): millivolts, float32 [T] at RATE."""
    seconds = 30.0 if rng.random() < 0.7 else rng.uniform(*SECONDS)
    rhythm = label if label != "~" else rng.choice(["N", "A"])
    kind = rng.choice(["slow", "fast", "ectopic"]) if rhythm == "O" else rhythm
    rates = {"N": (58, 95), "A": (75, 130), "slow": (34, 46), "fast": (115, 150), "ectopic": (60, 85)}
    mean = 60 / rng.uniform(*rates[kind])
    beat = _beat(60 / mean, rng, has_p_wave=rhythm != "A")
    early = _beat(60 / mean, rng, has_p_wave=False, is_wide=True) if kind == "ectopic" else beat
    signal = np.zeros(round(seconds * RATE))
    for time, is_early in _beats(kind, mean, seconds, rng):
        _add(signal, early if is_early else beat, round(time * RATE))
    signal *= rng.uniform(0.5, 1.3)
    if rhythm == "A":
        signal += _fibrillatory_waves(len(signal), rng)
    signal = signal * rng.uniform(0.2, 0.6) + _strong_noise(len(signal), rng) if label == "~" else signal
    signal += rng.uniform(0.003, 0.012) * rng.standard_normal(len(signal))
    signal += rng.uniform(0.02, 0.1) * _wander(len(signal), rng)
    return signal.astype(np.float32)


def _beat(rate: float, rng: np.random.Generator, *, has_p_wave: bool, is_wide: bool = False) -> np.ndarray:
    """One beat at a rate (beats a minute), its R peak in the middle: millivolts, float64 [T]."""
    waves, widths = np.array(_WAVES) * rng.uniform(0.8, 1.2, 5), np.array(_WIDTHS)
    waves[0] *= 1.5 * has_p_wave
    if is_wide:
        waves, widths = waves * (0, 0.5, 1, 2, -2), widths * (1, 3, 3, 3, 1)
    period = round(60 / rate * RATE)
    regular = neurokit2.ecg_simulate(
        duration=4 if rate > 50 else 6, sampling_rate=RATE, noise=0, heart_rate=rate, heart_rate_std=0.1,
        ai=waves, bi=widths, random_state=int(rng.integers(2**31)),
    )  # fmt: skip
    middle = period + int(np.argmax(regular[period : len(regular) - period]))
    before, after = round(0.4 * period), round(0.6 * period)
    cut = regular[middle - before : middle + after] - np.median(regular)
    ramp = np.minimum(1, np.arange(len(cut)) / 10)
    beat = np.zeros(2 * after + 1)
    beat[after - before : after - before + len(cut)] = cut * ramp * ramp[::-1]
    return beat


def _beats(kind: str, mean: float, seconds: float, rng: np.random.Generator) -> Iterator[tuple[float, bool]]:
    """Times of the R peaks in seconds, and whether a beat is an early one."""
    time = rng.uniform(0, mean)
    while time < seconds:
        yield time, False
        if kind == "A":
            interval = max(0.3, mean * rng.gamma(20, 1 / 20))  # irregular: a deviation of 22 %
        else:
            interval = mean * (1 + 0.03 * np.sin(1.6 * time) + 0.01 * rng.standard_normal())
        if kind == "ectopic" and rng.random() < 0.3:
            yield time + 0.6 * interval, True
            interval *= 2  # a compensatory pause
        time += interval


def _add(signal: np.ndarray, beat: np.ndarray, place: int) -> None:
    """Adds a beat with its middle at a place."""
    start = place - len(beat) // 2
    low, high = max(0, start), min(len(signal), start + len(beat))
    if low < high:
        signal[low:high] += beat[low - start : high - start]


def _fibrillatory_waves(count: int, rng: np.random.Generator) -> np.ndarray:
    """Waves of 4 to 8 Hz whose rate drifts."""
    rate = np.clip(rng.uniform(5, 7) + np.cumsum(rng.standard_normal(count)) * 0.02, 4, 8)
    return rng.uniform(0.04, 0.08) * np.sin(2 * np.pi * np.cumsum(rate) / RATE)


def _wander(count: int, rng: np.random.Generator) -> np.ndarray:
    """Wander of the baseline, peak about 1."""
    time = np.arange(count) / RATE
    return sum(np.sin(2 * np.pi * (rng.uniform(0.1, 0.5) * time + rng.random())) for _ in range(3)) / 2


def _strong_noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """Muscle noise in bursts, strong wander, and steps as of an electrode that moves."""
    bursts = np.clip(0.5 + _wander(count, rng), 0.2, None)
    muscle = rng.uniform(0.15, 0.6) * bursts * rng.standard_normal(count)
    steps = np.zeros(count)
    for place in rng.integers(0, count, rng.poisson(count / RATE / 4)):
        tail = np.arange(count - place) / RATE
        steps[place:] += rng.uniform(-2, 2) * np.exp(-tail / rng.uniform(0.2, 1.5))
    return muscle + rng.uniform(0.3, 1.2) * _wander(count, rng) + steps
