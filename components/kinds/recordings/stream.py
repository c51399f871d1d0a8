"""A recording of any length, piece by piece, so that days of it need no more memory than a quarter of an hour."""

import fractions
import math
import os
from collections.abc import Iterator

import numpy as np
import scipy.signal

from components.kinds.recordings import recordings
from components.kinds.recordings.headers import is_matrix, read_header
from components.kinds.recordings.matlab import RecordingError
from components.kinds.recordings.wfdb_signal import Signal
from models.records.ecg_units import LIMIT, RATE

_PIECE_S = 900
_CROSSINGS = 10  # zero crossings of the filter of `scipy.signal.resample_poly` to each side


def stream(path: str | os.PathLike, lead: int | None = None, piece_s: int = _PIECE_S) -> Iterator[np.ndarray]:
    """The samples of `recordings.read`, in order, in pieces; no recording is too long.

    Pieces are read one by one from WFDB's files. A MATLAB matrix and a segment of format 8, each of whose samples is a
    sum of all before it, are read as a whole first.

      Args:
        path, lead: as in `recordings.read`.
        piece_s: seconds of a piece.

      Yields:
        Millivolts at RATE samples a second, float32 [T]; missing samples are zero.

      Raises:
        RecordingError: as `recordings.read`; a flat line and missing samples only when all pieces have been given.
    """
    name, stem = os.path.basename(path), os.path.splitext(path)[0]
    stem = stem if os.path.splitext(path)[1].lower() in recordings.SUFFIXES else os.fspath(path)
    try:
        with open(f"{stem}.hea", "rb") as file:
            header = read_header(file.read(), name)
    except OSError:
        header = None
    signal = None if header is None or is_matrix(header) else Signal(stem, header, lead, name)
    if signal is None or signal.length <= piece_s * signal.rate:
        samples = recordings.read(path, lead, math.inf).samples
        for start in range(0, len(samples), piece_s * RATE):
            yield samples[start : start + piece_s * RATE]
        return
    present, lowest, highest = 0, math.inf, -math.inf
    for samples, count in _pieces(signal, piece_s):
        present, lowest, highest = present + count, min(lowest, samples.min()), max(highest, samples.max())
        yield samples
    if present < signal.length / 2:
        missing = 1 - present / signal.length
        raise RecordingError(f"{name}: {missing:.0%} of its samples are missing; at most half may be")
    if highest - lowest < 1e-3:
        raise RecordingError(f"{name}: a flat line; the signal does not vary by a microvolt")


def _pieces(signal: Signal, piece_s: int) -> Iterator[tuple[np.ndarray, int]]:
    """Pieces of a lead with how many of their samples, before resampling, are not missing.

    What is read overlaps by the reach of the filter, and begins where a sample of the answer does.
    """
    ratio = fractions.Fraction(RATE / signal.rate).limit_denominator(1000)
    up, down = ratio.numerator, ratio.denominator
    blocks = max(1, round(piece_s * signal.rate / down))  # of `down` samples, which become `up`
    reach = 1 + _CROSSINGS * max(up, down) // (up * down)
    for block in range(0, math.ceil(signal.length / down), blocks):
        first, begin = max(0, block - reach) * down, block * down
        end = min(signal.length, begin + blocks * down)
        millivolts = signal.read(first, min(signal.length, end + reach * down))
        missing = ~np.isfinite(millivolts)
        samples = np.where(missing, 0.0, millivolts)
        if ratio != 1:
            samples = scipy.signal.resample_poly(samples, up, down)
        start = (begin - first) // down * up
        count = math.ceil((end - begin) * up / down)
        whole = np.clip(samples[start : start + count], -LIMIT, LIMIT).astype(np.float32)
        yield whole, int(np.count_nonzero(~missing[begin - first : end - first]))
