"""Recordings for tests: MATLAB files and WFDB records as PhysioNet has them, written here byte by byte."""

import pathlib
import struct

import numpy as np
import wfdb

ROOT = pathlib.Path(__file__).resolve().parents[2]


def real_recordings() -> pathlib.Path | None:
    """The real recordings of the challenge beside the repository, or beside a folder that it lies in; None without."""
    places = [parent / "shared" / "data" / "ecg_cinc2017" for parent in ROOT.parents]
    return next((place for place in places if place.is_dir()), None)


def wave(seconds: float, seed: int = 0, rate: int = 300) -> np.ndarray:
    """A smooth signal of a few sines below 20 Hz, at most 1 mV: float64 [T]."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    return sum(np.sin(2 * np.pi * (rng.uniform(1, 20) * time + rng.random())) for _ in range(4)) / 4


def steps(seconds: float, seed: int = 0, rate: int = 300) -> np.ndarray:
    """`wave` in a thousandth of a millivolt: int16 [T]."""
    return np.rint(1000 * wave(seconds, seed, rate)).astype(np.int16)


def matlab4(matrix: np.ndarray, name: bytes = b"val\0", order: str = "<") -> bytes:
    """The bytes of a MATLAB 4 file; `matrix` is [leads, samples], or one lead."""
    matrix = np.atleast_2d(matrix)
    kind = {"f8": 0, "f4": 10, "i4": 20, "i2": 30, "u2": 40, "u1": 50}[matrix.dtype.str[1:]] + 1000 * (order == ">")
    header = struct.pack(order + "5i", kind, *matrix.shape, 0, len(name))
    return header + name + matrix.astype(matrix.dtype.newbyteorder(order)).tobytes("F")


def header(name: str, samples: int, *, rate: float = 300, gain: str = "1000/mV", zero: int = 0, leads=("ECG",)) -> str:
    """The header of a MATLAB 4 file as the challenge writes it."""
    lines = [f"{name} {len(leads)} {rate:g} {samples} 05:05:15 1/05/2000"]
    lines += [f"{name}.mat 16+24 {gain} 16 {zero} -127 0 0 {lead}" for lead in leads]
    return "\n".join(lines) + "\n"


def write_pair(folder: pathlib.Path, name: str, values: np.ndarray, **options) -> pathlib.Path:
    """Writes `name`.mat and its header; returns the path of the former."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.mat").write_bytes(matlab4(values))
    (folder / f"{name}.hea").write_text(header(name, np.atleast_2d(values).shape[1], **options))
    return folder / f"{name}.mat"


def write_wfdb(folder: pathlib.Path, name: str, millivolts: np.ndarray, rate: float = 300, **options) -> pathlib.Path:
    """Writes a WFDB record [T] or [T, leads] with a `.dat`; returns its path without extension."""
    folder.mkdir(parents=True, exist_ok=True)
    signal = millivolts if millivolts.ndim == 2 else millivolts[:, None]
    count = signal.shape[1]
    said = dict(units=["mV"] * count, sig_name=["ECG"] * count, fmt=["16"] * count) | options
    wfdb.wrsamp(name, fs=rate, p_signal=signal, write_dir=str(folder), **said)
    return folder / name
