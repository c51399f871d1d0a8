"""A pushed model of electrocardiograms as its users meet it: the signature `predict` of a SavedModel."""

from collections.abc import Sequence

import numpy as np

from components.serving.served_model import ServedModel
from models.records.ecg_units import RATE


class ServedEcg(ServedModel):
    """Calls `predict` with signals of one lead."""

    wanted = frozenset({"samples", "length", "rate"})
    what = "model of electrocardiograms"

    def probabilities(self, batch: Sequence[np.ndarray], rates: Sequence[float] | None = None) -> np.ndarray:
        """What each signal shows, float32 [N, K].

        Args:
          batch: millivolts, float [T] each, of any lengths from a second to half an hour.
          rates: samples a second of each. [default: RATE]

        Raises:
          ServedModelError: the model refused one of them; the message has its number in the batch.
        """
        samples, length = padded(batch)
        rate = np.full(len(batch), RATE) if rates is None else np.asarray(rates)
        return self.call(samples=samples, length=length, rate=rate.astype(np.float32))


def padded(batch: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Signals, float [T] each -> float32 [N, longest T] with zeros behind, and their lengths, int32 [N]."""
    length = np.array([len(signal) for signal in batch], np.int32)
    samples = np.zeros([len(batch), length.max(initial=0)], np.float32)
    for row, signal in zip(samples, batch, strict=True):
        row[: len(signal)] = signal
    return samples, length
