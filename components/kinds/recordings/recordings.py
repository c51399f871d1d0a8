"""From the file of an electrocardiogram to one lead in millivolts at 300 samples a second.

The one door for recordings of a user's own: ingest and the command line go through `read` or `read_bytes`, so both
accept the same files and refuse the same files. The physical signal is taken as it is, without filter, whichever way
up it is: an inverted lead has the same power spectrum.
"""

import fractions
import math
import os
from typing import NamedTuple

import numpy as np
import scipy.signal

from components.kinds.recordings.headers import RATES, Header, Lead, is_matrix, lead_index, millivolts_in, read_header
from components.kinds.recordings.matlab import RecordingError, matrix_of
from components.kinds.recordings.wfdb_signal import Signal
from models.records.ecg_units import LIMIT, LONGEST_S, RATE, SHORTEST_S

SUFFIXES = (".hea", ".mat", ".dat")
GAIN = 1000.0  # steps per millivolt of a matrix without a header: that of the PhysioNet/CinC Challenge 2017
NOISE_CLASSES = ("clean", "noisy", "very_noisy")
_NOISE_BOUNDS = (0.12, 0.25)  # millivolts, see `noise_class`
_MOST_MISSING = 0.5
_INVALID = np.iinfo(np.int16).min  # WFDB's mark of a missing sample in format 16
_CLIPPED_RUN = 4  # equal samples at the signal's limit, and at least a hundredth of a second of them

__all__ = ["NOISE_CLASSES", "SUFFIXES", "Header", "Recording", "RecordingError", "noise_class", "read", "read_bytes",
           "read_header"]  # fmt: skip


class Recording(NamedTuple):
    """One lead of one recording.

    Attributes:
      samples: millivolts at RATE samples a second, float32 [T]; missing samples are zero.
      original_rate: samples a second of the file.
      format: "mat" (a MATLAB matrix, with or without a header) or "wfdb".
      size_bytes: of the signal as it came.
      noise_class: one of NOISE_CLASSES.
      gaps: samples of the file that were missing.
      clipped: samples of the file that stand in a run at the signal's highest or lowest value, or beyond what a record
        can hold (they are cut to it).
    """

    samples: np.ndarray
    original_rate: float
    format: str
    size_bytes: int
    noise_class: str
    gaps: int
    clipped: int


def read(path: str | os.PathLike, lead: int | None = None, limit_s: float = LONGEST_S) -> Recording:
    """Reads one recording: a `.hea` with its `.dat` or `.mat`, or a `.mat` alone (300 Hz, 1000 steps per millivolt).

    Args:
      path: of the header, of the signal, or of both without an extension.
      lead: index; None takes the first lead that is named like ECG, I or II, else the first.
      limit_s: seconds; a longer recording is refused.

    Raises:
      RecordingError: as `read_bytes`, or a file is missing or damaged.
    """
    path = os.fspath(path)
    stem, suffix = os.path.splitext(path)
    if suffix.lower() not in SUFFIXES:
        stem, suffix = path, ""
    name = os.path.basename(path)
    try:
        if not os.path.isfile(stem + ".hea"):
            if suffix == ".dat":
                raise RecordingError(f"{name}: there is no header {os.path.basename(stem)}.hea beside it")
            with open(path if suffix else stem + ".mat", "rb") as file:
                return read_bytes(file.read(), name=name, lead=lead, limit_s=limit_s)
        with open(stem + ".hea", "rb") as file:
            text = file.read()
        header = read_header(text, name)
        if is_matrix(header):
            with open(os.path.join(os.path.dirname(stem), header.leads[0].file), "rb") as file:
                return read_bytes(file.read(), text, name=name, lead=lead, limit_s=limit_s)
    except OSError as error:
        raise RecordingError(f"{name}: cannot be opened: {error.strerror or error}") from None
    return _read_wfdb(stem, name, header, lead, limit_s)


def read_bytes(
    signal: bytes,
    header: bytes | None = None,
    *,
    name: str = "the recording",
    rate: float = RATE,
    gain: float | None = None,
    lead: int | None = None,
    limit_s: float = LONGEST_S,
) -> Recording:
    """Reads a recording that is a MATLAB matrix [leads, samples] (version 4, or `val` of version 5).

    Args:
      signal: content of the `.mat`. header: content of its `.hea`, which then says rate, gain, zero and units.
      name: for messages. rate, gain: samples a second and steps per millivolt where no header says them; without a gain
        whole numbers are GAIN to a millivolt.
      lead, limit_s: as in `read`.

    Raises:
      RecordingError: not such a file, damaged, or not as its header says; flat; without samples, or with more than half
        of them missing; shorter than SHORTEST_S or longer than `limit_s`; fractions of a unit that nothing says.
    """
    if not signal:
        raise RecordingError(f"{name}: the file is empty")
    matrix = matrix_of(signal, name)
    said = read_header(header, name) if header is not None else None
    if said is None and gain is None and not is_whole(matrix):
        raise RecordingError(
            f"{name}: its numbers are fractions, and nothing says their unit; write a header (.hea) with gain and unit"
        )
    leads = said.leads if said else [Lead("", gain=gain or GAIN)] * len(matrix)
    if len(leads) != len(matrix) or said and said.length not in (0, matrix.shape[1]):
        raise RecordingError(
            f"{name}: the header says {len(leads)} leads of {said.length} samples, the signal has {len(matrix)} of "
            f"{matrix.shape[1]}"
        )
    index = lead_index(leads, lead, name)
    chosen, values = leads[index], matrix[index].astype(np.float64)
    if matrix.dtype == np.int16:
        values[matrix[index] == _INVALID] = np.nan
    millivolts = (values - chosen.baseline) / chosen.gain * millivolts_in(chosen, name)
    return _finish(millivolts, said.rate if said else rate, name, "mat", len(signal), limit_s)


def is_whole(matrix: np.ndarray) -> bool:
    """Whether all numbers that are there are whole, as steps of a converter are."""
    if matrix.dtype.kind != "f":
        return True
    present = matrix[np.isfinite(matrix)]
    return bool((present == np.rint(present)).all())


def _read_wfdb(stem: str, name: str, header: Header, wanted: int | None, limit_s: float) -> Recording:
    """Reads a recording of any of WFDB's formats by its library."""
    _check_length(header.length, header.rate, name, limit_s)  # Before hours of signal are read.
    signal = Signal(stem, header, wanted, name)
    _check_length(signal.length, signal.rate, name, limit_s)
    return _finish(signal.read(0, signal.length), signal.rate, name, "wfdb", signal.size_bytes, limit_s)


def _finish(
    millivolts: np.ndarray, rate: float, name: str, format_name: str, size_bytes: int, limit_s: float
) -> Recording:
    """Checks a signal, float64 [T] with NaN where it is missing, and brings it to RATE."""
    if not math.isfinite(rate) or not RATES[0] <= rate <= RATES[1]:
        raise RecordingError(f"{name}: {rate:g} samples a second; {RATES[0]} to {RATES[1]} are read")
    missing = ~np.isfinite(millivolts)
    gaps = int(missing.sum())
    if len(millivolts) and gaps == len(millivolts):
        raise RecordingError(f"{name}: every sample is missing (NaN or marked as invalid)")
    _check_length(max(len(millivolts), 1), rate, name, limit_s)
    if gaps > _MOST_MISSING * len(millivolts):
        raise RecordingError(f"{name}: {gaps / len(millivolts):.0%} of its samples are missing; at most half may be")
    present = millivolts[~missing]
    if np.ptp(np.clip(present, -LIMIT, LIMIT)) < 1e-3:
        raise RecordingError(f"{name}: a flat line; the signal does not vary by a microvolt")
    clipped = _clipped(millivolts, rate)
    samples = np.where(missing, 0.0, millivolts)
    ratio = fractions.Fraction(RATE / rate).limit_denominator(1000)
    if ratio != 1:
        samples = scipy.signal.resample_poly(samples, ratio.numerator, ratio.denominator)
    samples = np.clip(samples, -LIMIT, LIMIT).astype(np.float32)
    return Recording(samples, rate, format_name, size_bytes, noise_class(samples), gaps, clipped)


def _check_length(samples: int, rate: float, name: str, limit_s: float) -> None:
    """Raises RecordingError for a recording that is too short or too long; 0 samples mean that it is not known yet."""
    seconds = samples / rate
    if 0 < seconds < SHORTEST_S:
        raise RecordingError(f"{name}: lasts {seconds:.2g} s ({samples} samples); at least {SHORTEST_S} s is needed")
    if seconds > limit_s:
        raise RecordingError(
            f"{name}: lasts {seconds / 60:.1f} min ({samples} samples), more than {limit_s / 60:g}; cut it, or use "
            "the stream mode of `predict`"
        )


def _clipped(millivolts: np.ndarray, rate: float) -> int:
    """Samples in runs of the signal's highest or lowest value, and beyond LIMIT."""
    beyond = np.abs(millivolts) > LIMIT
    count = 0
    for limit in (np.nanmin(millivolts), np.nanmax(millivolts)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (millivolts == limit) & ~beyond, [0]])))
        runs = edges[1::2] - edges[::2]
        count += int(runs[runs >= max(_CLIPPED_RUN, rate / 100)].sum())
    return count + int(beyond.sum())


def noise_class(samples: np.ndarray) -> str:
    """How noisy a signal is: the sum of its baseline wander and ten times its high-frequency noise, in millivolts.

    Wander is the RMS below 1 Hz and high-frequency noise that above 40 Hz, both from Welch's periodogram of 2 s windows
    less their means, which show a part of slower wander. Below 0.12 mV a recording is clean, from 0.25 mV on
    very noisy. Of 7,249 recordings of the challenge 4,971 / 1,813 / 465 are clean / noisy / very noisy, and 0.7 / 4.9 /
    24.5 % of these are labelled as noise; the area under the curve for that label is 0.87. (Shares of the total power
    do worse, 0.68: noise adds to the heart's power.)

    Args:
      samples: millivolts at RATE samples a second, [T].
    """
    window = min(2 * RATE, len(samples))
    frequencies, density = scipy.signal.welch(np.asarray(samples, np.float64), RATE, nperseg=window)
    step = frequencies[1]
    wander = math.sqrt(density[frequencies < 1].sum() * step)
    high = math.sqrt(density[frequencies >= 40].sum() * step)
    return NOISE_CLASSES[int(np.searchsorted(_NOISE_BOUNDS, wander + 10 * high, side="right"))]
